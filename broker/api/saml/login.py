"""`GET /saml/login`: to the identity provider, with a signed request (SAML Profiles §4.1.3)."""

from dataclasses import dataclass

from broker.api import params
from broker.api.pages import views
from broker.api.pages.face import Redirect, Visit
from broker.api.pages.layout import Page
from broker.api.pages.roles import TerminalRequest
from broker.api.params import param
from broker.api.rules import text
from broker.flows import login


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
    sent = await login.begin_saml(
        call.services,
        call.snapshot,
        call.wire,
        request.provider,
        browser=login.fingerprint(visit.known_browser()),
        terminal=request.terminal,
    )
    return views.leave(sent.url, sent.fields) if sent.fields else Redirect(url=sent.url)
