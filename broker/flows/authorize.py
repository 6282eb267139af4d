"""A caller, an action, a resource: may it? Identity policies, boundary, session policies and organisation together."""

from collections.abc import Mapping, Sequence

import msgspec

from broker.arn import owning_account
from broker.directory.model import Snapshot
from broker.flows.caller import Caller, Wire, caller_keys, request_keys, resource_control_policies, time_keys
from broker.flows.services import Services
from broker.policy import Decision, Policy, Request, RequestContext, decide


def authorize(
    services: Services,
    snapshot: Snapshot,
    caller: Caller,
    wire: Wire,
    action: str,
    *resources: str,
    single: Mapping[str, str] | None = None,
    many: Mapping[str, Sequence[str]] | None = None,
    trust: Policy | None = None,
    resource_account: str | None = None,
) -> None:
    """Return where the gateway's own action is allowed on each resource. `single`, `many`: its own condition keys.

    `trust`: who else must allow it, where the resources are another account's, `resource_account`.

    Raises:
        AccessDenied: with AWS's sentence and an encoded authorization message.
    """
    now = services.now()
    callers_single, callers_many = caller_keys(caller, now)
    account = resource_account or caller.principal.account
    context = RequestContext(
        {**request_keys(wire, now), **(single or {}), **callers_single}, {**(many or {}), **callers_many}
    )
    policies = caller.policies._replace(resource=trust, rcps=resource_control_policies(snapshot, account))
    for resource in resources:
        asked = Request(caller.principal, action, resource, context, account)
        if not decide(asked, policies).allowed:
            raise services.denials.denied(
                f"User: {caller.principal.arn} is not authorized to perform: {action} on resource: {resource}",
                asked,
                policies,
            )


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a resource server knows beside action and resource: condition keys, the resource's policy and its account.

    No key may be one that describes the caller or the time: those are known here.
    """

    single: Mapping[str, str] = {}
    many: Mapping[str, Sequence[str]] = {}
    resource_policy: Policy | None = None
    resource_account: str | None = None


class Judge:
    """Decides what a verified caller may do at a resource server; what many questions share is put together once."""

    __slots__ = ("_caller", "_contexts", "_known", "_snapshot", "_surroundings")

    def __init__(self, services: Services, snapshot: Snapshot, caller: Caller, surroundings: Surroundings) -> None:
        """Raises ValueError where a key of the surroundings describes the caller or the time, or is given twice."""
        now = services.now()
        single, many = caller_keys(caller, now)
        ours = {**time_keys(now), "aws:ViaAWSService": "false", **single}
        theirs = RequestContext(surroundings.single, surroundings.many)
        known = RequestContext(ours, many)
        both = sorted(name for key, name in theirs.names.items() if key in known.names)
        if both:
            raise ValueError(f"{', '.join(both)} is known from the credentials")
        self._snapshot = snapshot
        self._caller = caller
        self._surroundings = surroundings
        self._known = known
        self._contexts: dict[str, RequestContext] = {}

    def decide(self, action: str, resource: str) -> Decision:
        """One decision over all policies of the caller, of the resource and of both their accounts.

        The resource belongs to the account that was named, else to the one in its ARN, else to the caller's.
        """
        caller, around = self._caller, self._surroundings
        account = around.resource_account or owning_account(resource) or caller.principal.account
        context = self._contexts.get(account)
        if context is None:
            context = self._known.with_values({**around.single, "aws:ResourceAccount": account}, around.many)
            self._contexts[account] = context
        asked = Request(caller.principal, action, resource, context, account)
        policies = caller.policies._replace(
            resource=around.resource_policy,
            rcps=resource_control_policies(self._snapshot, account),
        )
        return decide(asked, policies)
