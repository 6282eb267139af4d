"""A caller, an action, a resource: may it? Identity policies, boundary, session policies and organisation together."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from broker.directory.model import Snapshot
from broker.flows.caller import Caller, Wire, caller_keys, request_keys, resource_control_policies
from broker.flows.services import Services
from broker.policy import Request, RequestContext, decide


def authorize(
    services: Services,
    snapshot: Snapshot,
    caller: Caller,
    wire: Wire,
    action: str,
    resource: str,
    *,
    single: Mapping[str, str] | None = None,
    many: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Return where the gateway's own action is allowed. `single` and `many` are condition keys of the action itself.

    Raises:
        AccessDenied: with AWS's sentence and an encoded authorization message.
    """
    now = services.now()
    callers_single, callers_many = caller_keys(caller, now)
    account = caller.principal.account
    context = RequestContext(
        {**request_keys(wire, now), **(single or {}), **callers_single}, {**(many or {}), **callers_many}
    )
    asked = Request(caller.principal, action, resource, context, account)
    policies = replace(caller.policies, rcps=resource_control_policies(snapshot, account))
    if not decide(asked, policies).allowed:
        raise services.denials.denied(
            f"User: {caller.principal.arn} is not authorized to perform: {action} on resource: {resource}",
            asked,
            policies,
        )
