"""The OAuth endpoints: requests in, JSON out; this face's one place that turns errors into bytes (RFC 6749 §5)."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from broker import ids, logs, telemetry
from broker.api import forms
from broker.api.call import Call
from broker.api.events import Event
from broker.api.oauth import refusals
from broker.api.oauth.exchange import exchange
from broker.api.oauth.introspect import introspect
from broker.api.oauth.revoke import revoke
from broker.api.received import UNSIGNED_BODY_LIMIT, Received, receive
from broker.audit import Trail
from broker.errors import AccessDenied, BrokerError, ValidationError
from broker.flows.caller import Wire
from broker.flows.services import Services
from broker.ids import Random

_Run = Callable[[Call, Received, Mapping[str, str]], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class OAuthFace:
    """Serves `/oauth2/token`, `/oauth2/introspect` and `/oauth2/revoke`."""

    services: Services
    trail: Trail
    random: Random

    async def token(self, request: web.Request) -> web.StreamResponse:
        """Answer a token request."""
        return await self._answer(request, "token", "ExchangeToken", exchange)

    async def introspect(self, request: web.Request) -> web.StreamResponse:
        """Answer an introspection request."""
        return await self._answer(request, "introspect", "IntrospectToken", introspect, denied=403)

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        """Answer a revocation request."""
        return await self._answer(request, "revoke", "RevokeToken", revoke)

    async def _answer(
        self, request: web.Request, label: str, event_name: str, run: _Run, *, denied: int = 400
    ) -> web.StreamResponse:
        """Run one request; nothing escapes but cancellation. `denied`: the status where a policy refuses."""
        started = time.perf_counter()
        request_id = ids.request_id(self.random)
        reset = logs.REQUEST_ID.set(request_id)
        snapshot = self.services.directory.snapshot
        event = Event(source="sts.amazonaws.com", name=event_name)
        wire = Wire(source_ip=request.remote or "", secure=request.secure, user_agent="", request_id=request_id)
        call = Call(self.services, snapshot, wire, event)
        answer: Mapping[str, Any] = {}
        with call.caught():
            received = await receive(request, request_id, snapshot.settings.server.trusted_proxies)
            call.wire = received.wire
            answer = await run(call, received, _parameters(received))

        error = await call.settle(self.trail, self.random)
        telemetry.answered("oauth", label, "-" if error is None else error.code, time.perf_counter() - started)
        logs.REQUEST_ID.reset(reset)
        return _response(answer, error, request_id, denied)


def _parameters(received: Received) -> Mapping[str, str]:
    """The form in the body; a token in a URL would end up in logs (RFC 6749 §3.2, RFC 6750 §5.3)."""
    if received.http.query:
        raise ValidationError("The parameters of this request belong into its body, not into its URL.")
    return forms.parameters(
        "",
        received.body,
        content_type=received.content_type,
        limit=UNSIGNED_BODY_LIMIT,
    )


def _response(answer: Mapping[str, Any], error: BrokerError | None, request_id: str, denied: int) -> web.Response:
    headers = {"x-amzn-RequestId": request_id, "Cache-Control": "no-store", "Pragma": "no-cache"}
    if error is None:
        return web.json_response(answer, headers=headers)
    status = denied if isinstance(error, AccessDenied) else refusals.status(error)
    if status == 401:
        headers["WWW-Authenticate"] = "AWS4-HMAC-SHA256"
    if status == 503:
        headers["Retry-After"] = "1"
    return web.json_response(refusals.document(error), status=status, headers=headers)
