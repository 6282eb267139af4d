"""What Sojourn asks of a store: bytes under keys, with an expiry, each verb atomic on its key.

Keys are short ASCII texts made by their owners (`session:ASIA…`); a caller's raw text never enters one.
Three classes of state decide how a verb behaves when the store has lost data (see `Epoch`):
what must never un-happen fails closed, what may be lost is simply absent, what can be rebuilt is rebuilt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import msgspec


class StoreUnavailable(Exception):
    """The store did not answer in time or cannot be written; nothing is known about the command's effect."""


class StoreMisconfigured(StoreUnavailable):
    """The store answers, but its settings would break a promise (it may evict, is too old, is a replica's): refused.

    The text says what to change. Every verb raises it until the server is put right; `ping` tells at start.
    """


class IndexEntry(msgspec.Struct, frozen=True):
    """`member` filed under `index`, ordered by `score` (seconds since the epoch), dropped after `expires_at`."""

    index: str
    member: str
    score: float
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Epoch:
    """One unbroken memory of the store: changed whenever writes that were acknowledged may be gone.

    `since`: when this memory began. Replayable proofs that are older than it must be refused.
    `replicated`: a replica may take over, so a write is safe only after `durable(fsync=False)`.
    """

    marker: str
    since: datetime
    replicated: bool = False


Moment = tuple[int, ...]
"""Of a store's `moment`; only equality means anything."""


class Store(Protocol):
    """Bytes under keys. Every verb answers or raises `StoreUnavailable` within about 1.5 seconds.

    Keys, index names and members are printable ASCII without spaces, up to 512 characters, and a `ttl` is positive:
    `ValueError` otherwise, for that is the caller's mistake. A verb whose caller is cancelled may or may not happen.
    """

    async def get(self, key: str) -> bytes | None:
        """The value, or None where there is none (never written, expired, deleted)."""

    async def put(self, key: str, value: bytes, *, ttl: timedelta | None = None) -> None:
        """Write, whatever was there."""

    async def add(
        self, key: str, value: bytes, *, ttl: timedelta | None = None, indexes: Sequence[IndexEntry] = ()
    ) -> bool:
        """Write only if absent, and file the key's owner under `indexes`, in one round trip (two in a cluster).

        False means somebody was first (replay, race); then no index entry of this call remains.
        Where an index entry could not be written, the value is deleted again and `StoreUnavailable` raised.
        """

    async def take(self, key: str) -> bytes | None:
        """Read and delete in one step: at most one caller gets the value."""

    async def delete(self, key: str) -> bool:
        """Remove; whether there was anything."""

    async def swap(self, key: str, expected: bytes | None, value: bytes, *, ttl: timedelta | None = None) -> bool:
        """Write only if the present value is `expected` (None: absent); whether it was."""

    async def increment(self, key: str, *, ttl: timedelta) -> int:
        """Add one to a counter and return it; the first increment starts its time to live."""

    async def members(
        self, index: str, *, after: tuple[float, str] | None = None, limit: int = 100
    ) -> Sequence[tuple[float, str]]:
        """Up to `limit` (score, member) pairs of an index, newest first, strictly older than `after`."""

    async def unfile(self, index: str, members: Sequence[str]) -> None:
        """Drop members from an index."""

    def moment(self) -> Moment:
        """Before the first of some writes, for `durable`: whether the server that took them was replaced meanwhile."""

    async def durable(self, *, since: Moment | None = None, fsync: bool = True, every: bool = False) -> None:
        """Return when every write answered so far is as safe as the store's deployment can make it.

        With `fsync`, every replica that could take over has acknowledged, and the append-only file was synced where the
        server can tell (up to a second under `appendfsync everysec`). Without, one replica is enough, or, with `every`,
        those that are up. Raises `StoreUnavailable` also where the server was replaced after the moment `since`: what
        was written may be gone.
        """

    async def epoch(self) -> Epoch:
        """The store's present memory. Raises `StoreUnavailable` while it cannot be told."""

    async def found(self) -> None:
        """Begin the memory of a store that holds nothing and never did, as its user knows: nothing was used before.

        Without it the first epoch of an empty store begins now, for an empty store may be one that lost everything.
        Does nothing to a store that holds anything.
        """

    async def ping(self) -> None:
        """Return when the store can be read and written; else raise `StoreUnavailable` with the reason."""

    async def close(self) -> None:
        """Close every connection."""
