"""Waiting until something has happened: as long as a slow machine may need, which costs a quick one nothing."""

import time
from collections.abc import Callable
from typing import TypeVar

WITHIN = 90.0
"""Seconds. Far longer than what is waited for takes anywhere, and shorter than pytest's own limit."""

T = TypeVar("T")


def until(happened: Callable[[], T], otherwise: str = "it has not happened", *, every: float = 0.05) -> T:
    """What `happened` gives, once it gives something true. Its errors are the caller's."""
    deadline = time.monotonic() + WITHIN
    while not (found := happened()):
        assert time.monotonic() < deadline, otherwise
        time.sleep(every)
    return found
