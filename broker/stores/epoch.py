"""Whether the store's memory is unbroken: a marker in the store, and the server run that it was last seen with.

The marker is gone when the store was emptied; the server's ids differ when it was restarted or failed over, and then
acknowledged writes may be gone. Either starts a new epoch, save after a restart of a lone server that synced every
write before answering it, before and after. In a cluster each primary has a memory of its own, which ends also when
the slots change that it serves; together they are one.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from broker.clock import Now
from broker.stores.contract import Epoch, StoreUnavailable
from broker.stores.server import Server


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    marker: str
    since: float
    run_id: str
    replication_id: str
    steadfast: bool
    slots: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """The epoch's marker and start, and the server run that it was last seen with."""

    marker: str
    since: datetime
    server: Server

    def encode(self) -> bytes:
        """As kept in the store."""
        run = self.server
        stored = _Stored(self.marker, self.since.timestamp(), run.run_id, run.replication_id, run.steadfast, run.slots)
        return msgspec.json.encode(stored)

    @classmethod
    def decode(cls, stored: bytes) -> "Memory":
        """Raises `StoreUnavailable` where the marker cannot be read."""
        try:
            read = msgspec.json.decode(stored, type=_Stored)
            since = datetime.fromtimestamp(read.since, UTC)
        except (msgspec.MsgspecError, ValueError, OverflowError) as error:
            raise StoreUnavailable("the store's epoch marker cannot be read") from error
        return cls(read.marker, since, Server(read.run_id, read.replication_id, read.slots, read.steadfast))


def renew(known: Memory | None, server: Server, *, now: Now, random: Callable[[int], bytes]) -> Memory:
    """The memory to keep, given what the store holds and who serves it now; `known` itself where nothing changed."""
    if known is not None:
        if known.server == server:
            return known
        same_run = (known.server.run_id, known.server.replication_id) == (server.run_id, server.replication_id)
        same_keys = known.server.slots == server.slots
        if same_keys and (same_run or (known.server.steadfast and server.steadfast)):
            return Memory(known.marker, known.since, server)
    return Memory(random(16).hex(), now(), server)


def combined(epochs: Sequence[Epoch]) -> Epoch:
    """The epoch of a store whose parts have these: another as soon as one of them is another, and as young as any."""
    if len(epochs) == 1:
        return epochs[0]
    marker = hashlib.sha256(" ".join(sorted(epoch.marker for epoch in epochs)).encode()).hexdigest()
    return Epoch(marker, max(epoch.since for epoch in epochs), replicated=any(epoch.replicated for epoch in epochs))
