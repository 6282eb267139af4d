"""Patterns of the policy language as tokens: literals, wildcards and policy variables
(IAM User Guide, "IAM JSON policy elements: variables and tags").

A pattern becomes tokens once, when its policy is read. A variable's value is put in as a literal, so a wildcard
in it is an ordinary character.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from broker.policy.context import RequestContext, fold


class Wildcard(Enum):
    """`*` and `?` of a pattern."""

    STAR = "*"
    ONE = "?"


STAR: Final = Wildcard.STAR
ONE: Final = Wildcard.ONE


@dataclass(frozen=True, slots=True)
class Variable:
    """`${name}` or `${name, 'default'}`; `key` is the folded name."""

    name: str
    key: str
    default: str | None = None

    def value(self, context: RequestContext) -> str | None:
        """Its text in this request; a key with a list of values has none."""
        value = context.values.get(self.key)
        return value if isinstance(value, str) else self.default


Token = str | Wildcard | Variable
Template = tuple[Token, ...]

_VARIABLE = re.compile(r"\$\{(?:([*?$])|([^\s{}',$*?][^{}',$*?]*)(?:, '([^']*)')?)\}")
_SPECIAL = re.compile(r"[*?]|\$\{")


def template(text: str, *, variables: bool, wildcards: bool) -> Template:
    """Split `text` into literals, wildcards and variables, as far as each is asked for.

    Raises:
        ValueError: a `${` that begins no well-formed variable.
    """
    tokens: list[Token] = []
    literal: list[str] = []

    def put(token: Token) -> None:
        if literal:
            tokens.append("".join(literal))
            literal.clear()
        if not (token is STAR and tokens and tokens[-1] is STAR):
            tokens.append(token)

    at = 0
    while found := _SPECIAL.search(text, at):
        if found.start() > at:
            literal.append(text[at : found.start()])
        sign, at = found.group(), found.end()
        if sign == "${" and variables:
            variable = _VARIABLE.match(text, found.start())
            if variable is None:
                raise ValueError(f"{text[found.start() : found.start() + 60]!r} begins no well-formed variable")
            at = variable.end()
            character, name, default = variable.groups()
            if character is not None:
                literal.append(character)
            elif ":" not in name.strip(":") or name != name.strip():
                raise ValueError(f"the variable {name[:60]!r} is no condition key, which has a prefix and a colon")
            else:
                put(Variable(name, fold(name), default))
        elif sign != "${" and wildcards:
            put(STAR if sign == "*" else ONE)
        else:
            literal.append(sign)
    literal.append(text[at:])
    if rest := "".join(literal):
        tokens.append(rest)
    return tuple(tokens)


def variables_of(tokens: Template) -> tuple[Variable, ...]:
    """The variables in a template, in order."""
    return tuple(token for token in tokens if isinstance(token, Variable))


def fill(tokens: Template, context: RequestContext) -> Template | None:
    """`tokens` with every variable replaced by its value; None where one has no value."""
    filled: list[Token] = []
    for token in tokens:
        if isinstance(token, Variable):
            value = token.value(context)
            if value is None:
                return None
            filled.append(value)
        else:
            filled.append(token)
    return tuple(filled)


def literal_of(tokens: Template) -> str | None:
    """The text of a template without wildcards and variables; None for any other."""
    return "".join(token for token in tokens if isinstance(token, str)) if only_text(tokens) else None


def only_text(tokens: Template) -> bool:
    """Whether a template has neither wildcards nor variables."""
    return all(isinstance(token, str) for token in tokens)


def prefix_of(tokens: Template) -> str:
    """The literal text before the first wildcard or variable: all that matches begins with it."""
    return tokens[0] if tokens and isinstance(tokens[0], str) else ""


def split_arn(tokens: Template) -> list[Template]:
    """Split a template at its first five literal colons: six parts, or fewer where there are fewer colons."""
    parts: list[Template] = []
    part: list[Token] = []
    for token in tokens:
        if not isinstance(token, str):
            part.append(token)
            continue
        pieces = token.split(":", 5 - len(parts))
        for piece in pieces[:-1]:
            parts.append((*part, piece) if piece else tuple(part))
            part = []
        if pieces[-1]:
            part.append(pieces[-1])
    return [*parts, tuple(part)]
