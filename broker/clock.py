"""Time as an argument: the one place that reads the wall clock."""

from collections.abc import Callable
from datetime import UTC, datetime

Now = Callable[[], datetime]
"""Gives the present instant, aware and in UTC."""


def utc_now() -> datetime:
    """The present instant, aware and in UTC."""
    return datetime.now(UTC)


def iso8601(instant: datetime) -> str:
    """`2026-07-13T10:00:00Z`: whole seconds in UTC, as AWS prints an `Expiration`."""
    return f"{instant.astimezone(UTC).isoformat('T', 'seconds')[:19]}Z"
