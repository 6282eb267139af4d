"""Which roles a person or machine may have, where the request names none."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from broker.directory.model import Role, Snapshot
from broker.errors import ValidationError
from broker.flows.caller import Caller, Wire
from broker.flows.services import Services
from broker.flows.trust import NOBODY, Asked, Asker, RoleRequest, calling, vouched_for
from broker.policy import Policies, Request, RequestContext
from providers.contract import Identity


def roles_admitting(
    services: Services,
    snapshot: Snapshot,
    identity: Identity,
    provider_arn: str,
    wire: Wire,
    request: RoleRequest,
    *,
    code_verified: bool | None = None,
) -> Sequence[Role]:
    """The roles that this request would get, whatever role it names: those whose trust policies admit the identity.

    Raises what `assume_by_identity` raises before it decides.
    """
    asker = vouched_for(snapshot, identity, provider_arn, code_verified)
    return _admitting(snapshot, asker, candidates(snapshot, provider_arn), wire, request, services.now())


def roles_open_to(
    services: Services,
    snapshot: Snapshot,
    caller: Caller,
    wire: Wire,
    request: RoleRequest,
    *,
    code_verified: bool | None = None,
) -> Sequence[Role]:
    """The roles that this request of a caller would get, whatever role it names. Raises as `assume_by_caller`."""
    now = services.now()
    roles = [role for account in snapshot.accounts.values() for role in account.roles.values()]
    return _admitting(snapshot, calling(caller, now, code_verified), roles, wire, request, now)


def _admitting(
    snapshot: Snapshot, asker: Asker, roles: Sequence[Role], wire: Wire, request: RoleRequest, now: datetime
) -> Sequence[Role]:
    asked = (Asked.of(snapshot, asker, wire, replace(request, role_arn=role.arn), now) for role in roles)
    return [each.role for each in asked if each.role is not None and each.denied() is None]


def candidates(snapshot: Snapshot, provider_arn: str) -> Sequence[Role]:
    """The roles whose trust policies name the provider, by ARN."""
    roles = (role for account in snapshot.accounts.values() for role in account.roles.values())
    naming = (
        role
        for role in roles
        if any(
            entry.value == provider_arn for statement in role.trust_policy.statements for entry in statement.principals
        )
    )
    return sorted(naming, key=lambda role: role.arn)


def with_only_role(
    services: Services,
    snapshot: Snapshot,
    identity: Identity,
    provider_arn: str,
    wire: Wire,
    request: RoleRequest,
    *,
    code_verified: bool | None = None,
) -> RoleRequest:
    """The request with the one role that admits the identity.

    Raises `AccessDenied` where none does, `ValidationError` that lists them where several do, and what
    `assume_by_identity` raises before it decides.
    """
    admitting = roles_admitting(services, snapshot, identity, provider_arn, wire, request, code_verified=code_verified)
    if len(admitting) == 1:
        return replace(request, role_arn=admitting[0].arn)
    if admitting:
        arns = ", ".join(role.arn for role in admitting)
        raise ValidationError(f"RoleArn is required: {len(admitting)} roles admit this user: {arns}")
    asker = vouched_for(snapshot, identity, provider_arn, code_verified)
    asked = Request(
        asker.principal, request.action, "*", RequestContext(asker.single, asker.many), asker.principal.account
    )
    raise services.denials.denied(
        asker.refusal(request.action, "*"), asked, Policies(resource=NOBODY), note="No role admits this identity."
    )
