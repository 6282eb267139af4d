"""Which master keys are in use: by whom they are first, what is sealed under them, how long sessions need them.

Every process notes in the store, every few seconds, which master key it has first; a survey of the sealed values is
kept beside the notes. So an operator can be told when an old key is not needed any more.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

from broker.clock import Now
from broker.sealing import MasterKeys
from broker.sessions.model import MAXIMUM_LIFETIME
from broker.stores.contract import Store

NOTE_EVERY = timedelta(seconds=5)
FIRST_NOWHERE_AFTER = 3 * NOTE_EVERY
"""When its notes have stopped for so long, no living process has a master key first."""
_LATE = timedelta(minutes=1)
"""By which a process's last session may be younger than its last note, clocks that differ included."""
_SURVEY = "sealed-values"


class Status(StrEnum):
    """What a master key is to the gateway that is asked."""

    CURRENT = "Current"  # first in its keys.master
    IN_USE = "InUse"  # accepted, and something is under it or it is first at another gateway
    UNUSED = "Unused"  # accepted, and nothing needs it
    MISSING = "Missing"  # values are sealed under it, and it is not in keys.master


@dataclass(frozen=True, slots=True)
class MasterKey:
    """One master key, as far as it may be told. `sealed_values`: when they were last counted; None where never.

    `last_session_ends_at`: when the last session derived from it may end; None for the current key, and where none is
    left. It is an upper bound: the time since which the key is first nowhere, and the longest that a session lives.
    """

    master_id: str
    status: Status
    sealed_values: int | None
    last_session_ends_at: datetime | None


class Survey(msgspec.Struct, frozen=True):
    """How many values of each kind are sealed under each master key. `at`: seconds since 1970."""

    at: int
    counts: dict[str, dict[str, int]]

    @property
    def totals(self) -> Mapping[str, int]:
        """Of all kinds, by master key."""
        total: Counter[str] = Counter()
        for each in self.counts.values():
            total.update(each)
        return total


@dataclass(frozen=True, slots=True)
class KeyUse:
    """Reads and writes the notes and the survey. Every verb raises `StoreUnavailable`."""

    store: Store
    masters: MasterKeys
    now: Now

    async def note(self) -> None:
        """This process lives, and has its current master key first."""
        at = str(int(self.now().timestamp())).encode("ascii")
        await self.store.put(_note(self.masters.current_id), at, ttl=MAXIMUM_LIFETIME + _LATE)

    async def outgoing(self) -> Mapping[str, datetime | None]:
        """The configured master keys that no living process has first, and when one had, where that is still known."""
        others = sorted(self.masters.ids - {self.masters.current_id})
        noted = await asyncio.gather(*map(self._first_until, others))
        limit = self.now() - FIRST_NOWHERE_AFTER
        return {each: last for each, last in zip(others, noted, strict=True) if last is None or last < limit}

    async def survey(self) -> Survey | None:
        """The last one; None where there is none that can be read."""
        raw = await self.store.get(_SURVEY)
        if raw is None:
            return None
        try:
            return msgspec.json.decode(raw, type=Survey)
        except msgspec.MsgspecError:
            return None

    async def keep(self, survey: Survey) -> None:
        """In the place of the last one."""
        await self.store.put(_SURVEY, msgspec.json.encode(survey))

    async def master_keys(self) -> Sequence[MasterKey]:
        """The configured ones, the current one first, and those that are missing."""
        survey = await self.survey()
        totals = survey.totals if survey is not None else {}
        configured = sorted(self.masters.ids, key=lambda each: (each != self.masters.current_id, each))
        noted = await asyncio.gather(*map(self._first_until, configured))
        known = [
            self._described(each, None if survey is None else totals.get(each, 0), last)
            for each, last in zip(configured, noted, strict=True)
        ]
        missing = sorted(totals.keys() - self.masters.ids)
        return [*known, *(MasterKey(each, Status.MISSING, totals[each], None) for each in missing)]

    def _described(self, master_id: str, sealed_values: int | None, last: datetime | None) -> MasterKey:
        if master_id == self.masters.current_id:
            return MasterKey(master_id, Status.CURRENT, sealed_values, None)
        ends = None if last is None else last + MAXIMUM_LIFETIME + _LATE
        unused = sealed_values == 0 and ends is None
        return MasterKey(master_id, Status.UNUSED if unused else Status.IN_USE, sealed_values, ends)

    async def _first_until(self, master_id: str) -> datetime | None:
        """When it was last noted; None where no session derived from it can live any more."""
        raw = await self.store.get(_note(master_id))
        return None if raw is None else datetime.fromtimestamp(int(raw), UTC)


def _note(master_id: str) -> str:
    return f"master-key-first:{master_id}"
