"""Names as LDAP compares them: string preparation (RFC 4518), distinguished names (RFC 4514), filters (RFC 4515)."""

import re

from providers.spelling import comparable

Rdn = frozenset[tuple[str, str]]
Dn = tuple[Rdn, ...]
"""From the entry upwards; types and values in comparable form."""

_TYPE = re.compile(r" *([A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*) *=")
_HEX_PAIR = re.compile(r"[0-9A-Fa-f]{2}")
_HEX_VALUE = re.compile(r"#((?:[0-9A-Fa-f]{2})+) *(?=[,+]|\Z)")
_ESCAPABLE = ' "#+,;<=>\\'
_NEVER_BARE = '";<>\0'
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
# BER tags of the string types that a `#` value may hold: UTF8String, PrintableString, IA5String, TeletexString.
_STRING_TAGS = frozenset((0x0C, 0x13, 0x16, 0x14))
# One attribute type under several names (RFC 4519 and X.520); the rest compare by the name that the server uses.
_ALIASES = {
    "commonname": "cn", "2.5.4.3": "cn",
    "surname": "sn", "2.5.4.4": "sn",
    "countryname": "c", "2.5.4.6": "c",
    "localityname": "l", "2.5.4.7": "l",
    "stateorprovincename": "st", "2.5.4.8": "st",
    "streetaddress": "street", "2.5.4.9": "street",
    "organizationname": "o", "2.5.4.10": "o",
    "organizationalunitname": "ou", "2.5.4.11": "ou",
    "userid": "uid", "0.9.2342.19200300.100.1.1": "uid",
    "rfc822mailbox": "mail", "0.9.2342.19200300.100.1.3": "mail",
    "domaincomponent": "dc", "0.9.2342.19200300.100.1.25": "dc",
}  # fmt: skip


def filter_value(text: str) -> str:
    """A value for a search filter: every octet but ASCII letters and digits as `\\xx` (RFC 4515 §3)."""
    return "".join(chr(octet) if octet in _PLAIN else f"\\{octet:02x}" for octet in text.encode())


def parse_dn(text: str) -> Dn:
    """Raises `ValueError` for what is not a distinguished name in RFC 4514's form."""
    if not text.strip(" "):
        return ()
    rdns: list[Rdn] = []
    pairs: list[tuple[str, str]] = []
    at = 0
    while True:
        found = _TYPE.match(text, at)
        if found is None:
            raise ValueError("not a distinguished name: an attribute type is missing")
        kind = found[1].lower()
        value, at = _value(text, found.end())
        pairs.append((_ALIASES.get(kind, kind), comparable(value)))
        if at == len(text) or text[at] == ",":
            rdns.append(frozenset(pairs))
            pairs = []
        if at == len(text):
            return tuple(rdns)
        at += 1


def rdn_value(dn: str, attribute: str) -> str | None:
    """The value of `attribute` in the first part of a distinguished name, as written; None where it is not there."""
    at, wanted = 0, _ALIASES.get(attribute.lower(), attribute.lower())
    while (found := _TYPE.match(dn, at)) is not None:
        value, at = _value(dn, found.end())
        kind = found[1].lower()
        if _ALIASES.get(kind, kind) == wanted:
            return value
        if at == len(dn) or dn[at] == ",":
            return None
        at += 1
    return None


def inside(dn: Dn, base: Dn) -> bool:
    """Whether `dn` is under `base`, and not `base` itself."""
    return len(dn) > len(base) and dn[len(dn) - len(base) :] == base


def normal_form(dn: Dn) -> str:
    """One text for all spellings of a distinguished name, itself one of them."""
    return ",".join("+".join(f"{kind}={filter_value(value)}" for kind, value in sorted(rdn)) for rdn in dn)


def _value(text: str, at: int) -> tuple[str, int]:
    """A value's text and where it ends: at a comma, a plus or the end of the text."""
    while text[at : at + 1] == " ":
        at += 1
    encoded = _HEX_VALUE.match(text, at)
    if encoded is not None:
        return _from_ber(bytes.fromhex(encoded[1])), encoded.end()
    octets = bytearray()
    bare_end = 0  # blanks after this position were not escaped and do not belong to the value
    while at < len(text) and text[at] not in ",+":
        character = text[at]
        if character == "\\":
            pair = _HEX_PAIR.match(text, at + 1)
            if pair is not None:
                octets += bytes.fromhex(pair[0])
                at += 3
            elif text[at + 1 : at + 2] and text[at + 1] in _ESCAPABLE:
                octets += text[at + 1].encode()
                at += 2
            else:
                raise ValueError("not a distinguished name: a backslash escapes nothing")
            bare_end = len(octets)
            continue
        if character in _NEVER_BARE:
            raise ValueError("not a distinguished name: a character must be escaped")
        octets += character.encode()
        at += 1
        if character != " ":
            bare_end = len(octets)
    return octets[:bare_end].decode(), at


def _from_ber(encoded: bytes) -> str:
    if len(encoded) >= 2 and encoded[0] in _STRING_TAGS and encoded[1] == len(encoded) - 2 < 0x80:
        return encoded[2:].decode()
    return "#" + encoded.hex()
