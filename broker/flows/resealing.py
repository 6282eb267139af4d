"""Sealed values go over to the current master key in the background, so that an old one can be given up.

One process of all gateways of a store goes through the sealed values now and then, and whenever there are some under an
old key: it counts them, and seals anew what may go over.

Invariants:
1. A value leaves a master key only when no living process has that key first: while a change of the configuration is
   under way, nothing is sealed under a key that another gateway may not know yet, nor to and fro between two.
2. Values are exchanged by compare-and-swap: what somebody else writes at the same time stands.
3. The signing keys go last. A gateway that can open them can open what went before.
4. What cannot be opened is left as it is.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec

from broker import ids, telemetry
from broker.audit import Trail, service_event
from broker.clock import Now
from broker.ids import Random
from broker.sealing import MasterKeys, SealBroken, SealedRecords
from broker.sessions.key_use import FIRST_NOWHERE_AFTER, NOTE_EVERY, KeyUse, Status, Survey
from broker.stores.contract import Store, StoreUnavailable

_LOOK_EVERY = timedelta(minutes=5)
_LOOK_AGAIN = timedelta(seconds=30)
"""While there is nothing yet, and while values are missed: an operator puts that right, and waits for it."""
_LEASE_KEY, _LEASE = "resealing", timedelta(seconds=15)
_OWNER_BYTES = 16
_AT_ONCE = 25
"""Records that the requests of the process wait behind at most: some five milliseconds."""

log = logging.getLogger(__name__)


class _LeaseLost(Exception):
    """Another process goes through the values now."""


@dataclass(frozen=True, slots=True)
class _Examined:
    """A record as it was found: the master keys of its values, and its replacement where it may go over."""

    key: str
    record: bytes
    masters: Sequence[str]
    replacement: bytes | None


@dataclass(frozen=True, slots=True)
class _Tally:
    """Of one kind, by master key: the values under it, and those that left it."""

    under: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Resealing:
    """One a process. `sealed`: all there are, in the order in which they go over."""

    store: Store
    masters: MasterKeys
    use: KeyUse
    sealed: Sequence[SealedRecords]
    trail: Trail
    now: Now
    random: Random
    problems: Sequence[str] = field(default=(), init=False)
    """Why this gateway is of no use: what it needs is sealed under master keys that it does not know."""
    _configured: tuple[str, frozenset[str]] = field(init=False)
    _shown: frozenset[tuple[str, str]] = field(default=frozenset(), init=False)

    def __post_init__(self) -> None:
        self._configured = (self.masters.current_id, self.masters.ids)

    async def keep_resealing(self) -> None:
        """A round every few seconds, for ever; where the store does not answer, readiness tells it."""
        while True:
            with contextlib.suppress(StoreUnavailable):
                await self.round()
            await asyncio.sleep(NOTE_EVERY.total_seconds())

    async def round(self) -> None:
        """Note which key is first here, go through the values where that is due, tell how it stands.

        Raises `StoreUnavailable`: what went over stays so, and the next round goes on.
        """
        await self.use.note()
        survey = await self.use.survey()
        if await self._due(survey):
            await self._go_through_alone()
            survey = await self.use.survey()
        await self._tell(survey)

    async def _due(self, survey: Survey | None) -> bool:
        before, self._configured = self._configured, (self.masters.current_id, self.masters.ids)
        if survey is None or before != self._configured:
            return True
        unsettled = not survey.totals or survey.totals.keys() - self.masters.ids
        wait = _LOOK_AGAIN if unsettled else _LOOK_EVERY
        if self.now().timestamp() >= survey.at + wait.total_seconds():
            return True
        # As long as a process has a key first, more may be sealed under it.
        return any(
            survey.totals.get(each) or (last is not None and survey.at < (last + FIRST_NOWHERE_AFTER).timestamp())
            for each, last in (await self.use.outgoing()).items()
        )

    async def _go_through_alone(self) -> None:
        owner = self.random(_OWNER_BYTES)
        if not await self.store.add(_LEASE_KEY, owner, ttl=_LEASE):
            return
        with contextlib.suppress(_LeaseLost):
            await self._go_through(owner)
            await self.store.swap(_LEASE_KEY, owner, owner, ttl=timedelta(milliseconds=1))

    async def _go_through(self, owner: bytes) -> None:
        movable = frozenset(await self.use.outgoing())
        tallies = {each.kind: _Tally() for each in self.sealed}
        try:
            for each in self.sealed:
                async for keys in each.keys():
                    if not await self.store.swap(_LEASE_KEY, owner, owner, ttl=_LEASE):
                        raise _LeaseLost
                    for start in range(0, len(keys), _AT_ONCE):
                        await self._go_over(each, keys[start : start + _AT_ONCE], movable, tallies[each.kind])
        finally:
            await self._record({kind: dict(tally.left) for kind, tally in tallies.items() if tally.left})
        await self.store.durable()  # a key that nothing is under, by the survey, may be removed
        counts = {kind: dict(tally.under) for kind, tally in tallies.items()}
        for kind, under in counts.items():
            for missing in under.keys() - self.masters.ids:
                log.error("%d %s are under master key %s, not in keys.master", under[missing], kind, missing)
        await self.use.keep(Survey(int(self.now().timestamp()), counts))

    async def _go_over(
        self, sealed: SealedRecords, keys: Sequence[str], movable: frozenset[str], tally: _Tally
    ) -> None:
        """Those of these records that may, and count what they hold."""
        found = await asyncio.gather(*map(self.store.get, keys))
        present = [(key, record) for key, record in zip(keys, found, strict=True) if record is not None]
        current = self.masters.current_id
        examined = await asyncio.to_thread(lambda: [self._examine(sealed, *each, movable) for each in present])
        swapped = await asyncio.gather(*map(self._swap, examined))
        for each, done in zip(examined, swapped, strict=True):
            tally.under.update([current] * len(each.masters) if done else each.masters)
            tally.left.update(master for master in each.masters if done and master != current)

    def _examine(self, sealed: SealedRecords, key: str, record: bytes, movable: frozenset[str]) -> _Examined:
        try:
            masters = sealed.masters(record)
            old = set(masters) - {self.masters.current_id}
            replacement = sealed.resealed(record) if old and old <= movable else None
        except (SealBroken, msgspec.MsgspecError) as error:
            log.error("the record %s (%s) cannot be opened: %s", key, sealed.kind, error)
            return _Examined(key, record, (), None)
        return _Examined(key, record, masters, replacement)

    async def _swap(self, examined: _Examined) -> bool:
        if examined.replacement is None:
            return False
        return await self.store.swap(examined.key, examined.record, examined.replacement)

    async def _record(self, left: Mapping[str, Mapping[str, int]]) -> None:
        """One line for the trail: of each kind how many left which key."""
        if not left:
            return
        details = {"masterKey": self.masters.current_id, "sealedAnew": left}
        log.info("sealed anew under master key %s: %s", self.masters.current_id, left)
        event = service_event("ResealValues", at=self.now(), event_id=ids.request_id(self.random), details=details)
        await self.trail.recorded(event)

    async def _tell(self, survey: Survey | None) -> None:
        """In the metrics, and where it is a problem."""
        master_keys = await self.use.master_keys()
        missing = {each.master_id for each in master_keys if each.status is Status.MISSING}
        counts = survey.counts if survey is not None else {}
        self.problems = [
            f"the {each.kind} cannot be opened: master key {master_id} is not among the configured ones (keys.master)"
            for each in self.sealed
            if each.essential
            for master_id in sorted(missing & counts.get(each.kind, {}).keys())
        ]
        shown = frozenset((each.master_id, each.status.value) for each in master_keys)
        for master_id, status in self._shown - shown:
            telemetry.master_key(master_id, status, held=False)
        for each in master_keys:
            ends = each.last_session_ends_at
            telemetry.master_key(
                each.master_id,
                each.status.value,
                sealed_values=each.sealed_values or 0,
                last_session_ends=ends.timestamp() if ends is not None else 0,
            )
        self._shown = shown
