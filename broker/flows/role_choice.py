"""Which roles a person or machine may have, where the request names none."""

from collections.abc import Sequence

from msgspec.structs import replace

from broker.directory.model import Role, Snapshot
from broker.errors import ValidationError
from broker.flows.caller import Wire
from broker.flows.requester import Requester
from broker.flows.services import Services
from broker.flows.trust import NOBODY, Asked, RoleRequest
from broker.policy import Policies, PrincipalKind, Request, RequestContext


def roles_admitting(
    services: Services, snapshot: Snapshot, requester: Requester, wire: Wire, request: RoleRequest
) -> Sequence[Role]:
    """The roles that this request would get, whatever role it names. Raises what `assume` raises before it decides."""
    now = services.now()
    asked = (
        Asked.of(snapshot, requester, wire, replace(request, role_arn=role.arn), now)
        for role in _candidates(snapshot, requester)
    )
    return [each.role for each in asked if each.role is not None and each.denied() is None]


def _candidates(snapshot: Snapshot, requester: Requester) -> Sequence[Role]:
    """All roles; of somebody for whom a provider vouches, those whose trust policies name the provider, by ARN."""
    roles = [role for account in snapshot.accounts.values() for role in account.roles.values()]
    if requester.principal.kind is not PrincipalKind.PROVIDER:
        return roles
    naming = (
        role
        for role in roles
        if any(
            entry.value == requester.principal.arn
            for statement in role.trust_policy.statements
            for entry in statement.principals
        )
    )
    return sorted(naming, key=lambda role: role.arn)


def with_only_role(
    services: Services, snapshot: Snapshot, requester: Requester, wire: Wire, request: RoleRequest
) -> RoleRequest:
    """The request with the one role that admits the requester.

    Raises `AccessDenied` where none does, `ValidationError` that lists them where several do, and what `assume` raises
    before it decides.
    """
    admitting = roles_admitting(services, snapshot, requester, wire, request)
    if len(admitting) == 1:
        return replace(request, role_arn=admitting[0].arn)
    if admitting:
        arns = ", ".join(role.arn for role in admitting)
        raise ValidationError(f"RoleArn is required: {len(admitting)} roles admit this user: {arns}")
    asked = Request(
        requester.principal,
        request.action,
        "*",
        RequestContext(requester.single, requester.many),
        requester.principal.account,
    )
    raise services.denials.denied(
        requester.refusal(request.action, "*"), asked, Policies(resource=NOBODY), note="No role admits this identity."
    )
