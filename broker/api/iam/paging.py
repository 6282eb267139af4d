"""Paging (IAM API reference, `MaxItems` and `Marker`): a marker names the last item of the page before.

So a page goes on where the one before ended, whatever was added or removed meanwhile.
"""

import base64
import binascii
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TypeVar

from broker.errors import ValidationError

DEFAULT_ITEMS = 100

_T = TypeVar("_T")


def page(
    items: Sequence[_T], key: Callable[[_T], str], *, of: str, max_items: int, marker: str | None
) -> tuple[Sequence[_T], str | None]:
    """The items behind `marker`, `max_items` at most, and the marker of the next page where there is one.

    `items` are sorted by `key`, which is different for each. `of` names the list: a marker of another is refused.
    Raises `ValidationError` for what is no marker of this list.
    """
    start = 0 if marker is None else bisect_right(items, _read(marker, of), key=key)
    shown = items[start : start + max_items]
    more = start + max_items < len(items)
    return shown, _marker(of, key(shown[-1])) if more else None


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
