"""The AWS Query protocol: one pipeline for every action of every service.

Parameters, action, signature over the bytes as received, parameter table, permission, run, render, audit: in that
order, for all of them, so that no action can forget a step. This is the face's one place that turns errors into bytes.
"""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from broker import ids, logs, telemetry
from broker.api import forms, params, render
from broker.api.call import Call as Call
from broker.api.client_certificates import client_certificates
from broker.api.events import Event, listed
from broker.api.received import BODY_LIMIT, UNSIGNED_BODY_LIMIT, Received, receive
from broker.audit import Trail
from broker.errors import (
    AccessDenied,
    BrokerError,
    InvalidAction,
    MissingAction,
    RequestTooLarge,
    ServiceUnavailable,
)
from broker.flows.authorize import authorize
from broker.flows.caller import Caller, Wire
from broker.flows.services import Services
from broker.ids import Random
from broker.sessions.model import SessionKind

Result = Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A row of an action table.

    `permission`: what the caller's policies must allow, None where AWS asks for nothing or the action decides itself.
    `resource`: the ARN that the permission is asked for. `audited`: request parameters that may stand in the audit
    trail. `callers`: kinds of credentials that may call, None standing for long-term keys; others are told `misfit`.
    `bulky`: the answer may be so long that writing it would hold up the event loop.
    """

    request: type[Any]
    run: Callable[[Call, Any], Awaitable[Result]]
    signed: bool = True
    permission: str | None = None
    resource: Callable[[Call, Any], str] = lambda _call, _request: "*"
    audited: Collection[str] = ()
    callers: Collection[SessionKind | None] = (None, SessionKind.ASSUMED_ROLE)
    misfit: str | None = None
    bulky: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """An API: its version selects it, its name is what signatures are scoped to.

    `user_sessions_need_mfa`: credentials of GetSessionToken may call only where MFA was given for them.
    """

    name: str
    namespace: str
    actions: Mapping[str, Action]
    user_sessions_need_mfa: bool = False

    @property
    def event_source(self) -> str:
        """CloudTrail's name for it."""
        return f"{self.name}.amazonaws.com"


@dataclass(frozen=True, slots=True)
class QueryFace:
    """Serves `/`: APIs by their version."""

    services: Services
    apis: Mapping[str, Service]
    trail: Trail
    random: Random

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request. Nothing escapes but cancellation. A person's browser is sent to the sign-in page."""
        if (
            request.method == "GET"
            and "Action" not in request.query
            and "text/html" in request.headers.get("Accept", "")
        ):
            login = f"{self.services.directory.snapshot.settings.public_url}/login"
            return web.Response(status=302, headers={"Location": login, "Cache-Control": "no-store"})
        started = time.perf_counter()
        request_id = ids.request_id(self.random)
        reset = logs.REQUEST_ID.set(request_id)
        service = self.apis[next(iter(self.apis))]
        json = "application/json" in request.headers.get("Accept", "")
        snapshot = self.services.directory.snapshot
        event = Event(source=service.event_source)
        wire = Wire(source_ip=request.remote or "", secure=request.secure, user_agent="", request_id=request_id)
        trusted = snapshot.settings.server.trusted_proxies
        call = Call(self.services, snapshot, wire, event)
        call.client_certificates = functools.partial(client_certificates, request, trusted)
        status, body, action_name = 200, b"", "-"
        with call.caught():
            received = await receive(request, request_id, trusted)
            call.wire = received.wire
            if len(received.body) > UNSIGNED_BODY_LIMIT:
                # Reading so long a form holds up everybody: who only made up a signature does not get that far.
                await call.authenticate(received, {each.name for each in self.apis.values()})
            parameters = forms.parameters(
                received.http.query,
                received.body,
                content_type=received.content_type,
                limit=BODY_LIMIT,
            )
            service, action_name = self._find(parameters)
            event.source, event.name = service.event_source, action_name
            action = service.actions[action_name]
            result = await self._run(call, service, action, parameters, received)
            write = functools.partial(
                render.success, action_name, result, request_id, namespace=service.namespace, json=json
            )
            body = await asyncio.to_thread(write) if action.bulky else write()

        error = await call.settle(self.trail, self.random)
        if error is not None:
            status = error.status
            body = render.failure(error, request_id, namespace=service.namespace, json=json)
        code = "-" if error is None else error.code
        telemetry.answered("query", action_name, code, time.perf_counter() - started)
        logs.REQUEST_ID.reset(reset)
        return _response(status, body, request_id, json=json, error=error)

    def _find(self, parameters: Mapping[str, str]) -> tuple[Service, str]:
        name = parameters.get("Action")
        if name is None:
            raise MissingAction
        version = parameters.get("Version")
        service = self.apis.get(version or "")
        if service is None or name not in service.actions:
            shown = "NO_VERSION_SPECIFIED" if version is None else version
            raise InvalidAction(f"Could not find operation {name[:256]} for version {shown[:64]}")
        return service, name

    async def _run(
        self, call: Call, service: Service, action: Action, parameters: Mapping[str, str], received: Received
    ) -> Result:
        if action.signed:
            await call.authenticate(received, {service.name})
        call.event.parameters = listed(parameters, action.audited)
        request = params.parse(action.request, parameters)
        if call.caller is not None:
            self._admit(call, call.caller, service, action, request)
        return await action.run(call, request)

    def _admit(self, call: Call, caller: Caller, service: Service, action: Action, request: Any) -> None:
        session = caller.session
        kind = session.kind if session is not None else None
        name = f"{service.name}:{call.event.name}"
        without_mfa = session is not None and session.mfa_authenticated_at is None
        if service.user_sessions_need_mfa and kind is SessionKind.USER and without_mfa:
            raise AccessDenied(
                f"User: {caller.principal.arn} is not authorized to perform: {name} with credentials of "
                "GetSessionToken for which no MFA code was given."
            )
        if kind not in action.callers:
            raise AccessDenied(
                action.misfit
                or f"User: {caller.principal.arn} is not authorized to perform: {name} with credentials of this kind."
            )
        if action.permission is not None:
            authorize(
                self.services, call.snapshot, caller, call.wire, action.permission, action.resource(call, request)
            )


def _response(status: int, body: bytes, request_id: str, *, json: bool, error: BrokerError | None) -> web.Response:
    headers = {
        "x-amzn-RequestId": request_id,
        "Content-Type": "application/json" if json else "text/xml",
        "Cache-Control": "no-store",
    }
    if isinstance(error, RequestTooLarge):
        body = b""
    if isinstance(error, ServiceUnavailable):
        headers["Retry-After"] = "1"
    return web.Response(status=status, body=body, headers=headers)
