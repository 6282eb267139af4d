"""The doors of resource servers and reverse proxies; this face's one place that turns errors into bytes."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from broker import ids, logs, telemetry
from broker.api.authz import auth_request, ext_authz
from broker.api.authz.decide import Unverified, decide
from broker.api.authz.mapping import Rules
from broker.api.authz.proxied import Original, admit
from broker.api.call import Call
from broker.api.events import Event
from broker.api.received import Received, receive
from broker.audit import Trail
from broker.errors import BrokerError
from broker.flows.caller import Wire
from broker.flows.services import Services
from broker.ids import Random

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class AuthzFace:
    """Serves `/authorize`, `/auth/request` and `/auth/ext_authz/…`."""

    services: Services
    trail: Trail
    random: Random
    rules: Rules = field(default_factory=Rules)

    async def authorize(self, request: web.Request) -> web.StreamResponse:
        """Answer a resource server."""
        answer, error, verified, request_id = await self._settled(request, "Authorize", decide)
        if error is None:
            return _json(200, answer, request_id)
        status = error.status if verified else 401
        return _json(status, {"error": {"code": error.code, "message": error.message}}, request_id)

    async def auth_request(self, request: web.Request) -> web.StreamResponse:
        """Answer nginx or Traefik."""

        def original(call: Call, received: Received) -> Original:
            proxies = call.snapshot.settings.server.trusted_proxies
            return auth_request.original(received, request.remote or "", proxies)

        return await self._proxied(request, "AuthRequest", "auth_request", original)

    async def ext_authz(self, request: web.Request) -> web.StreamResponse:
        """Answer Envoy."""
        return await self._proxied(request, "ExtAuthz", "ext_authz", lambda _, received: ext_authz.original(received))

    async def _proxied(
        self, request: web.Request, name: str, door: str, original: Callable[[Call, Received], Original]
    ) -> web.StreamResponse:
        peer = request.remote or ""

        async def run(call: Call, received: Received) -> Mapping[str, str]:
            return await admit(call, received, original(call, received), peer, self.rules, door=door)

        headers, error, verified, request_id = await self._settled(request, name, run, encoded=True)
        if error is None:
            return web.Response(headers={**headers, "x-amzn-RequestId": request_id, "Cache-Control": "no-store"})
        # Proxies know 401 and 403; what is the gateway's own failure stays one.
        status = 401 if not verified else error.status if error.status >= 500 else 403
        return _json(status, {"error": {"code": error.code, "message": error.message}}, request_id)

    async def _settled(
        self,
        request: web.Request,
        name: str,
        run: Callable[[Call, Received], Awaitable[Mapping[str, Any]]],
        *,
        encoded: bool = False,
    ) -> tuple[Mapping[str, Any], BrokerError | None, bool, str]:
        """The answer or what it failed with, whether the credentials in question stood, and the request's id.

        Nothing escapes but cancellation.
        """
        started = time.perf_counter()
        request_id = ids.request_id(self.random)
        reset = logs.REQUEST_ID.set(request_id)
        snapshot = self.services.directory.snapshot
        event = Event(source="sts.amazonaws.com", name=name)
        wire = Wire(source_ip=request.remote or "", secure=request.secure, user_agent="", request_id=request_id)
        call = Call(self.services, snapshot, wire, event)
        verified = True
        answer: Mapping[str, Any] = {}
        with call.caught():
            proxies = snapshot.settings.server.trusted_proxies
            received = await receive(request, request_id, proxies, encoded=encoded)
            call.wire = received.wire
            try:
                answer = await run(call, received)
            except Unverified as unverified:
                call.error, verified = unverified.refusal, False

        found = call.error
        error = await call.settle(self.trail, self.random)
        telemetry.answered("authz", name, "-" if error is None else error.code, time.perf_counter() - started)
        logs.REQUEST_ID.reset(reset)
        return answer, error, verified or error is not found, request_id


def _json(status: int, document: Mapping[str, Any], request_id: str) -> web.Response:
    headers = {"x-amzn-RequestId": request_id, "Cache-Control": "no-store", "Content-Type": "application/json"}
    if status == 401:
        headers["WWW-Authenticate"] = "AWS4-HMAC-SHA256, Bearer"
    if status == 503:
        headers["Retry-After"] = "1"
    return web.Response(status=status, body=_encode(document), headers=headers)
