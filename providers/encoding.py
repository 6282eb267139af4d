"""The two encodings of JOSE, read strictly: base64url without padding (RFC 7515 §2) and JSON objects (RFC 8259)."""

import base64
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"

_UNUSABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")  # neither XML nor a log can carry them


def base64url(text: str) -> bytes:
    """Decode. Raises `ValueError` for padding, other characters, and bits that the last character should not carry.

    One value has one spelling only, so nothing that was seen before comes back looking new.
    """
    decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    # The decoder passes over what it does not know; only the canonical spelling comes back as it was.
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != text.encode("ascii"):
        raise ValueError("not canonical base64url")
    return decoded


def json_object(document: bytes) -> Mapping[str, Json]:
    """Parse. Raises `ValueError` for all but one object in UTF-8.

    Refused beyond what the syntax refuses: duplicate members, NaN and infinities, lone surrogates, control characters
    (save tabs and line ends), nesting deeper than the parser's stack, and integers longer than Python converts.
    """
    text = document.decode("utf-8")
    try:
        value = _DECODER.decode(text)
        if "\\" in text and any(_UNUSABLE.search(string) for string in _strings(value)):  # only escaped can they come
            raise ValueError("a string holds characters that are none")
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - one error for a document that is none
    return value


def _strings(value: Json) -> Iterator[str]:
    # Without recursion: a string would be handed through every level around it, and a token has room for hundreds.
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            waiting += each
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def _members(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is given twice")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_float=_finite, parse_constant=_no_constant)
