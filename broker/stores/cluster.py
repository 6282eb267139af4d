"""A cluster: every command goes to the primary that has its key, on one line to each.

The map of slots is read from the hosts of the URL, or, where none of them answers, from the servers known before: at
the first command, every second, and soon after a server failed or sent a command elsewhere. A primary that is cut off
from the majority ends its service by itself after `cluster-node-timeout`, before a replica may take its place.
https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio.connection import SSLConnection

from broker.clock import Now
from broker.stores import connect, slots
from broker.stores.connect import Address
from broker.stores.contract import Moment, StoreUnavailable
from broker.stores.line import Argument, Line, Redirected, text_of, type_of
from broker.stores.server import Part
from broker.stores.shard import Shard
from broker.stores.slots import SlotMap

_log = logging.getLogger(__name__)

# Seconds for one command: a verb may take two, one after the other.
_TIMEOUT = 0.6
_ANSWER = 0.3
_LOOK_EVERY = 1.0
_LOOKS_APART = 0.2
_REDIRECTIONS = 3
_SCRIPTED = ("EVALSHA", "EVAL")


class Cluster:
    """The primaries of one cluster."""

    together = False

    def __init__(self, said: connect.Several, *, now: Now, random: Callable[[int], bytes]) -> None:
        self._access = said.servers
        self._tls = issubclass(said.servers.kind, SSLConnection)
        self._now = now
        self._random = random
        self._hosts = [
            (host, Line(connect.bystander(said.servers, (host, port)), timeout=_ANSWER, name=f"the node {host}:{port}"))
            for host, port in said.hosts
        ]
        self._map = SlotMap({}, ())
        self._nodes: dict[Address, Shard] = {}
        self._changes = 0
        self._failure: StoreUnavailable | None = None
        self._looked = asyncio.Event()
        self._suspect = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    async def send(self, *command: Argument) -> Any:
        slot = slots.slot_of(str(command[3] if command[0] in _SCRIPTED else command[1]))
        address = await self._owner(slot)
        for _ in range(_REDIRECTIONS):
            line = self._node(address).line
            try:
                return await line.send(*command)
            except Redirected as elsewhere:
                address = (elsewhere.address[0] or address[0], elsewhere.address[1])
                if elsewhere.asking:
                    line = self._node(address).line
                    return (await asyncio.gather(line.send("ASKING"), line.send(*command)))[1]
                self._suspect.set()
            except StoreUnavailable:
                self._suspect.set()
                raise
        raise StoreUnavailable("the servers of the cluster disagree on who has a key")

    async def shards(self) -> Sequence[Shard]:
        await self._known()
        if None in self._map.owners:
            raise StoreUnavailable("the cluster has no server for some of its slots")
        return [self._node(address) for address in sorted(self._map.parts)]

    def distrust(self, key: str, reason: str) -> None:
        owner = self._map.owners[slots.slot_of(key)]
        if owner is not None:
            self._node(owner).line.drop(reason)

    def moment(self) -> Moment:
        return (self._changes, sum(node.line.switches for node in self._nodes.values()))

    async def close(self) -> None:
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._looked.set()
        nodes, hosts = self._nodes.values(), (line for _, line in self._hosts)
        await asyncio.gather(*(node.close() for node in nodes), *(line.close() for line in hosts), *self._closing)

    async def _owner(self, slot: int) -> Address:
        if not self._map.parts:
            await self._known()
        address = self._map.owners[slot]
        if address is None:
            self._suspect.set()
            raise StoreUnavailable("the cluster has no server for the key")
        return address

    def _node(self, address: Address) -> Shard:
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = Shard(
                connect.opener(self._access, address, cluster=True),
                now=self._now,
                random=self._random,
                part=lambda: self._map.parts.get(address, Part()),
                cluster=True,
                timeout=_TIMEOUT,
            )
        return node

    async def _known(self) -> None:
        """Return when there is a map. Raises `StoreUnavailable`."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep())
        await self._looked.wait()
        if not self._map.parts:
            reason = self._failure or StoreUnavailable("the store is closed")
            raise type_of(reason)(text_of(reason))

    async def _keep(self) -> None:
        while True:
            try:
                self._follow(await self._look())
                self._failure = None
            except StoreUnavailable as error:
                if self._failure is None:
                    _log.warning("the cluster's map of slots cannot be read: %s", text_of(error))
                self._failure = error
            self._looked.set()
            await asyncio.sleep(_LOOKS_APART)
            if self._failure is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY):
                        await self._suspect.wait()
            self._suspect.clear()

    async def _look(self) -> SlotMap:
        """The latest map that anybody knows. Raises `StoreUnavailable`."""
        hosts = await asyncio.gather(*(self._ask(*each) for each in self._hosts), return_exceptions=True)
        maps = [end for end in hosts if isinstance(end, SlotMap)]
        if not maps:
            known = ((address[0], node.line) for address, node in self._nodes.items())
            nodes = await asyncio.gather(*(self._ask(*each) for each in known), return_exceptions=True)
            maps = [end for end in nodes if isinstance(end, SlotMap)]
        if not maps:
            reasons = {text_of(end) for end in hosts if isinstance(end, BaseException)}
            raise StoreUnavailable(f"no node of the cluster answers: {'; '.join(sorted(reasons))}")
        # Of equals the one that knows of most replicas: news of a role travels without an epoch.
        return max(maps, key=lambda each: (each.sound, each.epoch, sum(part.replicas for part in each.parts.values())))

    async def _ask(self, host: str, line: Line) -> SlotMap:
        info, reply = await asyncio.gather(line.send("CLUSTER", "INFO"), line.send("CLUSTER", "SHARDS"))
        return await asyncio.to_thread(slots.read, info, reply, host=host, tls=self._tls)

    def _follow(self, present: SlotMap) -> None:
        if self._map.parts and not present.same_owners(self._map):
            _log.warning("the cluster's slots changed hands")
            self._changes += 1
        self._map = present
        for address in self._nodes.keys() - present.parts.keys():
            closing = asyncio.create_task(self._nodes.pop(address).close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
