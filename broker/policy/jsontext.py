"""JSON (RFC 8259) with the place of every value: strict, bounded, duplicate names refused."""

import json
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

MAX_DEPTH: Final = 32
"""A policy needs seven levels; the bound keeps a hostile text from exhausting the stack."""

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORD = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_LITERALS: Final = {"true": True, "false": False, "null": None}


class Number(str):
    """A JSON number, kept as its text."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a text; both count from 1, the column in characters."""

    line: int
    column: int


@dataclass(slots=True)
class Node:
    """A JSON value and the offsets of its first character and of the one behind its last."""

    value: "dict[str, Node] | list[Node] | str | bool | None"
    start: int
    end: int
    names: dict[str, int] = field(default_factory=dict)
    """Of an object: where each member's name stands."""


class JsonError(ValueError):
    """The text is not JSON; `offset` is the first character that does not fit."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset


class Lines:
    """Turns offsets of `text` into positions."""

    __slots__ = ("_starts",)

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def position(self, offset: int) -> Position:
        """The position of the character at `offset`."""
        line = bisect_right(self._starts, offset)
        return Position(line, offset - self._starts[line - 1] + 1)


def read(text: str, duplicate: Callable[[tuple[str | int, ...], int], None]) -> Node:
    """Parse the whole of `text`.

    `duplicate` is called with the path and offset of every member whose name occurred before in its object.

    Raises:
        JsonError: `text` is not one JSON value, or nests deeper than `MAX_DEPTH`.
    """
    reader = _Reader(text, duplicate)
    start = reader.skip(0)
    if start == len(text):
        raise JsonError(start, "the policy is empty")
    if text[start] == "\ufeff":
        raise JsonError(start, "the policy begins with a byte order mark; remove it")
    node = reader.value(start, ())
    rest = reader.skip(node.end)
    if rest != len(text):
        raise JsonError(rest, "text follows the end of the policy")
    return node


class _Reader:
    __slots__ = ("_duplicate", "_text")

    def __init__(self, text: str, duplicate: Callable[[tuple[str | int, ...], int], None]) -> None:
        self._text = text
        self._duplicate = duplicate

    def skip(self, at: int) -> int:
        match = _SPACE.match(self._text, at)
        return match.end() if match else at

    def value(self, at: int, path: tuple[str | int, ...]) -> Node:
        if len(path) > MAX_DEPTH:
            raise JsonError(at, f"values are nested more than {MAX_DEPTH} levels deep")
        match self._text[at : at + 1]:
            case "{":
                return self._object(at, path)
            case "[":
                return self._array(at, path)
            case '"':
                text, end = self._string(at)
                return Node(text, at, end)
            case "":
                raise JsonError(at, "the text ends where a value is expected")
            case "'":
                raise JsonError(at, "strings are written with double quotes")
            case "/":
                raise JsonError(at, "JSON has no comments")
            case _:
                return self._scalar(at)

    def _scalar(self, at: int) -> Node:
        if number := _NUMBER.match(self._text, at):
            if self._text[number.end() : number.end() + 1].isalnum():
                raise JsonError(at, "this is not a JSON number")
            return Node(Number(number.group()), at, number.end())
        word = _WORD.match(self._text, at)
        if word is None:
            raise JsonError(at, f"{self._text[at]!a} cannot begin a value")
        if word.group() not in _LITERALS:
            raise JsonError(at, f"{word.group()[:40]!r} is no JSON value; write true, false, null or a quoted string")
        return Node(_LITERALS[word.group()], at, word.end())

    def _string(self, at: int) -> tuple[str, int]:
        match = _STRING.match(self._text, at)
        end = match.end() if match else at
        match self._text[end : end + 1]:
            case '"':
                decoded: str = json.loads(self._text[at : end + 1])
                return decoded, end + 1
            case "":
                raise JsonError(at, "this string is not closed")
            case "\\":
                raise JsonError(end, "this escape sequence is not one of JSON's")
            case _:
                raise JsonError(end, "a line break, tab or control character stands unescaped in a string")

    def _object(self, at: int, path: tuple[str | int, ...]) -> Node:
        members: dict[str, Node] = {}
        names: dict[str, int] = {}
        here = self.skip(at + 1)
        if self._text[here : here + 1] == "}":
            return Node(members, at, here + 1, names)
        while True:
            if self._text[here : here + 1] != '"':
                raise JsonError(here, self._no_name(here))
            name, end = self._string(here)
            colon = self.skip(end)
            if self._text[colon : colon + 1] != ":":
                raise JsonError(colon, "a colon is expected after the name")
            node = self.value(self.skip(colon + 1), (*path, name))
            if name in members:
                self._duplicate((*path, name), here)
            members[name] = node
            names[name] = here
            after = self.skip(node.end)
            match self._text[after : after + 1]:
                case ",":
                    here = self.skip(after + 1)
                case "}":
                    return Node(members, at, after + 1, names)
                case "":
                    raise JsonError(at, "this object is not closed")
                case _:
                    raise JsonError(after, "a comma or the end of the object is expected")

    def _no_name(self, at: int) -> str:
        if self._text[at : at + 1] == "}":
            return "a comma stands before the end of the object"
        return "a name in double quotes is expected"

    def _array(self, at: int, path: tuple[str | int, ...]) -> Node:
        items: list[Node] = []
        here = self.skip(at + 1)
        if self._text[here : here + 1] == "]":
            return Node(items, at, here + 1)
        while True:
            if items and self._text[here : here + 1] == "]":
                raise JsonError(here, "a comma stands before the end of the list")
            node = self.value(here, (*path, len(items)))
            items.append(node)
            after = self.skip(node.end)
            match self._text[after : after + 1]:
                case ",":
                    here = self.skip(after + 1)
                case "]":
                    return Node(items, at, after + 1)
                case "":
                    raise JsonError(at, "this list is not closed")
                case _:
                    raise JsonError(after, "a comma or the end of the list is expected")
