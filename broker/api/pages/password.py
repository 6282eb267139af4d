"""`/login`: user name, password and perhaps a one-time code, then on to a security key or the role picker."""

from dataclasses import dataclass

import msgspec

from broker.api import params
from broker.api.events import refused_identity
from broker.api.pages import views
from broker.api.pages.face import Redirect, Visit
from broker.api.pages.layout import Page
from broker.api.pages.roles import vouched_identity
from broker.api.pages.steps import go_on
from broker.api.params import param
from broker.api.rules import choice, text
from broker.errors import BrokerError, IDPCommunicationError, IDPRejectedClaim, ValidationError
from broker.flows import sign_in
from broker.flows.mfa import Presented
from providers.contract import Password


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What may stand in the address: where to sign in, and the role, or else the list of keys, that is wanted."""

    provider: str = param("provider", text(0, 2048), default="")
    role: str = param("role", text(0, 2048), default="")
    next: str = param("next", choice("roles", "keys"), default="roles")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent(Shown):
    """The form. `device`: name or serial number, for who has several."""

    username: str = param("username", text(0, 256))
    password: str = param("password", text(0, 1024), secret=True)
    code: str = param("code", text(0, 32), default="", secret=True)
    device: str = param("device", text(0, 256), default="")


async def show(visit: Visit) -> Page | Redirect:
    """`GET /login`: the form."""
    if visit.misplaced is not None:
        return Redirect(url=visit.misplaced)
    visit.known_browser()
    return form(visit, params.parse(Shown, visit.parameters))


async def enter(visit: Visit) -> Redirect:
    """`POST /login`: verify, then on; to `role` alone where one is wanted."""
    call = visit.call
    sent = params.parse(Sent, visit.parameters)
    visit.require_own_form()
    visit.again = lambda error: form(visit, sent, error) if isinstance(error, _MAY_TRY_AGAIN) else None
    door = sign_in.door(call.snapshot, sent.provider or None, sent.role or None)
    call.event.account = door.account.id
    call.event.additional["MFAUsed"] = "Yes" if sent.code else "No"
    proof, code = Password(sent.username, sent.password), _code(visit, sent, door)
    try:
        vouched = await sign_in.by_door(call.services, call.snapshot, door, proof, code, call.wire)
    except IDPRejectedClaim as error:
        call.event.identity = refused_identity(error, door.kind, sent.username, door.id)
        raise
    call.event.identity = vouched_identity(visit, vouched)
    if sent.role:
        vouched = msgspec.structs.replace(vouched, roles=(sent.role,))
    return await go_on(visit, vouched, to_keys=sent.next == "keys")


_MAY_TRY_AGAIN = (IDPRejectedClaim, IDPCommunicationError, ValidationError)


def _code(visit: Visit, sent: Sent, door: sign_in.Door) -> Presented | None:
    code = sent.code.replace(" ", "")  # as authenticators show it
    if not code:
        return None
    if not sent.device or sent.device.startswith("arn:"):
        return Presented(sent.device or None, code)
    partition = visit.call.snapshot.settings.sts.partition
    return Presented(f"arn:{partition}:iam::{door.account.id}:mfa/{sent.device}", code)


def form(visit: Visit, shown: Shown, error: BrokerError | None = None) -> Page:
    """The form, filled in as before but for the secrets."""
    return views.sign_in(
        {each.id: each.label for each in sign_in.doors(visit.call.snapshot)},
        provider=shown.provider,
        role=shown.role,
        to_keys=shown.next == "keys" if visit.call.services.ceremonies is not None else None,
        username=shown.username if isinstance(shown, Sent) else "",
        error=error,
        action=visit.path_to("/login"),
    )
