"""Sessions as administrators see them and end them.

Principals of an account reach the sessions of their own account, those of the management account reach all. Within
that reach the policies decide, session by session: who may not see a session does not see it, and of many sessions none
is revoked where one may not be.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from broker import arn, ids
from broker.arn import Arn
from broker.directory.model import Snapshot
from broker.errors import AccessDenied, ValidationError
from broker.flows.caller import Caller, Wire, caller_keys, request_keys, resource_control_policies
from broker.flows.services import Services
from broker.policy import Request, RequestContext, decide
from broker.sessions import indexes
from broker.sessions.model import Session
from broker.sessions.sessions import Position

LIST = "broker:ListSessions"
REVOKE = "broker:RevokeSessions"

_PAGE = 101
"""Entries read at once: a page of a hundred, and whether there are more."""
_LOOKED_AT = 2000
"""Sessions that one call to list looks at: an answer may be short, or empty, and yet have a next page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which sessions; all that is given must hold. `tag`: a session tag's key (in any case) and value.

    `user_arn`: the user's own sessions, and those of roles whose chain began with the user.
    """

    access_key_id: str | None = None
    session_arn: str | None = None
    role_arn: str | None = None
    user_arn: str | None = None
    source_identity: str | None = None
    provider_arn: str | None = None
    tag: tuple[str, str] | None = None
    issued_before: datetime | None = None

    @property
    def narrowed(self) -> bool:
        """Whether it names less than every session."""
        return self != Wanted()

    def admits(self, session: Session) -> bool:
        """Whether the session is one of those."""
        return (
            self.access_key_id in {None, session.access_key_id}
            and self.session_arn in {None, session.arn}
            and self.role_arn in {None, session.principal_arn}
            and self.user_arn in {None, session.principal_arn, session.origin_arn}
            and self.source_identity in {None, session.source_identity}
            and self.provider_arn in {None, session.federated_provider}
            and (self.tag is None or _has_tag(session.tags, *self.tag))
            and (self.issued_before is None or session.issued_at < self.issued_before.timestamp())
        )

    @property
    def accounts(self) -> Sequence[str]:
        """The accounts whose sessions it names."""
        named = [Arn.parse(each).account for each in (self.session_arn, self.role_arn) if each is not None]
        return named if self.access_key_id is None else [*named, ids.account_of(self.access_key_id) or ""]

    @property
    def scope(self) -> str:
        """The resource that stands for all of them."""
        if self.session_arn is not None:
            return self.session_arn
        if self.role_arn is not None:
            role = Arn.parse(self.role_arn)
            return arn.assumed_role(role.account, role.name, "*", role.partition)
        return self.user_arn or "*"

    def indexes(self, accounts: Sequence[str]) -> Sequence[str]:
        """Where they are filed: the narrowest indexes that hold all of them."""
        principal = self.session_arn or self.role_arn or self.user_arn
        if principal is not None:
            return [indexes.of_principal(principal)]
        if self.source_identity is not None:
            return [indexes.of_source_identity(account, self.source_identity) for account in accounts]
        if self.provider_arn is not None:
            return [indexes.of_provider(self.provider_arn)]
        return [indexes.of_account(account) for account in accounts]


def _has_tag(tags: Mapping[str, str], key: str, value: str) -> bool:
    return any(each.casefold() == key.casefold() and tags[each] == value for each in tags)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a list goes on: an index, and a position in it."""

    index: str
    position: Position


@dataclass(frozen=True, slots=True)
class Listed:
    """Some sessions, each account's newest first; `next` is None at the end.

    `last_used`: access key id to seconds since the epoch, to within five minutes; only those that were used.
    """

    sessions: Sequence[Session]
    last_used: Mapping[str, int]
    next: Place | None


@dataclass(frozen=True, slots=True)
class Revoked:
    """The sessions that were revoked. `more`: others remain, ask again."""

    sessions: Sequence[Session]
    more: bool


async def list_sessions(
    services: Services,
    snapshot: Snapshot,
    caller: Caller,
    wire: Wire,
    wanted: Wanted,
    *,
    limit: int,
    after: Place | None,
) -> Listed:
    """The living sessions that the caller may see.

    Raises:
        AccessDenied: the caller may see none of them, or names another account's.
        ValidationError: `after` is no place in this list.
        StoreUnavailable: nothing can be told.
    """
    gate = _Gate(services, snapshot, caller, wire, LIST, wanted)
    gate.require_reach()
    found: list[Session] = []
    last, looked_at = after, 0
    async for place, session in _candidates(services, gate.accounts, wanted, after):
        if len(found) == limit or looked_at == _LOOKED_AT:
            break
        last, looked_at = place, looked_at + 1
        if gate.reaches(session) and wanted.admits(session) and gate.allows(session.arn):
            found.append(session)
    else:
        last = None
    if not found and after is None:
        gate.require(wanted.scope)
    last_used = await services.sessions.usage.last_used([session.access_key_id for session in found])
    return Listed(found, last_used, last)


async def revoke_sessions(
    services: Services, snapshot: Snapshot, caller: Caller, wire: Wire, wanted: Wanted, *, limit: int
) -> Revoked:
    """End up to `limit` of the sessions, for good and everywhere; durable on return.

    Raises:
        AccessDenied: the caller may not end one of them, or names another account's: none was ended.
        ValidationError: nothing says which sessions.
        StoreUnavailable: some may live on; try again.
    """
    if not wanted.narrowed:
        raise ValidationError("Say which sessions: by access key id, session, role, user, provider, tag or time.")
    gate = _Gate(services, snapshot, caller, wire, REVOKE, wanted)
    gate.require_reach()
    found: list[Session] = []
    more = False
    async for _, session in _candidates(services, gate.accounts, wanted, None):
        if gate.reaches(session) and wanted.admits(session):
            if len(found) == limit:
                more = True
                break
            gate.require(session.arn)
            found.append(session)
    if not found:
        gate.require(wanted.scope)
    await services.sessions.revoke(found)
    return Revoked(found, more)


async def _candidates(
    services: Services, accounts: Sequence[str], wanted: Wanted, after: Place | None
) -> AsyncIterator[tuple[Place, Session]]:
    """The living sessions among which those wanted are, in order, behind `after`."""
    if wanted.access_key_id is not None:
        session = await services.sessions.load(wanted.access_key_id) if after is None else None
        if session is not None:
            yield Place("", (session.issued_at, session.access_key_id)), session
        return
    names = list(wanted.indexes(accounts))
    if after is not None:
        if after.index not in names:
            raise ValidationError("Invalid Marker: pass the Marker of the answer before, with the same filters.")
        del names[: names.index(after.index)]
    for name in names:
        begin = None if wanted.issued_before is None else (wanted.issued_before.timestamp(), "")
        position: Position | None = after.position if after is not None and name == after.index else begin
        while True:
            page, position = await services.sessions.page(name, after=position, limit=_PAGE)
            for session in page:
                yield Place(name, (session.issued_at, session.access_key_id)), session
            if position is None:
                break


class _Gate:
    """What one caller may do to sessions: reach by account, then a decision for each ARN."""

    def __init__(
        self, services: Services, snapshot: Snapshot, caller: Caller, wire: Wire, action: str, wanted: Wanted
    ) -> None:
        self._services = services
        self._caller = caller
        self._action = action
        self._wanted = wanted
        self._account = caller.principal.account
        self._everywhere = self._account == snapshot.settings.organization.management_account
        now = services.now()
        single, many = caller_keys(caller, now)
        self._context = RequestContext({**request_keys(wire, now), **single}, many)
        self._policies = caller.policies._replace(rcps=resource_control_policies(snapshot, self._account))
        self._decided: dict[str, bool] = {}
        self.accounts = sorted(snapshot.accounts) if self._everywhere else [self._account]

    def reaches(self, session: Session) -> bool:
        """Whether the session is in the caller's reach, whatever the policies say."""
        return self._everywhere or session.account == self._account

    def require_reach(self) -> None:
        """Raise `AccessDenied` where sessions of another account are named."""
        if not self._everywhere and any(account != self._account for account in self._wanted.accounts):
            raise AccessDenied(
                f"{self._sentence} because sessions of other accounts are reached from the management account only."
            )

    def allows(self, resource: str) -> bool:
        """Whether the policies allow the action on this session."""
        if resource not in self._decided:
            self._decided[resource] = decide(self._asked(resource), self._policies).allowed
        return self._decided[resource]

    def require(self, resource: str) -> None:
        """Raise `AccessDenied` where they do not; the sentence names no session that the caller did not name."""
        if not self.allows(resource):
            raise self._services.denials.denied(self._sentence, self._asked(resource), self._policies)

    def _asked(self, resource: str) -> Request:
        return Request(self._caller.principal, self._action, resource, self._context, self._account)

    @property
    def _sentence(self) -> str:
        return (
            f"User: {self._caller.principal.arn} is not authorized to perform: {self._action} "
            f"on resource: {self._wanted.scope}"
        )
