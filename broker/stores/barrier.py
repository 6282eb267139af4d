"""Waiting until what was written is safe: acknowledged by a replica, synced to the append-only file.

WAIT and WAITAOF speak of the writes of their own connection and block it meanwhile. A barrier therefore writes on a
connection of its own: when that write is safe, every earlier one is, for a server replicates and syncs in order.
"""

import asyncio

from broker.stores import server
from broker.stores.contract import StoreUnavailable
from broker.stores.line import Line, Opener

_NAME = "sojourn/barrier"
# Under `appendfsync everysec` the next sync is at most about a second away.
_SECONDS = 1.25
# Barriers under way are at least this far apart, so at most `_SECONDS / _PAUSE` connections are in use.
_PAUSE = 0.05


class Barrier:
    """Shared by all who wait: those who come while one is forming go through it together."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._forming: dict[bool, asyncio.Task[None]] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        self._lines: set[Line] = set()
        self._idle: list[Line] = []
        self._closed = False

    async def passed(self, *, fsync: bool) -> None:
        """Return when every write answered so far is safe; without `fsync`, on a replica is enough.

        Raises:
            StoreUnavailable: it is not, as far as the server could tell in time.
        """
        self._refuse_if_closed()
        forming = self._forming.get(fsync)
        if forming is None:
            forming = self._forming[fsync] = asyncio.create_task(self._form(fsync=fsync))
            self._under_way.add(forming)
            forming.add_done_callback(self._under_way.discard)
        await asyncio.shield(forming)

    async def close(self) -> None:
        """Close every connection; whoever waits gets `StoreUnavailable`."""
        self._closed = True
        await asyncio.gather(*(line.close() for line in self._lines))
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")

    async def _form(self, *, fsync: bool) -> None:
        if len(self._under_way) > 1:
            await asyncio.sleep(_PAUSE)
        del self._forming[fsync]  # whoever comes from now on needs a later write
        self._refuse_if_closed()
        line = self._idle.pop() if self._idle else Line(self._opener, timeout=_SECONDS + 0.15)
        self._lines.add(line)
        try:
            await _pass(line, fsync=fsync)
        except BaseException:  # a line that failed may be in its back-off; the next barrier connects at once
            self._lines.discard(line)
            await line.close()
            raise
        self._idle.append(line)


async def _pass(line: Line, *, fsync: bool) -> None:
    _, said = await asyncio.gather(line.send("SET", _NAME, "", "PX", 60_000), line.send("INFO"))
    info = server.fields(said)
    milliseconds = round(_SECONDS * 1000)
    if server.replicated(info) and await line.send("WAIT", 1, milliseconds) < 1:
        raise StoreUnavailable("no replica has acknowledged the write in time")
    if fsync and server.syncs_on_request(info):
        synced, _ = await line.send("WAITAOF", 1, 0, milliseconds)
        if synced < 1:
            raise StoreUnavailable("the store's append-only file was not synced in time")
