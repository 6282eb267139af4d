"""Doors for people: a request in, a page or a redirect out; this face's one place that turns errors into bytes."""

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web

from broker import ids, logs, telemetry
from broker.api import forms, render
from broker.api.call import Call
from broker.api.events import Event
from broker.api.pages import views
from broker.api.pages.layout import SECURITY_HEADERS, Page
from broker.api.received import UNSIGNED_BODY_LIMIT, receive
from broker.audit import Trail
from broker.errors import AccessDenied, BrokerError, InternalFailure
from broker.flows.caller import Wire
from broker.flows.services import Services
from broker.ids import Random
from broker.settings.values import is_loopback

_PORT = re.compile(r":[0-9]{1,5}\Z")
_COOKIE_SECONDS: Final = 3600
_OWN_PAGES: Final = (None, "same-origin")
"""`Sec-Fetch-Site` of our own forms; older browsers send none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """On to another address, by GET."""

    url: str


@dataclass(slots=True)
class Visit:
    """One request of a browser.

    `host` and `path`: as asked for, with the query. `browser`: the secret in its cookie, for the logins of an hour.
    `recorded`: whether the visit is one for the audit trail: an authentication, a denial, a mint. `sent_from`:
    whose page sent the browser here, as it says itself (`Sec-Fetch-Site`). `given`: what its cookie is set to.
    `again`: the page for a refusal after which the person may try once more, in place of the general one.
    """

    call: Call
    random: Random
    host: str
    path: str
    parameters: Mapping[str, str]
    browser: str | None
    recorded: bool
    sent_from: str | None = None
    given: str | None = None
    again: Callable[[BrokerError], Page | None] | None = None

    @property
    def misplaced(self) -> str | None:
        """Where to go instead: cookies of 127.0.0.1 are not those of localhost, to which identity providers answer."""
        ours, asked = urlsplit(self.public_url), _PORT.sub("", self.host)
        if ours.netloc == self.host or not (is_loopback(ours.hostname or "") and is_loopback(asked)):
            return None
        return f"{self.public_url}{self.path}"

    @property
    def public_url(self) -> str:
        """Base of the gateway's addresses."""
        return self.call.snapshot.settings.public_url

    def path_to(self, path: str) -> str:
        """What an own form is sent to: `public_url` may have a path itself."""
        return f"{urlsplit(self.public_url).path}{path}"

    def require_own_form(self) -> None:
        """Raises `AccessDenied` for a form on another site's page."""
        if self.sent_from not in _OWN_PAGES:
            raise AccessDenied("The form was sent from another site.")

    def known_browser(self) -> str:
        """The browser's secret, given to it with the answer: a new one where it has none, else its own for longer."""
        self.browser = self.given = self.browser or self.call.services.tickets.new_id()
        return self.browser


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """For a program: JSON in the shape of the Query API's."""

    action: str
    result: Mapping[str, Any]


Handler = Callable[[web.Request], Awaitable[web.Response]]
Story = Callable[[Visit], Awaitable[Page | Redirect | Document]]


@dataclass(frozen=True, slots=True)
class PageFace:
    """Makes handlers of stories."""

    services: Services
    trail: Trail
    random: Random

    def door(self, name: str, story: Story, *, recorded: bool = True, json: bool = False) -> Handler:
        """A handler; `name` stands for it in metrics and, until the story knows better, in the audit trail.

        `json`: refusals are for a program.
        """

        async def handle(request: web.Request) -> web.Response:
            return await self._answer(request, name, story, recorded=recorded, json=json)

        return handle

    async def _answer(
        self, request: web.Request, name: str, story: Story, *, recorded: bool, json: bool
    ) -> web.Response:
        started = time.perf_counter()
        request_id = ids.request_id(self.random)
        reset = logs.REQUEST_ID.set(request_id)
        snapshot = self.services.directory.snapshot
        settings = snapshot.settings
        wire = Wire(source_ip=request.remote or "", secure=request.secure, user_agent="", request_id=request_id)
        call = Call(self.services, snapshot, wire, Event(source="sts.amazonaws.com", name=name))
        cookie = cookie_name(settings.public_url)
        browser = secret_of("; ".join(request.headers.getall("Cookie", ())), cookie)
        visit = Visit(call, self.random, request.host, request.path_qs, {}, browser, recorded)
        answer: Page | Redirect | Document | None = None
        with call.caught():
            received = await receive(request, request_id, settings.server.trusted_proxies)
            call.wire = received.wire
            visit.sent_from = received.http.header("sec-fetch-site")
            visit.parameters = forms.parameters(
                "" if request.method == "POST" else received.http.query,
                received.body,
                content_type=received.content_type,
                limit=UNSIGNED_BODY_LIMIT,
            )
            answer = await story(visit)

        error = call.error
        if visit.recorded or isinstance(error, AccessDenied):
            error = await call.settle(self.trail, self.random)
        telemetry.answered("pages", name, "-" if error is None else error.code, time.perf_counter() - started)
        logs.REQUEST_ID.reset(reset)
        if error is not None:
            answer = visit.again(error) if visit.again is not None else None
        response = _response(answer, error, request_id, urlsplit(settings.public_url).path, json=json)
        if visit.given is not None and error is None:
            response.set_cookie(
                cookie,
                visit.given,
                max_age=_COOKIE_SECONDS,
                path="/",
                secure=settings.public_url.startswith("https:"),
                httponly=True,
                samesite="Lax",
            )
        response.headers["x-amzn-RequestId"] = request_id
        return response


def cookie_name(public_url: str) -> str:
    """Bound to the host where the gateway is served by TLS (RFC 6265bis §4.1.3.2)."""
    return "__Host-sojourn" if public_url.startswith("https:") else "sojourn"


def secret_of(cookies: str, name: str) -> str | None:
    """A browser's secret in its `Cookie` header; None where there is none of the right form.

    The others are passed over: to read them all, the HTTP library would need up to 50 ms for what a header may hold.
    """
    found = re.search(rf"(?:^|;) *{name}=([A-Za-z0-9_-]{{43}}) *(?:;|$)", cookies)
    return found[1] if found is not None else None


def _response(
    answer: Page | Redirect | Document | None, error: BrokerError | None, request_id: str, base: str, *, json: bool
) -> web.Response:
    if json and error is not None:
        body = render.failure(error, request_id, json=True)
        return web.Response(
            status=error.status, body=body, content_type=render.JSON_TYPE, headers={"Cache-Control": "no-store"}
        )
    if answer is None:
        return views.failure(error or InternalFailure(), request_id).response(base)
    if isinstance(answer, Document):
        body = render.success(answer.action, answer.result, request_id, json=True)
        return web.Response(body=body, content_type=render.JSON_TYPE, headers={"Cache-Control": "no-store"})
    if isinstance(answer, Page):
        return answer.response(base)
    return web.Response(status=303, headers={**SECURITY_HEADERS, "Location": answer.url})
