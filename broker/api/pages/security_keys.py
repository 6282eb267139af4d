"""`/login/key`: a security key as the second factor. `/login/keys`: the person's own keys, added and removed.

On record as AWS has it: a key is enabled and deactivated as an MFA device of IAM, and identifies itself at a sign-in.
"""

from dataclasses import dataclass

from broker.api import params
from broker.api.pages import key_views, password
from broker.api.pages.face import Redirect, Visit
from broker.api.pages.layout import Page
from broker.api.pages.roles import pick_role, vouched_identity
from broker.api.pages.steps import go_on
from broker.api.params import param
from broker.api.rules import text
from broker.arn import Arn
from broker.errors import IDPRejectedClaim
from broker.flows import security_keys
from broker.flows.security_keys import SignedIn, Step

_IAM = "iam.amazonaws.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ticket:
    ticket: str = param("ticket", text(1, 64))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Used(_Ticket):
    response: str = param("response", text(0, 16_384), secret=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Registered(_Used):
    name: str = param("name", text(1, 64, key_views.NAME))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Removed(_Ticket):
    serial_number: str = param("key", text(9, 256))


async def ask(visit: Visit) -> Page:
    """`GET /login/key`: the browser is asked to use a key."""
    call, ticket = visit.call, params.parse(_Ticket, visit.parameters).ticket
    signed_in = await security_keys.waiting(call.services, "use", ticket, visit.browser)
    options = await security_keys.request(call.services, call.snapshot, signed_in)
    return key_views.use(
        options,
        ticket,
        signed_in.vouched.session_name,
        visit.path_to("/login/key"),
        may_skip=not signed_in.to_keys,
    )


async def use(visit: Visit) -> Redirect:
    """`POST /login/key`: with a second factor, on to what was wanted."""
    call, sent = visit.call, params.parse(_Used, visit.parameters)
    signed_in = await _taken(visit, "use", sent.ticket)
    call.event.additional["MFAUsed"] = "Yes"
    key, vouched = await security_keys.use(call.services, call.snapshot, call.wire, signed_in, sent.response)
    call.event.additional["MFAIdentifier"] = key.serial_number
    return await go_on(visit, vouched, to_keys=signed_in.to_keys)


async def go_without(visit: Visit) -> Redirect:
    """`POST /login/key/without`: to the roles that the password alone opens."""
    signed_in = await _taken(visit, "use", params.parse(_Ticket, visit.parameters).ticket)
    return await pick_role(visit, [signed_in.vouched], browser=signed_in.browser, terminal=None)


async def show(visit: Visit) -> Page:
    """`GET /login/keys`: the person's keys."""
    call, ticket = visit.call, params.parse(_Ticket, visit.parameters).ticket
    signed_in = await security_keys.waiting(call.services, "manage", ticket, visit.browser)
    managed = await security_keys.managed(call.services, call.snapshot, call.wire, signed_in)
    return key_views.manage(managed, ticket, signed_in.vouched.session_name, visit.path_to("/login/keys"))


async def register(visit: Visit) -> Redirect:
    """`POST /login/keys`: one more."""
    call, sent = visit.call, params.parse(_Registered, visit.parameters)
    call.event.source = _IAM
    signed_in = await _taken(visit, "manage", sent.ticket)
    key = await security_keys.register(call.services, call.snapshot, call.wire, signed_in, sent.name, sent.response)
    call.event.parameters = {"userName": signed_in.vouched.session_name, "serialNumber": key.serial_number}
    return await go_on(visit, signed_in.vouched, to_keys=True)


async def remove(visit: Visit) -> Redirect:
    """`POST /login/keys/remove`: one less."""
    call, sent = visit.call, params.parse(_Removed, visit.parameters)
    call.event.source = _IAM
    signed_in = await _taken(visit, "manage", sent.ticket)
    await security_keys.remove(call.services, call.snapshot, call.wire, signed_in, sent.serial_number)
    call.event.parameters = {"userName": signed_in.vouched.session_name, "serialNumber": sent.serial_number}
    return await go_on(visit, signed_in.vouched, to_keys=True)


async def leave(visit: Visit) -> Redirect:
    """`POST /login/keys/leave`: on to the roles, by a key where there is one and none was used."""
    signed_in = await _taken(visit, "manage", params.parse(_Ticket, visit.parameters).ticket)
    return await go_on(visit, signed_in.vouched, to_keys=False)


async def _taken(visit: Visit, step: Step, ticket: str) -> SignedIn:
    """Who sent the form; the step is used up, so whoever is refused now begins with the password again."""
    visit.require_own_form()
    signed_in = await security_keys.taken(visit.call.services, step, ticket, visit.browser)
    vouched, event = signed_in.vouched, visit.call.event
    account = Arn.parse(vouched.provider_arn).account
    event.identity, event.account = vouched_identity(visit, vouched), account
    again = password.Shown(
        provider=vouched.provider_arn if vouched.user_arn is None else account,
        role=(vouched.roles or ("",))[0],
        next="keys" if signed_in.to_keys else "roles",
    )
    visit.again = lambda error: password.form(visit, again, error) if isinstance(error, IDPRejectedClaim) else None
    return signed_in
