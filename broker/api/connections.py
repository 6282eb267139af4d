"""The connections of a server: heads that never end are not waited for, and requests in flight end before the server.

The HTTP library by itself waits for a first head for ever, and drops bodies that are still arriving when it is told
to shut down; and what it cannot read as HTTP it quotes in the log.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

LONGEST_PATH = 4096
"""Characters, percent-encoded: three for each byte of the longest key in S3 and a bucket's name; queries are longer."""
HEAD_WITHIN = 10.0
"""Seconds from the connection to the end of the first request's head; later ones are bounded by the keep-alive time."""
_LOOK_EVERY = 1.0
_SERVER = "Sojourn"

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_Outermost = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def _unquoted(record: logging.LogRecord) -> bool:
    # A line that a client got wrong may hold its password or token; and it is no trouble of the gateway's.
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
        record.msg, record.args = "a request could not be read: %s", (type(error).__name__,)
        record.exc_info = None
    return True


SERVER_LOG = logging.getLogger(__name__)
"""For the HTTP library."""
SERVER_LOG.addFilter(_unquoted)


async def without_version(_request: web.Request, response: web.StreamResponse) -> None:
    """An `on_response_prepare`: the HTTP library would tell strangers its version, and Python's."""
    response.headers["Server"] = _SERVER


def short_paths(handler: _Outermost) -> _Outermost:
    """`handler`, where the path is not too long; before the router, whose time grows with the square of the slashes."""

    async def bounded(request: web.BaseRequest) -> web.StreamResponse:
        if len(request.raw_path.partition("?")[0]) <= LONGEST_PATH:
            return await handler(request)
        response = web.Response(status=414, headers={"Server": _SERVER})
        response.force_close()
        return response

    return bounded


class Connections:
    """Watches one server."""

    def __init__(self) -> None:
        self._heard: set[object] = set()
        self._since: dict[object, float] = {}
        self._in_flight = 0
        self._draining = False
        self._drained = asyncio.Event()

    def watched(self, handler: _Handler) -> _Handler:
        """`handler` with the watch around it; a middleware would cost each request more."""

        async def watching(request: web.Request) -> web.StreamResponse:
            self._heard.add(request.protocol)
            self._in_flight += 1
            try:
                response = await handler(request)
            finally:
                self._in_flight -= 1
                if self._draining and not self._in_flight:
                    self._drained.set()
            if self._draining:
                response.force_close()
            return response

        return watching

    async def end_slow_heads(self, server: web.Server) -> None:
        """For ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            now, living = loop.time(), server.connections
            self._heard.intersection_update(living)
            self._since = {each: self._since.get(each, now) for each in living if each not in self._heard}
            for connection in living:
                if now - self._since.get(connection, now) >= HEAD_WITHIN - _LOOK_EVERY:
                    connection.force_close()

    async def drain(self, within: float) -> None:
        """Return when no request is in flight, or after `within` seconds; answers from now on end their connections."""
        self._draining = True
        if self._in_flight:
            try:
                async with asyncio.timeout(within):
                    await self._drained.wait()
            except TimeoutError:
                return
