"""What is wrong in a policy document, and where."""

import re
from dataclasses import dataclass
from typing import Final

from broker.policy.jsontext import Lines, Node, Number

MAX_FAULTS: Final = 200
MAX_POINTER: Final = 1000
"""Longer pointers, which only hostile documents have, are cut: the place says where."""

SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
"""Half of a surrogate pair: no character, though JSON can write it."""

Path = tuple[str | int, ...]
"""The names and indexes that lead to a value."""


def pointer(path: Path) -> str:
    """The JSON pointer of a path (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def parts(pointer: str) -> list[str]:
    """The names and indexes that a JSON pointer leads through, as text."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a document. Line and column count from 1; both are 0 where the policy was no text."""

    pointer: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        place = f" (line {self.line})" if self.line else ""
        return f"{self.pointer or 'policy'}{place}: {self.message}"


class PolicyError(ValueError):
    """The document is no valid policy; `faults` are in the document's order, at least one."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = faults


class Faults:
    """Collects faults while a document is read, so that all are found at once."""

    def __init__(self) -> None:
        self._found: list[tuple[int, Path, str]] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, at: Node | int, path: Path, message: str) -> None:
        """A fault at a value, or at an offset of the text."""
        self._found.append((at if isinstance(at, int) else at.start, path, message))

    def error(self, lines: Lines) -> PolicyError:
        """All faults, in the text's order."""
        faults = []
        for offset, path, message in sorted(self._found, key=lambda fault: fault[0])[:MAX_FAULTS]:
            place = lines.position(offset)
            faults.append(Fault(pointer(path)[:MAX_POINTER], place.line, place.column, message))
        return PolicyError(tuple(faults))

    def known(self, node: Node, path: Path, names: tuple[str, ...], what: str) -> None:
        """Reports members of an object that its grammar does not have."""
        for name, offset in node.names.items():
            if name not in names:
                self.add(offset, (*path, name), f"{what} has no element {name[:60]!r}{hint(name, names)}")

    def text(self, node: Node, path: Path, message: str) -> str | None:
        """The value, where it is a string; else a fault with `message`."""
        if not isinstance(node.value, str) or isinstance(node.value, Number):
            self.add(node, path, message)
            return None
        if SURROGATE.search(node.value):
            self.add(node, path, "the string holds half of a surrogate pair, which is no character")
            return None
        return node.value


def members(node: Node) -> dict[str, Node]:
    """The members of an object; none of another value."""
    return node.value if isinstance(node.value, dict) else {}


def hint(name: str, known: tuple[str, ...]) -> str:
    """Names the element that differs in case alone: the usual slip."""
    for candidate in known:
        if candidate.lower() == name.lower():
            return f"; names are case-sensitive: write '{candidate}'"
    return ""
