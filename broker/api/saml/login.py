"""`GET /saml/login`: to the identity provider, with a signed request (SAML Profiles §4.1.3)."""

from dataclasses import dataclass

from broker.api import params
from broker.api.pages import views
from broker.api.pages.face import Redirect, Visit
from broker.api.pages.layout import Page
from broker.api.pages.roles import TerminalRequest
from broker.api.params import param
from broker.api.rules import text
from broker.flows import login, saml

RELAY = "sojourn-"
"""What our RelayStates begin with; the ticket's id follows. At most 80 bytes (SAML Bindings §3.4.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(TerminalRequest):
    """The parameters; see `TerminalRequest` for those of `sojourn login`."""

    provider: str = param("provider", text(20, 2048))


async def begin(visit: Visit) -> Page | Redirect:
    """A redirect to the identity provider, or a form that is posted there."""
    call = visit.call
    if visit.misplaced is not None:
        return Redirect(url=visit.misplaced)
    request = params.parse(Request, visit.parameters)
    terminal = request.terminal
    ticket = call.services.tickets.new_id()
    sent = await saml.begin(
        call.services.saml, call.snapshot, request.provider, random=visit.random, relay_state=f"{RELAY}{ticket}"
    )
    away = login.Away(
        provider_arn=request.provider,
        request_id=sent.id,
        browser=login.fingerprint(visit.known_browser()),
        terminal=terminal,
    )
    await login.remember_away(call.services, ticket, away)
    return views.leave(sent.url, sent.fields) if sent.fields else Redirect(url=sent.url)
