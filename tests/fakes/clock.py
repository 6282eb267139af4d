"""A clock that moves only when told."""

from datetime import UTC, datetime, timedelta


class Clock:
    """Call it for the present instant (aware, UTC)."""

    def __init__(self, instant: datetime | None = None) -> None:
        self.instant = instant if instant is not None else datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.instant

    def advance(self, step: timedelta) -> None:
        """Move on, or back by a negative step."""
        self.instant += step
