"""One small service of reports behind a guard, on two servers: aiohttp, and Starlette on uvicorn."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Any, Self

import uvicorn
from aiohttp import web
from aiohttp.typedefs import Handler
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from broker.client import Authenticated, Authorized, Guard, Incoming, Public, Question, Rule, Unavailable
from broker.client.aiohttp import ACCESS, protect
from broker.client.asgi import Guarded, access_of
from tests.end_to_end.world import DEV


async def table(incoming: Incoming) -> str | None:
    """The resource of a request in AWS's JSON protocol stands in its body."""
    named = json.loads(await incoming.read() or b"{}").get("TableName")
    return f"arn:aws:dynamodb:eu-central-1:{DEV}:table/{named}" if isinstance(named, str) else None


REPORT = "arn:aws:reports:::report/{id}"
RULES: Sequence[Rule] = (
    Public("GET", "/health"),
    Authenticated("GET", "/me"),
    Authenticated("GET", "/mine"),
    Authenticated("GET", "/live"),
    Authenticated("GET", "/late"),
    Authenticated("GET", "/things/{id}"),
    Authorized(["GET", "HEAD"], "/reports/{id}", "reports:GetReport", REPORT),
    Authorized("GET", "/objects/{bucket}", "s3:ListBucket", "arn:aws:s3:::{bucket}"),
    Authorized("PUT", "/objects/{bucket}/{key+}", "s3:PutObject", "arn:aws:s3:::{bucket}/{key}"),
    Authorized("GET", "/objects/{bucket}/{key+}", "s3:GetObject", "arn:aws:s3:::{bucket}/{key}"),
    Authorized(
        "POST",
        "/",
        lambda incoming: {"Get": "dynamodb:GetItem"}.get(incoming.http.header("x-amz-target") or ""),
        table,
    ),
)


async def told(access: Any, body: bytes = b"") -> dict[str, Any]:
    """What a handler knows of its caller."""
    principal = access.principal
    return {"arn": principal.arn, "tags": principal.tags, "id": principal.user_id, "body": body.decode()}


async def readable(access: Any) -> list[str]:
    """Those of three reports that the caller may read."""
    names = ("mine", "yours", "theirs")
    asked = [Question("reports:GetReport", REPORT.replace("{id}", name)) for name in names]
    return [name for name, decision in zip(names, await access.decide_all(asked), strict=True) if decision]


class AiohttpService:
    """`async with` it; `url` is where it listens."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self.url = ""

    async def __aenter__(self) -> Self:
        application = web.Application(handler_args={"auto_decompress": False}, middlewares=[self._after])
        protect(application, self._guard)
        application.router.add_get("/health", self._health)
        application.router.add_get("/me", self._show)
        application.router.add_get("/mine", self._mine)
        application.router.add_get("/late", self._late)
        application.router.add_get("/things/{id}", self._thing)
        application.router.add_route("*", "/{rest:.*}", self._show)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @web.middleware
    async def _after(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        assert request.path == "/health" or ACCESS in request
        return await handler(request)

    async def _health(self, request: web.Request) -> web.Response:
        assert ACCESS not in request
        return web.Response(text="well")

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(await told(request[ACCESS], await request.read()))

    async def _late(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        raise Unavailable("too late")

    async def _thing(self, request: web.Request) -> web.Response:
        return web.json_response(request.match_info["id"])

    async def _mine(self, request: web.Request) -> web.Response:
        return web.json_response(await readable(request[ACCESS]))


class AsgiService:
    """`async with` it; `url` is where it listens."""

    def __init__(self, guard: Guard) -> None:
        routes = [
            Route("/health", self._health),
            Route("/mine", self._mine),
            Route("/late", self._late),
            Route("/things/{id}", self._thing),
            WebSocketRoute("/live", self._live),
            WebSocketRoute("/{rest:path}", self._live),
            Route("/{rest:path}", self._show, methods=["GET", "PUT", "POST"]),
        ]
        self._application = Guarded(Starlette(routes=routes), guard)
        self.url = ""

    async def __aenter__(self) -> Self:
        listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config = uvicorn.Config(self._application, log_config=None, lifespan="on", ws="wsproto")
        self._server = uvicorn.Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]))
        while not self._server.started:
            await asyncio.sleep(0.01)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        await self._serving

    async def _health(self, request: Request) -> Response:
        assert request.scope["sojourn"] is None
        return PlainTextResponse("well")

    async def _show(self, request: Request) -> Response:
        return JSONResponse(await told(access_of(request.scope), await request.body()))

    async def _late(self, _: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"begun"
            raise Unavailable("too late")

        return StreamingResponse(body())

    async def _thing(self, request: Request) -> Response:
        return JSONResponse(request.path_params["id"])

    async def _mine(self, request: Request) -> Response:
        return JSONResponse(await readable(access_of(request.scope)))

    async def _live(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(await told(access_of(websocket.scope)))
        await websocket.close()


SERVICES: dict[str, Callable[[Guard], Any]] = {"aiohttp": AiohttpService, "asgi": AsgiService}
