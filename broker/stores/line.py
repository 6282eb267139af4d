"""A line: one connection to a Redis or Valkey server that all coroutines of an event loop share.

Commands queued in one tick of the loop leave in one write, and replies are read in order by one task. That costs a
fraction of the CPU of a pool of connections, and nothing about it depends on who waits:

- the connection belongs to the line's own tasks; a caller holds only a future, so a cancelled caller's reply is read
  and dropped in its turn and can never reach somebody else;
- a reply that nobody asked for, a reply out of time, or a reply saying that the server was demoted ends the
  connection: whoever was waiting gets `StoreUnavailable`, for the effect of their command is unknown;
- commands not yet written survive a lost connection until their time is over;
- while the server cannot be reached, commands fail at once and the line reconnects in the background.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AskError, MovedError, NoScriptError, ReadOnlyError, RedisError, ResponseError

from broker.stores.contract import StoreUnavailable

_log = logging.getLogger(__name__)

Argument = str | bytes | int | float
_Packable = tuple[str | int | float | bytes | memoryview]


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection that was authenticated and inspected.

    `run`: names the server's present run, empty where nobody asks. `watch`: waits for as long as the connection may be
    believed, and then raises.
    """

    connection: AbstractConnection
    run: str
    watch: Callable[[], Coroutine[Any, Any, None]] | None = None


Opener = Callable[[], Awaitable[Opened]]
"""Raises `RedisError`, `OSError` or `StoreUnavailable`."""

# How long a late loop waits for replies that may already be in the socket's buffer before it gives the server up.
_LATE = 0.05
_BACKOFF = (0.02, 0.25)  # seconds: first and longest pause between attempts, so that recovery is noticed at once


class MissingScript(StoreUnavailable):
    """The server does not know the script of an EVALSHA; nothing was executed."""


class Redirected(StoreUnavailable):
    """Another server of the cluster has the key; nothing was executed.

    `asking`: for this one command, while the slot moves; else the slot belongs to that server from now on.
    """

    def __init__(self, text: str, slot: int, address: tuple[str, int], *, asking: bool) -> None:
        super().__init__(text)
        self.slot = slot
        self.address = address
        self.asking = asking


@dataclass(slots=True)
class _Command:
    packed: bytes
    reply: asyncio.Future[Any]
    deadline: float


class Line:
    """Sends commands and gives replies as redis-py's parser reads them (RESP2: bytes, int, list, None).

    `timeout`: seconds until a command is given up, from queueing to reply. `limit`: commands under way at most.
    `name`: what is at the other end, for the log; None where it is to say nothing.
    """

    def __init__(
        self, opener: Opener, *, timeout: float = 1.0, limit: int = 8192, name: str | None = "the store"
    ) -> None:
        self.run: str | None = None
        """The run of the server that the line is, or was last, connected to."""
        self.switches = 0
        """How often that was another one than before."""
        self._opener = opener
        self._name = name
        self._timeout = timeout
        self._limit = limit
        self._queued: list[_Command] = []
        self._sent: deque[_Command] = deque()
        self._wake = asyncio.Event()
        self._failure: Exception | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stalled: asyncio.Future[Exception] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._suspect: _Command | None = None
        self._connecting = False
        self._closed = False

    def send(self, *command: Argument) -> asyncio.Future[Any]:
        """Queue one command; the future gives its reply or raises `StoreUnavailable`."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if self._failure is not None:
            # A bad configuration keeps its class and text; `from` would tie every error to one traceback.
            raise type_of(self._failure)(text_of(self._failure))
        if len(self._queued) + len(self._sent) >= self._limit:
            raise StoreUnavailable(f"more than {self._limit} commands are waiting for the store")
        loop = asyncio.get_running_loop()
        reply = loop.create_future()
        deadline = loop.time() + self._timeout
        self._queued.append(_Command(hiredis.pack_command(cast(_Packable, command)), reply, deadline))
        if len(self._queued) == 1:
            self._wake.set()
            if self._keeper is None or self._keeper.done():
                self._keeper = loop.create_task(self._keep())
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._watch)
        return reply

    def drop(self, reason: str) -> None:
        """End the present connection, because what came over it cannot be trusted."""
        self._break(StoreUnavailable(reason))

    async def close(self) -> None:
        """End the connection; every waiting and every later command raises `StoreUnavailable`."""
        self._closed = True
        self._fail(StoreUnavailable("the store is closed"), queued=True)
        if self._keeper is not None:
            if (
                not self._connecting
            ):  # a handshake is let end, in `timeout` at most: cut short, it would leak its socket
                self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        pause = _BACKOFF[0]
        while not self._closed:
            started = loop.time()
            opened = await self._connect()
            if opened is not None:
                try:
                    lost = await self._serve(opened)
                finally:
                    with contextlib.suppress(RedisError, OSError):
                        async with asyncio.timeout(self._timeout):
                            # At the end, TLS says goodbye.
                            await opened.connection.disconnect(nowait=not self._closed)
                self._say(f"connection to {self._name} lost: {text_of(lost)}")
                if isinstance(lost, TimeoutError):
                    # A server that stands still accepts connections all the same: let nobody wait for it again.
                    self._failure = lost
                self._fail(lost, queued=self._failure is not None)
                if loop.time() - started > 1:
                    pause = _BACKOFF[0]
            await asyncio.sleep(pause)  # also for a server that takes connections only to drop them
            pause = min(pause * 2, _BACKOFF[1])

    async def _connect(self) -> Opened | None:
        """A connection; where there is none, commands fail with the reason from now on."""
        self._connecting = True
        try:
            async with asyncio.timeout(self._timeout):
                opened = await self._opener()
        except (RedisError, OSError, StoreUnavailable) as error:
            if self._failure is None:
                self._say(f"{self._name} is unavailable: {text_of(error)}")
            self._failure = error
            self._fail(error, queued=True)
            return None
        finally:
            self._connecting = False
        if self._failure is not None:
            self._say(f"{self._name} is available again")
        self._failure = None
        if self.run not in (None, opened.run):
            self.switches += 1
        self.run = opened.run
        return opened

    async def _serve(self, opened: Opened) -> Exception:
        """Read and write until the connection is lost; why it was."""
        self._stalled = asyncio.get_running_loop().create_future()
        if self._closed:
            self._break(StoreUnavailable("the store is closed"))
        self._wake.set()
        work = [self._read(opened.connection), self._write(opened.connection)]
        if opened.watch is not None:
            work.append(opened.watch())
        tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(each) for each in work]
        try:
            await asyncio.wait((*tasks, self._stalled), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stalled, self._stalled = self._stalled, None
            for task in tasks:
                task.cancel()
            ends: list[BaseException | None] = await asyncio.gather(*tasks, return_exceptions=True)
        if stalled.done():
            ends.insert(0, stalled.result())
        return next((end for end in ends if isinstance(end, Exception)), StoreUnavailable("the connection was lost"))

    async def _write(self, connection: AbstractConnection) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._stalled is None or self._stalled.done():
                return
            if not connection.is_connected:  # redis-py would connect anew here, past the line's own checks
                raise StoreUnavailable("the connection is closed")
            commands, self._queued = self._queued, []
            if commands:
                self._sent.extend(commands)
                await connection.send_packed_command([command.packed for command in commands], check_health=False)

    async def _read(self, connection: AbstractConnection) -> None:
        read, sent = connection.read_response, self._sent
        while True:
            refusal: ResponseError | None = None
            reply = None
            try:
                reply = await read(disconnect_on_error=False)  # ending the connection is the keeper's
            except ResponseError as error:  # of this one command: the stream is in step
                refusal = error
            except (RedisError, OSError) as error:
                self._break(error)  # before the writer sends anything more
                return
            if not sent:
                raise StoreUnavailable("the server sent a reply that nobody asked for")
            waiter = sent.popleft().reply
            if waiter.done():
                pass  # its caller was cancelled
            elif refusal is None:
                waiter.set_result(reply)
            else:
                waiter.set_exception(_refused(refusal))
            if isinstance(refusal, ReadOnlyError):
                raise refusal  # a demoted primary keeps its sockets open

    def _say(self, text: str) -> None:
        if self._name is not None:
            _log.warning(text)

    def _watch(self) -> None:
        """Give the server up when the oldest command is past its time."""
        loop = asyncio.get_running_loop()
        self._timer = None
        oldest = self._sent[0] if self._sent else self._queued[0] if self._queued else None
        if oldest is None:
            return
        if loop.time() < oldest.deadline:
            self._timer = loop.call_at(oldest.deadline, self._watch)
        elif self._suspect is not oldest:
            self._suspect = oldest
            self._timer = loop.call_later(_LATE, self._watch)
        else:
            self._suspect = None
            if self._stalled is None:  # between two connections
                self._fail(TimeoutError(), queued=True)
            else:
                self._break(TimeoutError())

    def _break(self, error: Exception) -> None:
        if self._stalled is not None and not self._stalled.done():
            self._stalled.set_result(error)

    def _fail(self, error: Exception, *, queued: bool) -> None:
        lost = list(self._sent)
        self._sent.clear()
        if queued:
            lost += self._queued
            self._queued = []
        for command in lost:
            if not command.reply.done():
                command.reply.set_exception(type_of(error)(text_of(error)))


def _refused(refusal: ResponseError) -> StoreUnavailable:
    text = f"the store refused the command: {text_of(refusal)}"
    if isinstance(refusal, AskError):
        asking = not isinstance(refusal, MovedError)
        return Redirected(text, refusal.slot_id, refusal.node_addr, asking=asking)
    return MissingScript(text) if isinstance(refusal, NoScriptError) else StoreUnavailable(text)


def type_of(error: Exception) -> type[StoreUnavailable]:
    """The class to raise for `error`."""
    return type(error) if isinstance(error, StoreUnavailable) else StoreUnavailable


def text_of(error: BaseException) -> str:
    """What to say of `error`: redis-py's texts hold hosts and reasons, never passwords."""
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
