"""A guard before an ASGI application: `application = Guarded(application, guard)`; it finds `scope["sojourn"]`.

ASGI 3.0, HTTP and WebSocket; nothing of a framework is needed.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from typing import Any, TypeAlias

from broker.client.access import Access
from broker.client.guard import Guard
from broker.client.model import NoVerdict, Unauthenticated
from broker.client.refusal import Refusal, too_large
from broker.client.rules import Incoming
from broker.sigv4 import HttpRequest

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_KEY = "sojourn"


def access_of(scope: Mapping[str, Any]) -> Access:
    """What `scope["sojourn"]` holds. Raises `LookupError` on a public route, or where nobody guards."""
    access = scope.get(_KEY)
    if isinstance(access, Access):
        return access
    raise LookupError("no guard has let this request in as anybody's")


class Guarded:
    """The application behind `guard`. The guard is closed when the application's lifespan ends.

    A WebSocket is let in, or refused, as the GET request that it begins with.
    """

    def __init__(self, application: Application, guard: Guard, *, body_limit: int = 1 << 20) -> None:
        """`body_limit`: bytes of a body that is kept in memory, to hash it or to read the resource from it."""
        self._application = application
        self._guard = guard
        self._body_limit = body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._application(scope, receive, partial(self._told_of_its_end, send))
            return
        if scope["type"] not in ("http", "websocket"):
            raise ValueError(f"nobody may be let in to {scope['type']}")
        body = _Body(receive, self._body_limit)
        answer = _Answer(send)
        try:
            access = await self._guard.admit(_incoming(scope, body))
            await self._application({**scope, _KEY: access}, body.receive, answer.send)
        except Refusal as refusal:
            await answer.refuse(scope, refusal)
        except (Unauthenticated, NoVerdict) as failure:
            # The application asked for more; too late to answer, the server breaks off.
            if answer.begun:
                raise
            await answer.refuse(scope, self._guard.refusal(failure))

    async def _told_of_its_end(self, send: Send, message: Message) -> None:
        if message["type"].startswith("lifespan.shutdown"):
            await self._guard.close()  # before the server hears of it, and stops the loop
        await send(message)


class _Body:
    """What is received; a body that was read to be hashed is handed on once more."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._whole: bytes | None = None
        self._handed_on = False

    async def read(self) -> bytes:
        if self._whole is None:
            self._whole = await self._collected()
        return self._whole

    async def receive(self) -> Message:
        if self._whole is None or self._handed_on:
            return await self._receive()
        self._handed_on = True
        return {"type": "http.request", "body": self._whole, "more_body": False}

    async def _collected(self) -> bytes:
        chunks, size, more = [], 0, True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                raise Refusal(400, "ValidationError", "The request body did not arrive.")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._limit:
                raise too_large()
            chunks.append(chunk)
            more = message.get("more_body", False)
        return b"".join(chunks)


class _Answer:
    """What is sent, and whether it has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def send(self, message: Message) -> None:
        self.begun = True
        await self._send(message)

    async def refuse(self, scope: Scope, refusal: Refusal) -> None:
        kind = "http.response"
        if scope["type"] == "websocket":
            kind = "websocket.http.response"
            if kind not in scope.get("extensions", {}):
                await self._send({"type": "websocket.close", "code": 1008})  # before it was accepted: 403
                return
        headers = [(name.lower().encode(), value.encode()) for name, value in refusal.headers]
        headers.append((b"content-length", str(len(refusal.body)).encode()))
        await self._send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
        await self._send({"type": f"{kind}.body", "body": refusal.body})


async def _nothing() -> bytes:
    return b""


def _incoming(scope: Scope, body: _Body) -> Incoming:
    http = HttpRequest(
        scope.get("method", "GET"),
        # A server that does not tell the path as it was sent gets no rule to fit.
        _text(scope.get("raw_path") or b"").partition("?")[0],
        _text(scope.get("query_string", b"")),
        [(_text(name), _text(value)) for name, value in scope["headers"]],
    )
    client = scope.get("client")
    read = body.read if scope["type"] == "http" else _nothing
    scheme = "https" if scope.get("scheme") in ("https", "wss") else "http"
    return Incoming(http, scheme, client[0] if client else None, read)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
