"""When sessions were last used: to within five minutes, and written off the request path.

Every process remembers the uses that it saw and writes them down every two minutes, so what the store knows is four
minutes old at most: its own two, and two by which another process may write an earlier use later. It is class C: what
is lost is merely not shown.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta

from broker.clock import Now
from broker.sessions.model import Session
from broker.stores.contract import Store, StoreUnavailable

WRITE_EVERY = timedelta(minutes=2)
_REMEMBERED = 100_000
_BATCH = 500

log = logging.getLogger(__name__)


class Usage:
    """One a process."""

    def __init__(self, store: Store, now: Now) -> None:
        self._store = store
        self._now = now
        self._seen: dict[str, tuple[int, int]] = {}

    def note(self, session: Session) -> None:
        """The session was used now. Costs a dictionary entry; beyond a hundred thousand sessions some are left out."""
        if len(self._seen) < _REMEMBERED or session.access_key_id in self._seen:
            self._seen[session.access_key_id] = (int(self._now().timestamp()), session.expires_at)

    async def last_used(self, key_ids: Sequence[str]) -> Mapping[str, int]:
        """Access key id to the time of its last use, in seconds since the epoch; only those that were used.

        Raises `StoreUnavailable`.
        """
        stored = await asyncio.gather(*(self._store.get(_key(key_id)) for key_id in key_ids))
        found = {}
        for key_id, raw in zip(key_ids, stored, strict=True):
            latest = max(self._seen.get(key_id, (0, 0))[0], 0 if raw is None else int(raw))
            if latest:
                found[key_id] = latest
        return found

    async def write(self) -> None:
        """Write down what was seen since the last time. Raises `StoreUnavailable`."""
        seen, self._seen = self._seen, {}
        now = self._now().timestamp()
        living = [(key_id, used, expires - now) for key_id, (used, expires) in seen.items() if expires > now]
        for start in range(0, len(living), _BATCH):
            await asyncio.gather(
                *(
                    self._store.put(_key(key_id), str(used).encode("ascii"), ttl=timedelta(seconds=left))
                    for key_id, used, left in living[start : start + _BATCH]
                )
            )

    async def keep_writing(self) -> None:
        """Write every two minutes, and a last time when cancelled."""
        try:
            while True:
                await asyncio.sleep(WRITE_EVERY.total_seconds())
                try:
                    await self.write()
                except StoreUnavailable as outage:
                    log.warning("the last uses of sessions were not written: %s", outage)
        finally:
            with contextlib.suppress(StoreUnavailable):
                await self.write()


def _key(key_id: str) -> str:
    return f"session-used:{key_id}"
