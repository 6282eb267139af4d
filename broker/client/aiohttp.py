"""A guard before an aiohttp application: `protect(application, guard)`; who calls is in `request[ACCESS]`."""

from collections.abc import AsyncIterator
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from broker.client.access import Access
from broker.client.guard import Guard
from broker.client.model import NoVerdict, Unauthenticated
from broker.client.refusal import Refusal, too_large
from broker.client.rules import Incoming
from broker.sigv4 import HttpRequest

ACCESS = web.RequestKey("sojourn", Access)
"""Absent on public routes."""


def protect(application: web.Application, guard: Guard) -> None:
    """Put `guard` before every request that comes next, to routes of sub-applications and to no route included.

    The guard is closed with the application. Bodies of signed requests are read up to the `client_max_size` of the
    application; they are hashed as they came only where it was made with `handler_args={"auto_decompress": False}`.
    """
    application.middlewares.insert(0, _middleware(guard))

    async def closing(_: web.Application) -> AsyncIterator[None]:
        yield
        await guard.close()

    application.cleanup_ctx.append(closing)


def _middleware(guard: Guard) -> Middleware:
    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            access = await guard.admit(_incoming(request))
            if access is not None:
                request[ACCESS] = access
            return await handler(request)
        except Refusal as refusal:
            return _response(refusal)
        except (Unauthenticated, NoVerdict) as failure:
            # The handler asked for more; too late to answer, the server breaks off.
            if request.writer.output_size:
                raise
            return _response(guard.refusal(failure))

    return guarded


def _incoming(request: web.Request) -> Incoming:
    path, _, query = request.raw_path.partition("?")
    http = HttpRequest(request.method, path, query, list(request.headers.items()))
    return Incoming(http, request.scheme, request.remote, partial(_body, request))


async def _body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise too_large() from error


def _response(refusal: Refusal) -> web.Response:
    response = web.Response(status=refusal.status, body=refusal.body)
    for name, value in refusal.headers:
        response.headers.add(name, value)
    return response
