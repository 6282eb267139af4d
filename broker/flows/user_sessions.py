"""Sessions of users: GetSessionToken (the user itself) and GetFederationToken (the user's rights, narrowed)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from broker import arn
from broker.directory.model import Snapshot, User
from broker.errors import AccessDenied
from broker.flows import session_policies, tags
from broker.flows.authorize import authorize
from broker.flows.caller import Caller, Wire
from broker.flows.services import Services
from broker.sessions.model import Grant, Minted, SessionKind, merged_tags


@dataclass(frozen=True, slots=True)
class Federated:
    """A federated user's session. `packed_policy_size`: percent, None where nothing was passed."""

    minted: Minted
    packed_policy_size: int | None


async def session_token(
    services: Services, caller: Caller, wire: Wire, duration: timedelta, *, code_verified: bool
) -> Minted:
    """Credentials of the calling user; no policy is asked, as AWS asks none.

    `code_verified`: with this request the user used up a code of an MFA device, which the session remembers.
    """
    user = _user(caller)
    issued_at = int(services.now().timestamp())
    grant = Grant(
        kind=SessionKind.USER,
        account=user.account,
        arn=user.arn,
        user_id=user.unique_id,
        principal_arn=user.arn,
        principal_id=user.unique_id,
        name=user.name,
        issued_at=issued_at,
        expires_at=issued_at + int(duration.total_seconds()),
        mfa_authenticated_at=issued_at if code_verified else None,
        source_ip=wire.source_ip,
    )
    return await services.sessions.mint(grant, principal_tags=user.tags)


async def federation_token(
    services: Services,
    snapshot: Snapshot,
    caller: Caller,
    wire: Wire,
    *,
    name: str,
    duration: timedelta,
    policy: str | None,
    policy_arns: tuple[str, ...],
    requested_tags: Sequence[tuple[str, str]],
) -> Federated:
    """Credentials of a federated user. Without session policies it may nothing but what resources grant it by name.

    Raises:
        AccessDenied, MalformedPolicyDocument, PackedPolicyTooLarge, InvalidParameterValue, ValidationError.
    """
    user = _user(caller)
    session_policies.check(snapshot, policy, policy_arns)
    session_tags = dict(tags.combine(requested_tags, (), None).requested)
    packed_size = session_policies.packed_size(policy, policy_arns, session_tags)
    subject = arn.federated_user(user.account, name, snapshot.settings.sts.partition)

    single = {f"aws:RequestTag/{key}": value for key, value in session_tags.items()}
    many = {"aws:TagKeys": tuple(session_tags)} if session_tags else None
    for action in ("sts:GetFederationToken", *(["sts:TagSession"] if session_tags else [])):
        authorize(services, snapshot, caller, wire, action, subject, single=single, many=many)

    session_policies.require_attachable(snapshot, user.account, policy_arns)
    issued_at = int(services.now().timestamp())
    grant = Grant(
        kind=SessionKind.FEDERATED_USER,
        account=user.account,
        arn=subject,
        user_id=f"{user.account}:{name}",
        principal_arn=user.arn,
        principal_id=user.unique_id,
        name=name,
        issued_at=issued_at,
        expires_at=issued_at + int(duration.total_seconds()),
        session_policies=session_policies.documents(policy, policy_arns) or (),
        session_policy_arns=policy_arns,
        tags=session_tags,
        source_ip=wire.source_ip,
    )
    minted = await services.sessions.mint(grant, principal_tags=merged_tags(user.tags, session_tags))
    return Federated(minted, packed_size)


def _user(caller: Caller) -> User:
    if caller.user is None or caller.session is not None:
        raise AccessDenied("Only the long-term access keys of a user may call this.")
    return caller.user
