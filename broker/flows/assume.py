"""A requester and a role become credentials: the one road on which role sessions are minted.

Order: what contradicts itself, the decisions (trust policy with the caller's own policies, for each action that the
request implies), the role's limits, the session policies, the mint. Nothing that depends on the role is told to
somebody whom its trust policy does not admit.
"""

from datetime import datetime, timedelta

import msgspec

from broker.arn import assumed_role
from broker.directory.model import Role, Snapshot
from broker.errors import ExpiredIdentityToken, ValidationError
from broker.flows import session_policies
from broker.flows.caller import Wire
from broker.flows.recheck import relied_on
from broker.flows.requester import Requester
from broker.flows.services import Services
from broker.flows.trust import Asked, RoleRequest
from broker.policy import PrincipalKind
from broker.sessions.model import Credentials, Grant, Session, SessionKind, merged_tags

CHAINING_LIMIT = timedelta(hours=1)


class Assumed(msgspec.Struct, frozen=True, kw_only=True):
    """A role session with its credentials. `packed_policy_size`: percent, None where nothing was passed."""

    session: Session
    credentials: Credentials
    role: Role
    packed_policy_size: int | None


async def assume(
    services: Services, snapshot: Snapshot, requester: Requester, wire: Wire, request: RoleRequest
) -> Assumed:
    """AssumeRole, and the federated ways in.

    Raises `BrokerError`s as STS answers them; then nothing was minted.
    """
    now = services.now()
    asked = Asked.of(snapshot, requester, wire, request, now)
    role, account, session_tags = asked.role, asked.account, asked.tags
    denied = asked.denied()
    if denied is not None:
        raise services.denials.denied(
            requester.refusal(denied.action, request.role_arn),
            denied,
            asked.policies,
            note=None if role is not None else "The role does not exist.",
        )
    if role is None:
        raise AssertionError("every request has an action, and a role that does not exist denies it")

    lifetime = _lifetime(request, role, requester, now)
    session_policies.require_attachable(snapshot, account, request.policy_arns)
    issued_at = int(now.timestamp())
    grant = Grant(
        kind=SessionKind.ASSUMED_ROLE,
        account=account,
        arn=assumed_role(account, role.name, request.session_name, snapshot.settings.sts.partition),
        user_id=f"{role.unique_id}:{request.session_name}",
        principal_arn=role.arn,
        principal_id=role.unique_id,
        name=request.session_name,
        issued_at=issued_at,
        expires_at=issued_at + int(lifetime.total_seconds()),
        session_policies=session_policies.documents(request.policy, request.policy_arns),
        session_policy_arns=request.policy_arns,
        tags=session_tags.all,
        transitive_tag_keys=session_tags.transitive,
        source_identity=asked.source_identity,
        origin_arn=_origin(requester),
        federated_provider=requester.federated_provider,
        federated_subject=requester.federated_subject,
        federated_groups=_groups_to_keep(requester, role),
        context=dict(requester.carried),
        source_ip=wire.source_ip,
        use=request.use,
    )
    minted = await services.sessions.mint(grant, principal_tags=merged_tags(role.tags, grant.tags))
    return Assumed(
        session=minted.session, credentials=minted.credentials, role=role, packed_policy_size=asked.packed_size
    )


def _origin(requester: Requester) -> str | None:
    """The user behind the session: whose long-term keys, or whose GetSessionToken, the chain of roles began with."""
    session = requester.session
    if session is not None and session.kind is SessionKind.ASSUMED_ROLE:
        return session.origin_arn
    return requester.principal.arn if requester.principal.kind is PrincipalKind.USER else None


def _groups_to_keep(requester: Requester, role: Role) -> tuple[str, ...]:
    """The groups without which a person would not have got the role, or the first one of a chain."""
    if requester.session is not None:
        return requester.session.federated_groups
    return relied_on(role.trust_policy, requester.groups)


def _lifetime(request: RoleRequest, role: Role, requester: Requester, now: datetime) -> timedelta:
    asked = request.duration
    if asked > role.max_session_duration:
        raise ValidationError("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    if requester.chained and asked > CHAINING_LIMIT:
        raise ValidationError(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
        )
    lifetime = min(asked, request.at_most or asked)
    if requester.session_until is None:
        return lifetime
    left = requester.session_until - now
    if left < timedelta(seconds=1):
        raise ExpiredIdentityToken
    return min(lifetime, left)
