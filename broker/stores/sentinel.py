"""A primary that Sentinels name, believed for as long as a majority of them answers and does not hold it to be down.

A Sentinel that is cut off names a primary of the past. A fail-over takes a majority of them and a higher configuration
epoch: so the highest epoch counts, and without a majority the store is away. The gateway may then be on the wrong side
of a partition, where a primary without successors still knows sessions that were revoked.
https://redis.io/docs/latest/develop/reference/sentinel-clients/
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from broker.clock import Now
from broker.stores import connect
from broker.stores.connect import Address
from broker.stores.contract import StoreUnavailable
from broker.stores.line import Line, Opened, text_of
from broker.stores.server import Part
from broker.stores.servers import Alone
from broker.stores.shard import Shard

# Seconds for a Sentinel's answer, of the one that a connection to the primary may take altogether.
_ANSWER = 0.3
_LOOK_EVERY = 0.5
# Without a majority for this long the primary is believed no more. A fail-over takes `down-after-milliseconds` and an
# election, which is longer.
_PATIENCE = 2.0


@dataclass(frozen=True, slots=True)
class _Word:
    """What one Sentinel says of the primary, and of how many replicas: those that are up and those that are not."""

    address: Address
    epoch: int
    down: bool
    replicas: int
    absent: int


class Sentinels(Alone):
    """The primary of one service, wherever it is at present."""

    def __init__(self, said: connect.Several, *, now: Now, random: Callable[[int], bytes]) -> None:
        self._service = said.name
        self._access = said.servers
        self._part = Part()
        self._lines = [
            Line(connect.bystander(said.sentinels, host), timeout=_ANSWER, name=f"the Sentinel {host[0]}:{host[1]}")
            for host in said.hosts
        ]
        super().__init__(
            Shard(self._open_watched, barriers=self._open, part=lambda: self._part, now=now, random=random)
        )

    async def close(self) -> None:
        await super().close()
        await asyncio.gather(*(line.close() for line in self._lines))

    async def _open(self) -> Opened:
        return await connect.opener(self._access, await self._primary())()

    async def _open_watched(self) -> Opened:
        address = await self._primary()
        opened = await connect.opener(self._access, address)()
        return replace(opened, watch=partial(self._watch, address))

    async def _watch(self, address: Address) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + _PATIENCE
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                present = await self._primary()
            except _NoMajority:
                if loop.time() > until:
                    raise
            else:
                if present != address:
                    raise StoreUnavailable("the Sentinels name another primary")
                until = loop.time() + _PATIENCE

    async def _primary(self) -> Address:
        """Where the primary is. Raises `StoreUnavailable`."""
        ends = await asyncio.gather(*(self._ask(line) for line in self._lines), return_exceptions=True)
        words = [end for end in ends if isinstance(end, _Word)]
        majority = len(ends) // 2 + 1
        if len(words) < majority:
            reasons = {text_of(end) for end in ends if isinstance(end, BaseException)}
            raise _NoMajority(f"{len(words)} of {len(ends)} Sentinels answer: {'; '.join(sorted(reasons))}")
        latest = max(words, key=lambda word: word.epoch)
        same = [word for word in words if word.address == latest.address]
        if sum(word.down for word in same) >= majority:
            raise StoreUnavailable("the Sentinels hold the primary to be down")
        self._part = Part(replicas=max(word.replicas for word in same), absent=max(word.absent for word in same))
        return latest.address

    async def _ask(self, line: Line) -> _Word:
        asked = ("MASTER", "REPLICAS", "GET-MASTER-ADDR-BY-NAME")
        primary, replicas, named = await asyncio.gather(
            *(line.send("SENTINEL", question, self._service) for question in asked)
        )
        try:
            state = _fields(primary)
            address = (named[0].decode(), int(named[1]))
            # The Sentinel that leads a fail-over names the new primary before it has a configuration of its own.
            ahead = address != (state["ip"], int(state["port"]))
            up = sum("s_down" not in _fields(replica)["flags"].split(",") for replica in replicas)
            return _Word(
                address,
                int(state["config-epoch"]) + ahead,
                not ahead and "s_down" in state["flags"].split(","),
                up,
                len(replicas) - up,
            )
        except (KeyError, ValueError, TypeError) as error:
            raise StoreUnavailable("the Sentinel's answer cannot be read") from error


class _NoMajority(StoreUnavailable):
    """Too few Sentinels answer to tell."""


def _fields(reply: Sequence[bytes]) -> dict[str, str]:
    texts = [part.decode() for part in reply]
    return dict(zip(texts[::2], texts[1::2], strict=True))
