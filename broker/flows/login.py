"""A person at a browser, or at a terminal with one: from a verified identity to the credentials of one role.

Steps: `begin_saml` sends the person away; whoever verified an identity calls `offer`, which finds the roles that admit
it; `chosen` takes the choice. A browser is known by a secret in its cookie, and every step must come from the browser
that made the one before. For a terminal the choice gives a one-time code, which only the program that began can redeem:
it keeps a verifier and shows a hash of it, the challenge (as RFC 7636).

The next step is read from the ticket; steps never call one another.
"""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

import msgspec

from broker.directory.model import Role, Snapshot, User
from broker.errors import AccessDenied, ExpiredIdentityToken
from broker.flows import saml
from broker.flows.assume import Assumed, assume
from broker.flows.caller import Wire, user_caller
from broker.flows.requester import Requester
from broker.flows.role_choice import roles_admitting
from broker.flows.saml import AuthnRequest
from broker.flows.services import Services
from broker.flows.trust import RoleRequest
from providers.contract import Identity

RELAY = "sojourn-"
"""What our RelayStates begin with; the ticket's id follows. At most 80 bytes (SAML Bindings §3.4.3)."""
AWAY_FOR = timedelta(minutes=15)
"""How long a person may take at the identity provider."""
CHOOSE_WITHIN = timedelta(minutes=5)
REDEEM_WITHIN = timedelta(minutes=2)
_HOUR = timedelta(hours=1)

_OFFER, _CODE, _AWAY = "offer", "code", "away"


class Terminal(msgspec.Struct, frozen=True, kw_only=True):
    """The program that a login is for. `port`: where it listens on loopback; None: the person carries the code."""

    challenge: str
    port: int | None = None
    state: str = ""

    @property
    def words(self) -> str:
        """What the terminal shows, too, so that nobody finishes a login that somebody else began."""
        text = base64.b32encode(hashlib.sha256(self.challenge.encode()).digest()[:5]).decode("ascii")
        return f"{text[:4]}-{text[4:]}"


class Vouched(msgspec.Struct, frozen=True, kw_only=True):
    """An identity that the provider of `provider_arn` verified, and what it may ask for.

    `user_arn`: the user of ours whom a password of ours proves; the roles are then those that this user may assume.

    `kind`: CloudTrail's word for such a user. `action`: the STS action that trust policies must allow. `roles`: those
    that the proof itself names, by ARN; None: whichever admit the identity. `duration`: what the proof says; None: an
    hour. `code_verified`: as `Requester` has it.
    """

    identity: Identity
    provider_arn: str
    kind: str
    action: str
    session_name: str
    roles: tuple[str, ...] | None = None
    duration: timedelta | None = None
    code_verified: bool | None = None
    user_arn: str | None = None

    def request(self, role_arn: str, duration: timedelta = _HOUR) -> RoleRequest:
        """For one role."""
        return RoleRequest(
            action=self.action,
            role_arn=role_arn,
            session_name=self.session_name,
            duration=duration,
        ).with_tags_of(self.identity)

    def requester(self, snapshot: Snapshot, now: datetime) -> Requester:
        """Raises `AccessDenied` where a reload took the user, or the password, away."""
        if self.user_arn is None:
            return Requester.federated(snapshot, self.identity, self.provider_arn, code_verified=self.code_verified)
        user = user_caller(snapshot, password_user(snapshot, self.user_arn), "")
        return Requester.calling(user, now, code_verified=self.code_verified)


class Away(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody was sent to a SAML identity provider. `browser`: hash of the browser's secret."""

    provider_arn: str
    request_id: str
    browser: bytes
    terminal: Terminal | None = None


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """Roles to choose from: each by its ARN, with the position in `vouched` of who may assume it."""

    vouched: tuple[Vouched, ...]
    roles: tuple[tuple[str, int], ...]
    browser: bytes
    terminal: Terminal | None = None

    def by(self, role_arn: str) -> Vouched | None:
        """Who may assume the role, None where it was not offered."""
        return next((self.vouched[position] for arn, position in self.roles if arn == role_arn), None)


class Held(Protocol):
    """What a ticket holds that one browser may go on with."""

    @property
    def browser(self) -> bytes:
        """Hash of the browser's secret."""


_Held = TypeVar("_Held", bound=Held)


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """A choice that a terminal may redeem."""

    vouched: Vouched
    role_arn: str
    challenge: str


def fingerprint(browser: str) -> bytes:
    """What tickets keep of a browser's secret."""
    return hashlib.sha256(browser.encode("utf-8", "surrogateescape")).digest()


async def offer(
    services: Services,
    snapshot: Snapshot,
    wire: Wire,
    vouched: Sequence[Vouched],
    *,
    browser: bytes,
    terminal: Terminal | None = None,
) -> str:
    """The id of a ticket with the roles that both the proof and the trust policies admit.

    Raises:
        AccessDenied: there is none.
    """
    roles: dict[str, int] = {}
    for position, each in enumerate(vouched):
        requester = each.requester(snapshot, services.now())
        for role in await asyncio.to_thread(roles_admitting, services, snapshot, requester, wire, each.request("")):
            if each.roles is None or role.arn in each.roles:
                roles.setdefault(role.arn, position)
    if not roles:
        action = vouched[0].action if vouched else "sts:AssumeRole"
        raise AccessDenied(
            f"Not authorized to perform {action}: you are signed in, but no role admits you.",
            detail={"note": "No role admits this identity."},
        )
    content = Offer(vouched=tuple(vouched), roles=tuple(roles.items()), browser=browser, terminal=terminal)
    return await services.tickets.issue(_OFFER, content, ttl=CHOOSE_WITHIN)


async def offered(services: Services, ticket_id: str, browser: str | None) -> Offer:
    """What a ticket offers to this browser.

    Raises:
        ExpiredIdentityToken: the choice was made, or took too long.
        AccessDenied: it is another browser's.
    """
    return own(await services.tickets.read(_OFFER, ticket_id, Offer), browser)


async def chosen(services: Services, ticket_id: str, browser: str | None) -> Offer:
    """As `offered`, once: nobody can choose again."""
    await offered(services, ticket_id, browser)  # another browser uses nothing up
    return own(await services.tickets.take(_OFFER, ticket_id, Offer), browser)


async def assume_chosen(services: Services, snapshot: Snapshot, wire: Wire, vouched: Vouched, role_arn: str) -> Assumed:
    """Credentials for what was chosen, by the configuration as it is now. Raises as `assume`."""
    role = snapshot.role(role_arn)
    wanted = vouched.duration or _HOUR
    duration = min(wanted, role.max_session_duration) if role is not None else wanted
    providers = (snapshot.saml_provider(vouched.provider_arn), snapshot.ldap_provider(vouched.provider_arn))
    if vouched.user_arn is None and providers == (None, None):
        raise AccessDenied("The identity provider is not there any more.")
    requester = vouched.requester(snapshot, services.now())
    return await assume(services, snapshot, requester, wire, vouched.request(role_arn, duration))


async def issue_code(services: Services, vouched: Vouched, role_arn: str, terminal: Terminal) -> str:
    """A one-time code for the terminal."""
    content = Code(vouched=vouched, role_arn=role_arn, challenge=terminal.challenge)
    return await services.tickets.issue(_CODE, content, ttl=REDEEM_WITHIN)


async def redeem(services: Services, code: str, verifier: str) -> Code:
    """What a code stands for; it is used up, also by a wrong verifier.

    Raises:
        AccessDenied: there is no such code, or the verifier is not the one that it was made for.
    """
    found = await services.tickets.take(_CODE, code, Code)
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode("ascii").rstrip("=")
    if found is None or not hmac.compare_digest(digest, found.challenge):
        raise AccessDenied("The code is not valid: it was used, has expired, or was made for another program.")
    return found


async def begin_saml(
    services: Services,
    snapshot: Snapshot,
    wire: Wire,
    provider_arn: str,
    *,
    browser: bytes,
    terminal: Terminal | None = None,
) -> AuthnRequest:
    """Send a person to an identity provider; a ticket keeps what the answer will be checked against.

    Raises:
        Throttling: too many were sent from that address.
        InvalidIdentityToken, IDPCommunicationError: as `saml.begin`.
    """
    await services.pace.admit(wire.source_ip)
    ticket = services.tickets.new_id()
    sent = await saml.begin(
        services.saml, snapshot, provider_arn, random=services.random, relay_state=f"{RELAY}{ticket}"
    )
    away = Away(provider_arn=provider_arn, request_id=sent.id, browser=browser, terminal=terminal)
    await services.tickets.issue(_AWAY, away, ttl=AWAY_FOR, ticket_id=ticket)
    return sent


async def back(services: Services, ticket_id: str) -> Away:
    """Who was sent away with this ticket, once.

    Raises:
        ExpiredIdentityToken: nobody was, or it took too long, or the person has returned before.
    """
    away = await services.tickets.take(_AWAY, ticket_id, Away)
    if away is None:
        raise ExpiredIdentityToken("This sign-in took too long or was finished before. Begin again.")
    return away


def accounts_of(snapshot: Snapshot, offer: Offer) -> Sequence[tuple[str, str | None, Sequence[Role]]]:
    """What is offered, by account: its id, its alias, the roles; those that are gone since are left out."""
    found: dict[str, list[Role]] = {}
    for arn, _ in offer.roles:
        role = snapshot.role(arn)
        if role is not None:
            found.setdefault(role.account, []).append(role)
    aliases = {each.id: each.alias for each in snapshot.accounts.values()}
    return [
        (account, aliases.get(account), sorted(roles, key=lambda role: role.name.casefold()))
        for account, roles in sorted(found.items(), key=lambda item: (aliases.get(item[0]) or "~", item[0]))
    ]


def password_user(snapshot: Snapshot, user_arn: str) -> User:
    """The user of ours who signed in. Raises `AccessDenied` where a reload took the user, or the password, away."""
    user = snapshot.user(user_arn)
    if user is None or user.password_hash is None:
        raise AccessDenied("The user does not exist, or has no password, any more.")
    return user


def own(found: _Held | None, browser: str | None) -> _Held:
    """What was found under a ticket, for the browser that made the step before.

    Raises:
        ExpiredIdentityToken: nothing was.
        AccessDenied: it is another browser's.
    """
    if found is None:
        raise ExpiredIdentityToken("This sign-in took too long or was finished before. Begin again.")
    if browser is None or not hmac.compare_digest(fingerprint(browser), found.browser):
        raise AccessDenied("This sign-in belongs to another browser. Begin again here.")
    return found
