"""The configuration in force: one snapshot at a time, replaced as a whole when the files have changed.

Invariants: `snapshot` is always a complete, valid one; a load that finds any fault changes nothing; whoever read
a snapshot keeps it, whatever happens later. One load runs at a time.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from operator import attrgetter
from pathlib import Path

from broker.directory.files import load
from broker.directory.model import Snapshot
from broker.directory.reading import account_files
from broker.settings import ConfigurationError, Overrides, Settings, Stamp

POLL = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Reloaded:
    """A new snapshot is in force."""

    snapshot: Snapshot
    restart_needed: tuple[str, ...]
    """What of `sojourn.yaml` changed and takes effect at the next start only."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The files are not valid; the snapshot before stays in force."""

    error: ConfigurationError


Report = Callable[[Reloaded | Refused], None]

_AT_START = ("server", "store", "keys.rotate_every", "audit", "guessing")


class Directory:
    """Holds the current snapshot of a configuration directory."""

    def __init__(
        self, path: Path, snapshot: Snapshot, *, environ: Mapping[str, str], overrides: Overrides, report: Report
    ) -> None:
        """`report` hears of every reload, on the event loop."""
        self._path = path
        self._environ = environ
        self._overrides = overrides
        self._report = report
        self._snapshot = snapshot
        self._seen: Mapping[Path, Stamp | None] = snapshot.files
        self._loading = asyncio.Lock()

    @property
    def snapshot(self) -> Snapshot:
        """What is in force now; a request reads it once."""
        return self._snapshot

    async def reload(self) -> Reloaded | Refused:
        """Load everything again, off the event loop, and put it in force if it has no fault."""
        async with self._loading:
            return self._put_in_force(await asyncio.to_thread(self._load))

    def reload_at_once(self) -> Reloaded | Refused:
        """As `reload`, in a process without an event loop."""
        return self._put_in_force(self._load())

    def _put_in_force(self, result: Reloaded | Refused) -> Reloaded | Refused:
        if isinstance(result, Reloaded):
            self._snapshot = result.snapshot
            self._seen = result.snapshot.files
        else:
            self._seen = result.error.files
        self._report(result)
        return result

    def _load(self) -> Reloaded | Refused:
        try:
            snapshot = load(self._path, environ=self._environ, overrides=self._overrides)
        except ConfigurationError as error:
            return Refused(error)
        old, new = self._snapshot.settings, snapshot.settings
        values = ((each, attrgetter(each)) for each in _AT_START)
        waiting = tuple(each for each, value in values if value(old) != value(new))
        return Reloaded(replace(snapshot, settings=_in_force(old, new)), waiting)

    async def watch(self, interval: timedelta = POLL) -> None:
        """Reload whenever a file that took part, or the list of account files, has changed; runs until cancelled.

        A change counts once it has stood still for one `interval`, so that a file is not read half-written.
        """
        before: Mapping[Path, Stamp | None] | None = None
        while True:
            await asyncio.sleep(interval.total_seconds())
            present = await asyncio.to_thread(self._stamps)
            if present != self._seen and present == before:
                await self.reload()
            before = present

    def _stamps(self) -> Mapping[Path, Stamp | None]:
        try:
            accounts = account_files(self._path)
        except OSError:
            accounts = ()
        return {path: Stamp.of(path) for path in {*self._seen, *accounts}}


def _in_force(old: Settings, new: Settings) -> Settings:
    """`new`, with what takes effect at the start only as it was then: half of a change would serve nobody."""
    values = {name: getattr(new, name) for name in type(new).model_fields}
    values |= {name: getattr(old, name) for name in _AT_START if name in values}
    values["keys"] = new.keys.model_copy(update={"rotate_every": old.keys.rotate_every})
    return Settings.model_construct(**values)
