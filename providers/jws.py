"""A compact JWS taken apart strictly, nothing verified (RFC 7515 §3.1, §4.1), and whether its signature is right.

What python-jose accepts and must not is refused here, before a key is looked for: further algorithms, critical
headers, keys carried by the token, a JSON member given twice.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from jose import jwk

from providers.encoding import Json, base64url, json_object
from providers.jwk import VerificationKey

_KEYS_IN_HEADER = ("jwk", "jku", "x5u", "x5c")


class NotJws(ValueError):
    """The text is no JWS that could be verified; the message says what is wrong with it.

    `reason` is a short stable word for audit and metrics; `detail` is for the operator only.
    """

    def __init__(self, what: str, *, reason: str = "malformed", detail: str | None = None) -> None:
        super().__init__(what)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class UnverifiedJws:
    """What a token says of itself."""

    algorithm: str
    key_id: str | None
    unverified_header: Mapping[str, Json]
    unverified_claims: Mapping[str, Json]
    signing_input: bytes
    signature: bytes


def shown(text: str) -> str:
    """A piece of the token as it may stand in a sentence: printable ASCII, 255 characters at most."""
    return "".join(char if " " <= char <= "~" else "?" for char in text[:255])


def take_apart(token: str, *, algorithms: Collection[str], max_characters: int) -> UnverifiedJws:
    """Raises `NotJws`."""
    if len(token) > max_characters:
        raise NotJws(f"It is longer than {max_characters} characters.")
    parts = token.split(".", 5)
    if len(parts) == 5:
        raise NotJws("It has five parts, so it is encrypted; a signed one is needed.")
    if len(parts) != 3 or not all(parts):
        raise NotJws("It does not have three parts.")
    try:
        raw_header, payload, signature = (base64url(part) for part in parts)
    except ValueError as error:
        raise NotJws("A part of it is not base64url without padding.") from error
    try:
        header, claims = json_object(raw_header), json_object(payload)
    except ValueError as error:
        raise NotJws("Its header or its payload is not one well-formed JSON object.", detail=str(error)) from error
    algorithm, key_id = _key_named(header, algorithms)
    return UnverifiedJws(algorithm, key_id, header, claims, f"{parts[0]}.{parts[1]}".encode("ascii"), signature)


def signed_with(key: VerificationKey, signing_input: bytes, signature: bytes) -> bool:
    """Whether the signature is one of `key`'s."""
    # Not jose.jwt.decode: it reads the clock itself and takes the last of two members of one name.
    return bool(jwk.construct(key.public, key.algorithm).verify(signing_input, signature))


def _key_named(header: Mapping[str, Json], algorithms: Collection[str]) -> tuple[str, str | None]:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        given = shown(algorithm) if isinstance(algorithm, str) else "nothing"
        raise NotJws(f"Its algorithm is {given}; accepted are {', '.join(algorithms)}.", reason="algorithm")
    if "crit" in header or "b64" in header:
        raise NotJws("Its header demands an extension that is not supported.", reason="header")
    if any(name in header for name in _KEYS_IN_HEADER):
        raise NotJws("It carries a key; only keys that the issuer publishes count.", reason="header")
    key_id = header.get("kid")
    if not isinstance(key_id, str | None):
        raise NotJws("Its kid is not a text.", reason="header")
    return algorithm, key_id
