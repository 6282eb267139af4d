"""Condition operators (IAM User Guide, "IAM JSON policy elements: Condition operators").

`OPERATORS` holds what an operator knows: how to read a value and when a policy's values are met. What all
operators share is in `broker.policy.conditions`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import eq, ge, gt, le, lt
from typing import Any, Final

from broker.policy.context import KeyType, RequestContext, fold
from broker.policy.match import Glob, Matcher, matcher
from broker.policy.template import Template, Variable, fill, literal_of, split_arn, template, variables_of
from broker.policy.values import (
    Address,
    read_address,
    read_arn,
    read_binary,
    read_bool,
    read_date,
    read_network,
    read_number,
)

Predicate = Callable[[Any, RequestContext], bool]
"""Whether one value of the request, as read, is met by any of the policy's values."""


@dataclass(frozen=True, slots=True)
class Operator:
    """How one condition operator works.

    `compile` takes the policy's values as text and whether variables are processed; it raises `BadValue`.
    `read` turns one value of the request into what the predicate takes, or raises ValueError; None takes the text.
    """

    type: KeyType
    compile: Callable[[Sequence[str], bool], Predicate]
    read: Callable[[str], object] | None = None
    negated: bool = False
    variables: bool = False
    """Whether its values may hold policy variables."""


class BadValue(ValueError):
    """The policy's value number `index` is not one for the operator."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


class Quantifier(StrEnum):
    """A set operator."""

    ALL = "ForAllValues"
    ANY = "ForAnyValue"


def read_all(values: Sequence[str], read: Callable[[str], Any]) -> list[Any]:
    """The values as read. Raises `BadValue`."""
    out = []
    for index, value in enumerate(values):
        try:
            out.append(read(value))
        except ValueError as error:
            raise BadValue(index, str(error)) from None
    return out


def _any_of(matchers: Sequence[Matcher]) -> Predicate:
    if len(matchers) == 1:
        return matchers[0]
    return lambda actual, context: any(match(actual, context) for match in matchers)


def _exact(values: Sequence[str], variables: bool) -> Predicate:
    templates = read_all(values, _template_reader(variables=variables, wildcards=False))
    literals = frozenset(text for tokens in templates if (text := literal_of(tokens)) is not None)
    rest = [matcher(tokens) for tokens in templates if literal_of(tokens) is None]
    if not rest:
        return lambda actual, _context: actual in literals
    match = _any_of(rest)
    return lambda actual, context: actual in literals or match(actual, context)


def _exact_ignoring_case(values: Sequence[str], variables: bool) -> Predicate:
    templates: list[Template] = read_all(values, _template_reader(variables=variables, wildcards=False))

    def match(tokens: Template) -> Matcher:
        if (text := literal_of(tokens)) is not None:
            folded = fold(text)
            return lambda actual, _context: fold(actual) == folded

        def matches(actual: str, context: RequestContext) -> bool:
            filled = fill(tokens, context)
            return filled is not None and fold(actual) == fold(literal_of(filled) or "")

        return matches

    return _any_of([match(tokens) for tokens in templates])


def _like(values: Sequence[str], variables: bool) -> Predicate:
    return _any_of([matcher(t) for t in read_all(values, _template_reader(variables=variables, wildcards=True))])


def _template_reader(*, variables: bool, wildcards: bool) -> Callable[[str], Template]:
    return lambda text: template(text, variables=variables, wildcards=wildcards)


def _arn_template(text: str, *, variables: bool) -> Template:
    tokens = template(text, variables=variables, wildcards=True)
    if len(tokens) == 1 and isinstance(tokens[0], Variable):
        return tokens
    parts = split_arn(tokens)
    if len(parts) != 6 or parts[0] != ("arn",):
        raise ValueError(
            f"{text[:60]!r} is not an ARN pattern of six parts, arn:partition:service:region:account:resource"
        )
    return tokens


def _arn_like(values: Sequence[str], variables: bool) -> Predicate:
    templates: list[Template] = read_all(values, lambda text: _arn_template(text, variables=variables))
    return _any_of([_arn_matcher(tokens) for tokens in templates])


def _arn_matcher(tokens: Template) -> Matcher:
    """For the request's six parts, each compared with its own; a variable that is the whole value is one ARN."""
    if isinstance(tokens[0], Variable):
        variable = tokens[0]
        return lambda actual, context: ":".join(actual) == variable.value(context)
    parts = split_arn(tokens)
    if not variables_of(tokens):
        globs = [Glob(part) for part in parts]
        return lambda actual, _context: all(map(Glob.matches, globs, actual))
    matchers = [matcher(part) for part in parts]
    return lambda actual, context: all(match(part, context) for match, part in zip(matchers, actual, strict=True))


def _compare(
    read: Callable[[str], Any], holds: Callable[[Any, Any], bool]
) -> Callable[[Sequence[str], bool], Predicate]:
    def compile_values(values: Sequence[str], _variables: bool) -> Predicate:
        expected = read_all(values, read)
        if len(expected) == 1:
            only = expected[0]
            return lambda actual, _context: holds(actual, only)
        return lambda actual, _context: any(holds(actual, value) for value in expected)

    return compile_values


def _within(values: Sequence[str], _variables: bool) -> Predicate:
    networks: list[tuple[int, int, int]] = read_all(values, read_network)

    def within(actual: Address, _context: RequestContext) -> bool:
        version, number = actual
        return any(number & mask == network and version == family for family, network, mask in networks)

    if len(networks) > 1:
        return within
    family, network, mask = networks[0]
    return lambda actual, _context: actual[1] & mask == network and actual[0] == family


def _table() -> dict[str, Operator]:
    comparisons = {"LessThan": lt, "LessThanEquals": le, "GreaterThan": gt, "GreaterThanEquals": ge, "Equals": eq}
    table = {
        "StringEquals": Operator(KeyType.STRING, _exact, variables=True),
        "StringEqualsIgnoreCase": Operator(KeyType.STRING, _exact_ignoring_case, variables=True),
        "StringLike": Operator(KeyType.STRING, _like, variables=True),
        "Bool": Operator(KeyType.BOOLEAN, _compare(read_bool, eq), read_bool),
        "BinaryEquals": Operator(KeyType.BINARY, _compare(read_binary, eq), read_binary),
        "IpAddress": Operator(KeyType.IP, _within, read_address),
        "ArnEquals": Operator(KeyType.ARN, _arn_like, read_arn, variables=True),
        "ArnLike": Operator(KeyType.ARN, _arn_like, read_arn, variables=True),
    }
    for suffix, holds in comparisons.items():
        table["Numeric" + suffix] = Operator(KeyType.NUMERIC, _compare(read_number, holds), read_number)
        table["Date" + suffix] = Operator(KeyType.DATE, _compare(read_date, holds), read_date)
    for positive, negative in (
        ("StringEquals", "StringNotEquals"),
        ("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"),
        ("StringLike", "StringNotLike"),
        ("NumericEquals", "NumericNotEquals"),
        ("DateEquals", "DateNotEquals"),
        ("IpAddress", "NotIpAddress"),
        ("ArnEquals", "ArnNotEquals"),
        ("ArnLike", "ArnNotLike"),
    ):
        row = table[positive]
        table[negative] = Operator(row.type, row.compile, row.read, negated=True, variables=row.variables)
    return table


OPERATORS: Final = _table()
"""Every operator but `Null`, which asks only whether the key is there. A new one is a row."""

NULL: Final = "Null"


@dataclass(frozen=True, slots=True)
class OperatorName:
    """An operator as a document writes it, taken apart: `ForAnyValue:StringLikeIfExists`."""

    base: str
    quantifier: Quantifier | None
    if_exists: bool

    @classmethod
    def parse(cls, text: str) -> "OperatorName":
        """Raises ValueError with a sentence where there is no such operator."""
        head, colon, tail = text.partition(":")
        if colon and head not in tuple(Quantifier):
            raise ValueError(f"{head[:60]!r} is no set operator; there are ForAllValues and ForAnyValue")
        name = tail if colon else head
        base = name.removesuffix("IfExists")
        if base == NULL and base != name:
            raise ValueError("Null cannot be followed by IfExists")
        if base != NULL and base not in OPERATORS:
            raise ValueError(f"{name[:60]!r} is no condition operator")
        return cls(base, Quantifier(head) if colon else None, base != name)
