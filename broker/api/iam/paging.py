"""Paging (IAM API reference, `MaxItems` and `Marker`): a marker names the last item of the page before.

So a page goes on where the one before ended, whatever was added or removed meanwhile.
"""

import base64
import binascii
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from broker.api.params import param
from broker.api.rules import integer, text
from broker.errors import ValidationError

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Paged:
    """The parameters of every list."""

    max_items: int = param("MaxItems", integer(1, 1000), default=100)
    marker: str | None = param("Marker", text(1, 320, r"[\u0020-\u00FF]+"), default=None)


def page(
    items: Sequence[_T], key: Callable[[_T], str], request: Paged, *, of: str
) -> tuple[Sequence[_T], Mapping[str, Any]]:
    """The items that are asked for, and the elements that tell whether there are more and where they begin.

    `items` are sorted by `key`, which is different for each. `of` names the list: a marker of another is refused.
    Raises `ValidationError` for what is no marker of this list.
    """
    start = 0 if request.marker is None else bisect_right(items, _read(request.marker, of), key=key)
    end = start + request.max_items
    shown, more = items[start:end], end < len(items)
    return shown, {"IsTruncated": more, "Marker": _marker(of, key(shown[-1])) if more else None}


def _marker(of: str, last: str) -> str:
    return base64.urlsafe_b64encode(f"{of}:{last}".encode()).decode("ascii")


def _read(marker: str, of: str) -> str:
    try:
        name, colon, last = base64.b64decode(marker, altchars=b"-_", validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as error:
        raise ValidationError(_INVALID) from error
    if name != of or not colon:
        raise ValidationError(_INVALID)
    return last


_INVALID = "Invalid Marker: pass the Marker of the answer before, of the same action, as it is."
