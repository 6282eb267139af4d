"""The principal behind a signed request, with everything that its permissions and its condition keys come from."""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from broker.clock import iso8601
from broker.directory.model import Role, Snapshot, User
from broker.flows.session_policies import compiled
from broker.policy import Policies, Policy, Principal, PrincipalKind
from broker.sessions.model import Session, SessionKind, merged_tags


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a request without believing it: where it came from and how."""

    source_ip: str
    secure: bool
    user_agent: str
    request_id: str


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """A verified principal. `session` is None for long-term keys; `policies` holds the identity's side only."""

    principal: Principal
    user_id: str
    access_key_id: str
    user: User | None
    role: Role | None
    session: Session | None
    tags: Mapping[str, str]
    policies: Policies

    @property
    def chained(self) -> bool:
        """Whether a role assumed by this caller is role chaining."""
        return self.session is not None and self.session.kind is SessionKind.ASSUMED_ROLE


def user_caller(snapshot: Snapshot, user: User, access_key_id: str, session: Session | None = None) -> Caller:
    """The user itself: by a long-term key, or by credentials of GetSessionToken."""
    return Caller(
        principal=Principal(PrincipalKind.USER, user.arn, user.account, unique_id=user.unique_id),
        user_id=user.unique_id,
        access_key_id=access_key_id,
        user=user,
        role=None,
        session=session,
        tags=user.tags,
        policies=Policies(
            identity=user.policies, boundary=user.boundary, scps=service_control_policies(snapshot, user.account)
        ),
    )


def role_caller(snapshot: Snapshot, role: Role, session: Session) -> Caller:
    """A session of a role."""
    return Caller(
        principal=Principal(
            PrincipalKind.ASSUMED_ROLE, session.arn, role.account, parent=role.arn, unique_id=role.unique_id
        ),
        user_id=session.user_id,
        access_key_id=session.access_key_id,
        user=None,
        role=role,
        session=session,
        tags=merged_tags(role.tags, session.tags),
        policies=Policies(
            identity=role.policies,
            boundary=role.boundary,
            session=_session_policies(snapshot, session),
            scps=service_control_policies(snapshot, role.account),
        ),
    )


def federated_caller(snapshot: Snapshot, user: User, session: Session) -> Caller:
    """A session of GetFederationToken: the user's permissions, narrowed to what the session policies say."""
    return Caller(
        principal=Principal(PrincipalKind.FEDERATED_USER, session.arn, user.account, parent=user.arn),
        user_id=session.user_id,
        access_key_id=session.access_key_id,
        user=user,
        role=None,
        session=session,
        tags=merged_tags(user.tags, session.tags),
        policies=Policies(
            identity=user.policies,
            boundary=user.boundary,
            session=_session_policies(snapshot, session) or (),
            scps=service_control_policies(snapshot, user.account),
        ),
    )


def root_caller(snapshot: Snapshot, session: Session) -> Caller:
    """A session of AssumeRoot: what the root user may, narrowed to its task."""
    account = session.account
    tasks = (snapshot.root_tasks.get(arn) for arn in session.session_policy_arns)
    return Caller(
        principal=Principal(PrincipalKind.ROOT, session.arn, account),
        user_id=session.user_id,
        access_key_id=session.access_key_id,
        user=None,
        role=None,
        session=session,
        tags={},
        policies=Policies(
            session=tuple(task.policy for task in tasks if task is not None),
            scps=service_control_policies(snapshot, account),
        ),
    )


def service_control_policies(snapshot: Snapshot, account: str) -> tuple[tuple[Policy, ...], ...]:
    """The levels that cap principals of `account`; the management account is never capped."""
    if account == snapshot.settings.organization.management_account:
        return ()
    found = snapshot.account(account)
    return found.scps if found is not None else ()


def resource_control_policies(snapshot: Snapshot, account: str) -> tuple[Policy, ...]:
    """The policies that cap access to resources of `account`; the management account's are never capped."""
    if account == snapshot.settings.organization.management_account:
        return ()
    found = snapshot.account(account)
    return found.rcps if found is not None else ()


def _session_policies(snapshot: Snapshot, session: Session) -> tuple[Policy, ...] | None:
    """The session's policies as they are now; a managed one that is gone since grants nothing any more."""
    if session.session_policies is None:
        return None
    managed = (snapshot.managed_policy(arn) for arn in session.session_policy_arns)
    return (
        *(compiled(text) for text in session.session_policies),
        *(found.policy for found in managed if found is not None),
    )


_PRINCIPAL_TYPES = {
    PrincipalKind.ROOT: "Account",
    PrincipalKind.USER: "User",
    PrincipalKind.ASSUMED_ROLE: "AssumedRole",
    PrincipalKind.FEDERATED_USER: "FederatedUser",
}


def request_keys(wire: Wire, now: datetime) -> dict[str, str]:
    """The global condition keys of any request."""
    return {
        "aws:SourceIp": wire.source_ip,
        "aws:SecureTransport": "true" if wire.secure else "false",
        "aws:UserAgent": wire.user_agent,
        "aws:ViaAWSService": "false",
        **time_keys(now),
    }


def time_keys(now: datetime) -> dict[str, str]:
    """The condition keys that tell the time."""
    return {"aws:CurrentTime": iso8601(now), "aws:EpochTime": str(int(now.timestamp()))}


def caller_keys(caller: Caller, now: datetime) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """The condition keys that describe a caller: single-valued, and multi-valued.

    Source: IAM User Guide, "AWS global condition context keys" and "Where you can use policy variables".
    """
    principal, session = caller.principal, caller.session
    single = {
        "aws:PrincipalArn": caller.role.arn if caller.role is not None else principal.arn,
        "aws:PrincipalAccount": principal.account,
        "aws:PrincipalType": _PRINCIPAL_TYPES[principal.kind],
        "aws:PrincipalIsAWSService": "false",
        "aws:userid": caller.user_id,
    }
    if caller.user is not None and principal.kind is PrincipalKind.USER:
        single["aws:username"] = caller.user.name
    for key, value in caller.tags.items():
        single[f"aws:PrincipalTag/{key}"] = value
    if session is None:
        return single, {}
    single["aws:TokenIssueTime"] = iso8601(datetime.fromtimestamp(session.issued_at, UTC))
    single["aws:MultiFactorAuthPresent"] = "false" if session.mfa_authenticated_at is None else "true"
    if session.mfa_authenticated_at is not None:
        single["aws:MultiFactorAuthAge"] = str(max(0, int(now.timestamp()) - session.mfa_authenticated_at))
    if session.kind is SessionKind.ROOT:
        single["aws:AssumedRoot"] = "true"
    if session.source_identity is not None:
        single["aws:SourceIdentity"] = session.source_identity
    if session.federated_provider is not None:
        single["aws:FederatedProvider"] = session.federated_provider
    many: dict[str, tuple[str, ...]] = {}
    for key, values in session.context.items():
        if len(values) == 1:
            single[key] = values[0]
        else:
            many[key] = values
    return single, many
