"""What Active Directory does and slapd cannot: its matching rules, its codes in texts, referrals, binary keys.

A small LDAP server (RFC 4511) over entries given as dictionaries, with a BER of its own.
"""

import asyncio
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

IN_CHAIN = "1.2.840.113556.1.4.1941"
BIT_AND = "1.2.840.113556.1.4.803"
_ROOT = {"supportedCapabilities": [b"1.2.840.113556.1.4.800"], "objectClass": [b"top"]}
_INTEGER, _OCTETS, _ENUMERATED, _SEQUENCE, _SET = 0x02, 0x04, 0x0A, 0x30, 0x31
_BIND, _BOUND, _SEARCH, _FOUND, _DONE, _REFERENCE = 0x60, 0x61, 0x63, 0x64, 0x65, 0x73

Entries = Mapping[str, Mapping[str, list[bytes]]]


class ActiveDirectory:
    """`passwords`: DN to password, or to the `data` code that a bind is refused with.

    `rules`: attributes and matching rules that searches asked for.
    """

    def __init__(self, entries: Entries, passwords: Mapping[str, bytes | str]) -> None:
        self.entries = entries
        self.passwords = passwords
        self.rules: list[str] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()

    @property
    def url(self) -> str:
        """`ldap://…`."""
        return f"ldap://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        unread = b""
        try:
            while chunk := await reader.read(65536):
                unread += chunk
                while (size := _size(unread)) is not None and size <= len(unread):
                    [(_, message)] = _elements(unread[:size])
                    unread = unread[size:]
                    (_, number), (kind, request), *_ = _elements(message)
                    for answer in self._answers(kind, _elements(request) if kind in (_BIND, _SEARCH) else []):
                        writer.write(_element(_SEQUENCE, _element(_INTEGER, number) + answer))
        except OSError:
            return
        finally:
            writer.close()

    def _answers(self, kind: int, request: list[tuple[int, bytes]]) -> Iterator[bytes]:
        if kind == _BIND:
            yield self._bound(request[1][1].decode(), request[2][1])
        elif kind == _SEARCH:
            base, scope, asked = request[0][1].decode(), request[1][1][0], request[6]
            names = [name.decode().lower() for _, name in _elements(request[7][1])]
            yield from self._found(base, scope, asked, names)

    def _bound(self, dn: str, presented: bytes) -> bytes:
        try:
            known = self.passwords[dn]
        except KeyError:
            known = "525"
        if presented == known:
            return _result(_BOUND, 0, "")
        data = known if isinstance(known, str) else "52e"
        text = f"80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data {data}, v4563"
        return _result(_BOUND, 49, text)

    def _found(self, base: str, scope: int, asked: tuple[int, bytes], names: list[str]) -> Iterator[bytes]:
        entries: Entries = {"": _ROOT} if base == "" and scope == 0 else self.entries
        for dn, attributes in entries.items():
            inside = dn == base if scope == 0 else dn.lower().endswith(base.lower())
            if inside and self._matches(asked, dn, attributes):
                yield _entry(
                    dn, {name: values for name, values in attributes.items() if name.lower().partition(";")[0] in names}
                )
        if scope != 0:
            # As Active Directory does at the top of a domain.
            yield _element(_REFERENCE, _element(_OCTETS, b"ldap://127.0.0.1:1/DC=elsewhere"))
        yield _result(_DONE, 0, "")

    def _matches(self, asked: tuple[int, bytes], dn: str, attributes: Mapping[str, list[bytes]]) -> bool:
        kind, content = asked
        if kind == 0x87:  # present
            return True
        parts = _elements(content)
        if kind == 0xA0:
            return all(self._matches(part, dn, attributes) for part in parts)
        if kind == 0xA1:
            return any(self._matches(part, dn, attributes) for part in parts)
        if kind == 0xA2:
            return not self._matches(parts[0], dn, attributes)
        if kind == 0xA3:  # equality
            return parts[1][1].lower() in [value.lower() for value in _values(attributes, parts[0][1].decode())]
        assert kind == 0xA9
        extended = dict(parts)
        rule, name, wanted = extended[0x81].decode(), extended[0x82].decode(), extended[0x83]
        self.rules.append(f"{name}:{rule}")
        if rule == BIT_AND:
            return any(int(each) & int(wanted) == int(wanted) for each in _values(attributes, name))
        assert rule == IN_CHAIN
        return wanted.decode() in self._members(dn, set())

    def _members(self, dn: str, seen: set[str]) -> set[str]:
        for each in _values(self.entries.get(dn, {}), "member"):
            if (member := each.decode()) not in seen:
                seen.add(member)
                self._members(member, seen)
        return seen


def _values(attributes: Mapping[str, list[bytes]], name: str) -> list[bytes]:
    return [value for key, values in attributes.items() if key.lower() == name.lower() for value in values]


def _base_name(attribute: str) -> str:
    return attribute.lower().partition(";")[0]


def _size(data: bytes) -> int | None:
    """Octets of the first element, tag and length included; None where its length is not there yet."""
    if len(data) < 2:
        return None
    if data[1] < 0x80:
        return 2 + data[1]
    count = data[1] & 0x7F
    return 2 + count + int.from_bytes(data[2 : 2 + count], "big") if len(data) >= 2 + count else None


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while (size := _size(data)) is not None:
        head = 2 if data[1] < 0x80 else 2 + (data[1] & 0x7F)
        found.append((data[0], data[head:size]))
        data = data[size:]
    return found


def _element(tag: int, content: bytes) -> bytes:
    return bytes((tag, 0x84)) + len(content).to_bytes(4, "big") + content


def _result(kind: int, code: int, text: str) -> bytes:
    content = _element(_ENUMERATED, bytes((code,))) + _element(_OCTETS, b"") + _element(_OCTETS, text.encode())
    return _element(kind, content)


def _entry(dn: str, attributes: Mapping[str, list[bytes]]) -> bytes:
    found = b"".join(
        _element(
            _SEQUENCE,
            _element(_OCTETS, name.encode()) + _element(_SET, b"".join(_element(_OCTETS, value) for value in values)),
        )
        for name, values in attributes.items()
    )
    return _element(_FOUND, _element(_OCTETS, dn.encode()) + _element(_SEQUENCE, found))
