"""Matching of actions and resources: wildcards in linear time, policy variables
(IAM User Guide, "IAM JSON policy elements: Action, Resource, variables").
"""

from collections.abc import Callable, Sequence

from broker.policy.context import RequestContext, fold
from broker.policy.template import (
    STAR,
    Template,
    Token,
    Variable,
    Wildcard,
    fill,
    literal_of,
    only_text,
    prefix_of,
    split_arn,
    template,
    variables_of,
)

Matcher = Callable[[str, RequestContext], bool]
"""Whether a text matches, where the context gives the variables' values."""


class Chunk:
    """The part of a pattern between two stars: literals and `?`."""

    __slots__ = ("_literal", "_pieces", "length")

    def __init__(self, tokens: Sequence[str | Wildcard]) -> None:
        self._pieces: list[tuple[int, str]] = []
        self._literal: str | None = None
        at = 0
        for token in tokens:
            if isinstance(token, str):
                self._pieces.append((at, token))
                at += len(token)
            else:
                at += 1
        self.length = at
        if all(isinstance(token, str) for token in tokens):
            self._literal = "".join(piece for _, piece in self._pieces)

    def at(self, text: str, start: int) -> bool:
        """Whether the chunk matches `text` at `start`, which leaves room for it."""
        if self._literal is not None:
            return text.startswith(self._literal, start)
        return all(text.startswith(piece, start + offset) for offset, piece in self._pieces)

    def find(self, text: str, start: int, end: int) -> int:
        """The end of the first occurrence within `text[start:end]`, or -1.

        Without `?` this is `str.find`. With it, the shift-and algorithm (Baeza-Yates and Gonnet, 1992) keeps
        all partial matches in the bits of one number: one step a character, however the pattern repeats itself.
        """
        if self._literal is not None:
            found = text.find(self._literal, start, end)
            return -1 if found < 0 else found + self.length
        masks, gaps = self._masks()
        goal = 1 << (self.length - 1)
        state = 0
        for index in range(start, end):
            state = (state << 1 | 1) & masks.get(text[index], gaps)
            if state & goal:
                return index + 1
        return -1

    def _masks(self) -> tuple[dict[str, int], int]:
        """For each character the positions, as bits, where the chunk accepts it; and for all others."""
        bits = bytearray(b"1" * self.length)
        characters: dict[str, list[int]] = {}
        for offset, piece in self._pieces:
            for index, character in enumerate(piece, offset):
                bits[index] = ord("0")
                characters.setdefault(character, []).append(index)
        gaps = int(bits[::-1], 2)
        masks = {}
        for character, places in characters.items():
            own = bytearray(b"0" * self.length)
            for index in places:
                own[index] = ord("1")
            masks[character] = gaps | int(own[::-1], 2)
        return masks, gaps


class Glob:
    """A pattern with `*` and `?` and without variables. Time is linear in the text."""

    __slots__ = ("_first", "_last", "_least", "_middle")

    def __init__(self, tokens: Sequence[Token]) -> None:
        groups: list[list[str | Wildcard]] = [[]]
        for token in tokens:
            if token is STAR:
                groups.append([])
            elif not isinstance(token, Variable):
                groups[-1].append(token)
        chunks = [Chunk(group) for group in groups]
        self._first = chunks[0]
        self._last = chunks[-1] if len(chunks) > 1 else None
        self._middle = [chunk for chunk in chunks[1:-1] if chunk.length]
        self._least = sum(chunk.length for chunk in chunks)

    def matches(self, text: str) -> bool:
        """Whether the whole of `text` matches.

        Taking each chunk at its first occurrence loses nothing: what a later one would match is still to the right.
        """
        if len(text) < self._least or not self._first.at(text, 0):
            return False
        if self._last is None:
            return len(text) == self._first.length
        end = len(text) - self._last.length
        if not self._last.at(text, end):
            return False
        at = self._first.length
        for chunk in self._middle:
            at = chunk.find(text, at, end)
            if at < 0:
                return False
        return True


def matcher(tokens: Template) -> Matcher:
    """The cheapest matcher for the whole of a text."""
    if tokens == (STAR,):
        return lambda _text, _context: True
    if (literal := literal_of(tokens)) is not None:
        return lambda text, _context: text == literal
    open_end = tokens[-1] is STAR
    head = tokens[:-1] if open_end else tokens
    if not any(isinstance(token, Wildcard) for token in head):
        if only_text(head):
            prefix = prefix_of(head)
            return lambda text, _context: text.startswith(prefix)
        return _filled_prefix(head, open_end=open_end)
    if not variables_of(tokens):
        glob = Glob(tokens)
        return lambda text, _context: glob.matches(text)
    return _filled_glob(tokens)


def _filled_prefix(head: Template, *, open_end: bool) -> Matcher:
    steps = [
        (token, "", None) if isinstance(token, str) else (None, token.key, token.default)
        for token in head
        if not isinstance(token, Wildcard)
    ]

    def matches(text: str, context: RequestContext) -> bool:
        values = context.values
        at = 0
        for piece, key, default in steps:
            if piece is None:
                value = values.get(key, default)
                if value.__class__ is not str:
                    value = default
                if value is None:
                    return False
                piece = value
            if not text.startswith(piece, at):
                return False
            at += len(piece)
        return open_end or at == len(text)

    return matches


def _filled_glob(tokens: Template) -> Matcher:
    def matches(text: str, context: RequestContext) -> bool:
        filled = fill(tokens, context)
        return filled is not None and Glob(filled).matches(text)

    return matches


def action_matcher(pattern: str) -> Callable[[str], bool]:
    """For an action pattern with wildcards: whether a folded action matches."""
    tokens = template(fold(pattern), variables=False, wildcards=True)
    match = matcher(tokens)
    nothing = RequestContext()
    return lambda action: match(action, nothing)


def resource_matcher(tokens: Template, *, wide: bool = False) -> Matcher:
    """Whether a request's resource matches a Resource pattern.

    Narrow: part by part, a wildcard does not cross one of the first five colons; a wildcard in the service, a
    variable before the fifth colon and a pattern with fewer parts match nothing. `wide`: the pattern covers the text
    as a whole, and one with fewer parts all that follows them. Where the two differ AWS's documents leave open what
    holds: what grants is read narrowly, what denies widely.
    """
    whole = matcher(tokens)
    if tokens == (STAR,):
        return whole
    parts = split_arn(tokens)
    if wide:
        if len(parts) == 6:
            return whole
        completed = matcher((*tokens, ":", STAR))
        return lambda text, context: whole(text, context) or completed(text, context)
    if len(parts) != 6 or not only_text(parts[2]) or any(map(variables_of, parts[:5])):
        return lambda _text, _context: False
    if all(only_text(part) for part in parts[:5]):
        return whole
    return _by_part(parts)


def _by_part(parts: Sequence[Template]) -> Matcher:
    literals = [literal_of(part) for part in parts[:5]]
    globs = [None if part == (STAR,) else Glob(part) for part in parts[:5]]
    checks = [
        (index, literal, None if literal is not None else glob)
        for index, (literal, glob) in enumerate(zip(literals, globs, strict=True))
        if literal is not None or glob is not None
    ]
    rest = matcher(parts[5])

    def matches(text: str, context: RequestContext) -> bool:
        given = text.split(":", 5)
        if len(given) != 6:
            return False
        for index, literal, glob in checks:
            if glob is None:
                if given[index] != literal:
                    return False
            elif not glob.matches(given[index]):
                return False
        return rest(given[5], context)

    return matches
