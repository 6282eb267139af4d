"""Waiting until what was written is safe: acknowledged by a replica, synced to the append-only file.

WAIT and WAITAOF speak of the writes of their own connection and block it meanwhile. A barrier therefore writes on a
connection of its own: when that write is safe, every earlier one is, for a server replicates and syncs in order.
"""

import asyncio
from collections.abc import Callable

from broker.stores import server
from broker.stores.contract import StoreUnavailable
from broker.stores.line import Line, Opener
from broker.stores.server import Part

# Under `appendfsync everysec` the next sync is at most about a second away.
_SECONDS = 1.25
# While none of them ends, barriers under way are this far apart: `_SECONDS / _PAUSE` connections are in use at most.
_PAUSE = 0.05


class Barrier:
    """Shared by all who wait: those who come while one is forming go through it together.

    `part`: what the server holds at present.
    """

    def __init__(self, opener: Opener, part: Callable[[], Part]) -> None:
        self._opener = opener
        self._part = part
        self._forming: dict[tuple[bool, bool], asyncio.Task[str]] = {}
        self._under_way: set[asyncio.Task[str]] = set()
        self._lines: set[Line] = set()
        self._idle: list[Line] = []
        self._closed = False

    async def passed(self, *, fsync: bool, every: bool = False) -> str:
        """Return when every write answered so far is safe; the run of the server that says so.

        With `fsync`: synced, and acknowledged by every replica that is up, of which there must be one where any is
        known: one that is down now may take over when it is back. Without, one that is up is enough, or, with `every`,
        all that are up are needed.

        Raises:
            StoreUnavailable: it is not, as far as the server could tell in time.
        """
        self._refuse_if_closed()
        kind = (fsync, every)
        forming = self._forming.get(kind)
        if forming is None:
            forming = self._forming[kind] = asyncio.create_task(self._form(*kind))
            self._under_way.add(forming)
            forming.add_done_callback(self._under_way.discard)
        return await asyncio.shield(forming)

    async def close(self) -> None:
        """Close every connection; whoever waits gets `StoreUnavailable`."""
        self._closed = True
        await asyncio.gather(*(line.close() for line in self._lines))
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")

    async def _form(self, fsync: bool, every: bool) -> str:
        others = self._under_way.difference(self._forming.values())
        if others:
            await asyncio.wait(others, timeout=_PAUSE, return_when=asyncio.FIRST_COMPLETED)
        del self._forming[fsync, every]  # whoever comes from now on needs a later write
        self._refuse_if_closed()
        line = self._idle.pop() if self._idle else Line(self._opener, timeout=_SECONDS + 0.15, name=None)
        self._lines.add(line)
        try:
            run = await self._pass(line, fsync=fsync, every=every)
        except BaseException:  # a line that failed may be in its back-off; the next barrier connects at once
            self._lines.discard(line)
            await line.close()
            raise
        self._idle.append(line)
        return run

    async def _pass(self, line: Line, *, fsync: bool, every: bool) -> str:
        part = self._part()
        _, said = await asyncio.gather(
            line.send("SET", part.key("barrier"), "", "PX", 60_000),
            line.send("INFO", "server", "replication", "persistence"),
        )
        info = server.fields(said)
        milliseconds = round(_SECONDS * 1000)
        up = part.replicas or int(server.replicated(info))
        wanted = up if fsync or every else min(up, 1)
        if fsync and part.absent:
            wanted = max(wanted, 1)
        if wanted and await line.send("WAIT", wanted, milliseconds) < wanted:
            raise StoreUnavailable(f"fewer than {wanted} replicas have acknowledged the write in time")
        if fsync and server.syncs_on_request(info):
            synced, _ = await line.send("WAITAOF", 1, 0, milliseconds)
            if synced < 1:
                raise StoreUnavailable("the store's append-only file was not synced in time")
        return server.run_of(info)
