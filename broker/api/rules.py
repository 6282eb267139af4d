"""Rules for single parameter values: how each is read and which of AWS's constraint clauses it can fail.

A rule appends a clause per fault and gives the value; the value is dropped where there was a fault. Lengths count
Unicode code points. Characters outside the Basic Multilingual Plane are refused wherever a pattern applies, as the
live service does.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from broker.arn import Arn
from broker.errors import MalformedInput
from broker.flows.tags import is_tag_text

T = TypeVar("T")

Rule = Callable[[str, list[str]], T | None]
"""Reads a value; appends the clauses that it fails to the list."""


class Sentence(str):
    """A fault that AWS reports as a message of its own, after all constraints hold."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern as AWS's model prints it, and the test that it stands for."""

    printed: str
    admits: Callable[[str], object]


def pattern(expression: str) -> Pattern:
    r"""A pattern that Python reads as the model does, with `\w` and `\d` as ASCII."""
    return Pattern(expression, re.compile(expression, re.ASCII).fullmatch)


TAG_KEY = Pattern(r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+", lambda text: text != "" and is_tag_text(text))
TAG_VALUE = Pattern(r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", is_tag_text)
ARN_TEXT = Pattern(
    r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+",
    re.compile(r"[\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd]+").fullmatch,
)
POLICY_TEXT = Pattern(r"[\u0009\u000A\u000D\u0020-\u00FF]+", re.compile(r"[\t\n\r -\xff]+").fullmatch)

_INTEGER = re.compile(r"[+-]?[0-9]{1,64}")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)


def text(minimum: int = 0, maximum: int | None = None, admitted: str | Pattern | None = None) -> Rule[str]:
    """Text of `minimum` to `maximum` code points that the pattern admits as a whole."""
    wanted = pattern(admitted) if isinstance(admitted, str) else admitted
    longest = maximum if maximum is not None else 1 << 62

    def read(value: str, clauses: list[str]) -> str:
        length = len(value)
        if length > longest:
            clauses.append(f"Member must have length less than or equal to {maximum}")
        if length < minimum:
            clauses.append(f"Member must have length greater than or equal to {minimum}")
        if wanted is not None and not wanted.admits(value):
            clauses.append(f"Member must satisfy regular expression pattern: {wanted.printed}")
        return value

    return read


def stripped(minimum: int, maximum: int) -> Rule[str]:
    """Text without the blanks and line ends around it: SDKs send a token file's last line break along."""
    inner = text(minimum, maximum)

    def read(value: str, clauses: list[str]) -> str | None:
        return inner(value.strip(" \t\r\n"), clauses)

    return read


def arn(kind: str | None = None, *, invalid: str = "{arn} is invalid") -> Rule[Arn]:
    """An ARN of 20 to 2048 characters; `kind` (`role`) is the resource type it must have, in IAM.

    `invalid` is AWS's sentence for another shape: `Request ARN is invalid` for the unsigned actions.
    """
    shape = text(20, 2048, ARN_TEXT)

    def read(value: str, clauses: list[str]) -> Arn | None:
        shape(value, clauses)
        try:
            parsed = Arn.parse(value)
        except ValueError:
            parsed = None
        if parsed is None or (kind is not None and (parsed.service, parsed.resource_type) != ("iam", kind)):
            clauses.append(Sentence(invalid.format(arn=value[:1024])))
            return None
        return parsed

    return read


def integer(minimum: int, maximum: int) -> Rule[int]:
    """A signed 32-bit integer within the range, in decimal digits with an optional sign.

    Raises:
        MalformedInput: it is no such number.
    """

    def read(value: str, clauses: list[str]) -> int:
        if not value:
            raise MalformedInput("missing value for decimal type")
        if not _INTEGER.fullmatch(value):
            raise MalformedInput("")
        number = int(value)
        if not -(1 << 31) <= number < 1 << 31:
            raise MalformedInput("")
        if number < minimum:
            clauses.append(f"Member must have value greater than or equal to {minimum}")
        if number > maximum:
            clauses.append(f"Member must have value less than or equal to {maximum}")
        return number

    return read


def seconds(minimum: int, maximum: int) -> Rule[timedelta]:
    """A number of seconds within the range."""
    number = integer(minimum, maximum)

    def read(value: str, clauses: list[str]) -> timedelta:
        return timedelta(seconds=number(value, clauses) or 0)

    return read


def boolean() -> Rule[bool]:
    """`true` or `false`.

    Raises:
        MalformedInput: anything else.
    """

    def read(value: str, _clauses: list[str]) -> bool:
        if value not in ("true", "false"):
            raise MalformedInput("")
        return value == "true"

    return read


def choice(*values: str) -> Rule[str]:
    """One of `values`."""

    def read(value: str, clauses: list[str]) -> str:
        if value not in values:
            clauses.append(f"Member must satisfy enum value set: [{', '.join(values)}]")
        return value

    return read


def instant() -> Rule[datetime]:
    """An ISO 8601 time with seconds and offset, given back in UTC.

    Raises:
        MalformedInput: it is no such time.
    """

    def read(value: str, _clauses: list[str]) -> datetime:
        if not _INSTANT.fullmatch(value):
            raise MalformedInput("timestamp must follow ISO8601")
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise MalformedInput("timestamp must follow ISO8601") from error

    return read
