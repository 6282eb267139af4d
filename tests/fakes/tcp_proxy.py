"""A TCP proxy that misbehaves as told: cuts replies, holds them back, slips bytes in between."""

import asyncio
from types import TracebackType
from typing import Self


class TcpProxy:
    """Between clients and `127.0.0.1:target`. Its settings act on the bytes of replies from then on.

    `let_through`: while it is clear, replies are held back. `cut_after`: bytes of replies until the connection is
    reset. `slip_in`: bytes put before the next chunk, once.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.let_through = asyncio.Event()
        self.let_through.set()
        self.cut_after: int | None = None
        self.slip_in = b""
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        try:
            ways = [asyncio.ensure_future(self._requests(reader, far_writer))]
            ways.append(asyncio.ensure_future(self._replies(far_reader, writer)))
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            far_writer.transport.abort()
            writer.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            await self.let_through.wait()
            chunk, self.slip_in = self.slip_in + chunk, b""
            if self.cut_after is not None:
                kept, self.cut_after = chunk[: self.cut_after], max(self.cut_after - len(chunk), 0)
                writer.write(kept)
                if self.cut_after == 0:
                    self.cut_after = None
                    return
            else:
                writer.write(chunk)
            await writer.drain()
