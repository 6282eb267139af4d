"""The role picker of every way to sign in; what is chosen there is credentials on a page, or a code for a terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from broker.api import params
from broker.api.events import federated_identity
from broker.api.pages import views
from broker.api.pages.face import Document, Redirect, Visit
from broker.api.pages.layout import Page
from broker.api.params import param
from broker.api.rules import integer, text
from broker.api.sts.shapes import assumed_role_user, credentials, record_role_session
from broker.errors import AccessDenied, ValidationError
from broker.flows import login
from broker.flows.assume import Assumed
from broker.flows.login import Offer, Terminal, Vouched

_B64URL = r"[A-Za-z0-9_-]+"


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalRequest:
    """What `sojourn login` adds to the address at which a sign-in begins."""

    challenge: str | None = param("code_challenge", text(43, 43, _B64URL), default=None)
    port: int | None = param("port", integer(1024, 65535), default=None)
    state: str | None = param("state", text(16, 128, _B64URL), default=None)

    @property
    def terminal(self) -> Terminal | None:
        """The program that waits, None where the credentials are for the person at the browser.

        Raises `ValidationError` for half a terminal.
        """
        if self.challenge is None:
            if self.port is not None or self.state is not None:
                raise ValidationError("port and state belong to a code_challenge.")
            return None
        if (self.port is None) != (self.state is None):
            raise ValidationError("port and state belong together.")
        return Terminal(challenge=self.challenge, port=self.port, state=self.state or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    ticket: str = param("ticket", text(1, 64))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    ticket: str = param("ticket", text(1, 64))
    role: str = param("role", text(20, 2048))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Redeemed:
    code: str = param("code", text(1, 64), secret=True)
    verifier: str = param("code_verifier", text(43, 128, r"[A-Za-z0-9._~-]+"), secret=True)


async def pick_role(visit: Visit, vouched: Sequence[Vouched], *, browser: bytes, terminal: Terminal | None) -> Redirect:
    """Where somebody goes on whose identity was verified. `browser`: the fingerprint of the one that began.

    Raises:
        AccessDenied: no role admits the identity.
    """
    ticket = await login.offer(
        visit.call.services, visit.call.snapshot, visit.call.wire, vouched, browser=browser, terminal=terminal
    )
    return Redirect(url=f"{visit.public_url}/login/roles?{urlencode({'ticket': ticket})}")


async def show(visit: Visit) -> Page | Redirect:
    """`GET /login/roles`: the picker; where one role is all there is, and nobody waits at a terminal, straight on."""
    call = visit.call
    ticket = params.parse(_Shown, visit.parameters).ticket
    offer = await login.offered(call.services, ticket, visit.browser)
    if len(offer.roles) == 1 and offer.terminal is None:
        offer = await login.chosen(call.services, ticket, visit.browser)
        return await _hand_out(visit, offer, offer.roles[0][0])
    return views.roles(
        login.accounts_of(call.snapshot, offer),
        ticket,
        offer.vouched[0].session_name,
        offer.terminal,
        visit.path_to("/login/roles"),
    )


async def choose(visit: Visit) -> Page | Redirect:
    """`POST /login/roles`: one of the roles that were offered.

    The ticket is in the form and the browser's secret in a cookie that other sites' forms do not carry.
    """
    call = visit.call
    request = params.parse(_Chosen, visit.parameters)
    visit.require_own_form()
    offer = await login.offered(call.services, request.ticket, visit.browser)
    if offer.by(request.role) is None:
        raise AccessDenied("This role was not offered.")
    offer = await login.chosen(call.services, request.ticket, visit.browser)
    return await _hand_out(visit, offer, request.role)


async def redeem(visit: Visit) -> Document:
    """`POST /login/credentials`: what was chosen at the browser, for the program that holds code and verifier."""
    call = visit.call
    request = params.parse(_Redeemed, visit.parameters)
    found = await login.redeem(call.services, request.code, request.verifier)
    assumed = await _assume(visit, found.vouched, found.role_arn)
    return Document(
        action="RedeemCode",
        result={"Credentials": credentials(assumed.credentials), "AssumedRoleUser": assumed_role_user(assumed)},
    )


async def _hand_out(visit: Visit, offer: Offer, role_arn: str) -> Page | Redirect:
    call, terminal = visit.call, offer.terminal
    vouched = offer.by(role_arn)
    if vouched is None:
        raise AccessDenied("This role was not offered.")
    visit.recorded = True
    if terminal is None:
        assumed = await _assume(visit, vouched, role_arn)
        account = call.snapshot.account(assumed.session.account)
        return views.credentials(assumed, visit.public_url, account.alias if account is not None else None)
    _put_on_record(visit, vouched, role_arn)
    code = await login.issue_code(call.services, vouched, role_arn, terminal)
    if terminal.port is None:
        return views.code(code)
    query = urlencode({"code": code, "state": terminal.state})
    return Redirect(url=f"http://127.0.0.1:{terminal.port}/?{query}")


async def _assume(visit: Visit, vouched: Vouched, role_arn: str) -> Assumed:
    call = visit.call
    call.event.name = vouched.action.removeprefix("sts:")
    _put_on_record(visit, vouched, role_arn)
    assumed = await login.assume_chosen(call.services, call.snapshot, call.wire, vouched, role_arn)
    record_role_session(call, assumed)
    return assumed


def vouched_identity(visit: Visit, vouched: Vouched) -> Mapping[str, Any]:
    """`userIdentity` of whoever signed in."""
    user = visit.call.snapshot.user(vouched.user_arn) if vouched.user_arn is not None else None
    if user is None:
        return federated_identity(vouched.kind, vouched.identity, vouched.provider_arn)
    return {
        "type": "IAMUser",
        "principalId": user.unique_id,
        "arn": user.arn,
        "accountId": user.account,
        "userName": user.name,
    }


def _put_on_record(visit: Visit, vouched: Vouched, role_arn: str) -> None:
    event = visit.call.event
    event.identity = vouched_identity(visit, vouched)
    event.parameters = {"roleArn": role_arn, "principalArn": vouched.provider_arn}
