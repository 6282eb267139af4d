"""The policy simulator: who asks for what, under which policies, and what the gateway would decide.

Nothing is verified and nothing is done: a simulation is a question about documents (IAM API reference,
SimulateCustomPolicy). Callers are those that the engine knows, sessions and identity providers included, and the
resource policy may be a role's trust policy.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from broker.arn import Arn, account_root, is_account_id, owning_account
from broker.errors import InvalidInput
from broker.flows.named_principal import UNKNOWN, named_principal, read_arn
from broker.policy import (
    Decision,
    Kind,
    Policies,
    Policy,
    PolicyError,
    Principal,
    PrincipalKind,
    Request,
    RequestContext,
    decide,
    parse,
)
from broker.policy.values import read_address, read_binary, read_bool, read_date, read_number

POLICY_TYPE: Final = "IAM Policy"
"""What AWS prints as the type of a policy that was passed as text."""

_T = TypeVar("_T")

_ACTION = re.compile(r"[A-Za-z0-9-]+:[A-Za-z0-9_.-]+")
_VALUES: Final[Mapping[str, Callable[[str], object]]] = {
    "string": str,
    "numeric": read_number,
    "boolean": read_bool,
    "ip": read_address,
    "binary": read_binary,
    "date": read_date,
}
CONTEXT_TYPES: Final = tuple(name + suffix for name in _VALUES for suffix in ("", "List"))
"""The types of context entries: one value, or a list."""

_INSTANCE = frozenset({"instance", "image", "security-group"})
SCENARIOS: Final[Mapping[str, frozenset[str]]] = {
    "EC2-Classic-InstanceStore": _INSTANCE,
    "EC2-Classic-EBS": _INSTANCE | {"volume"},
    "EC2-VPC-InstanceStore": _INSTANCE | {"network-interface"},
    "EC2-VPC-InstanceStore-Subnet": _INSTANCE | {"network-interface", "subnet"},
    "EC2-VPC-EBS": _INSTANCE | {"network-interface", "volume"},
    "EC2-VPC-EBS-Subnet": _INSTANCE | {"network-interface", "volume", "subnet"},
}
"""`ResourceHandlingOption`: the kinds of EC2 resources that must be among those simulated."""


@dataclass(frozen=True, slots=True)
class ContextEntry:
    """A condition key with its values; `type` is one of `CONTEXT_TYPES`."""

    name: str
    values: tuple[str, ...]
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a simulation is told, as text. The fields are named after the API's parameters.

    `session`: None where no session policy was passed, which is not the same as an empty list.
    """

    actions: tuple[str, ...]
    resources: tuple[str, ...] = ("*",)
    policies: tuple[str, ...] = ()
    boundaries: tuple[str, ...] = ()
    resource_policy: str | None = None
    resource_owner: str | None = None
    caller_arn: str | None = None
    context: tuple[ContextEntry, ...] = ()
    scenario: str | None = None
    scps: tuple[tuple[str, ...], ...] = ()
    session: tuple[str, ...] | None = None
    rcps: tuple[str, ...] = ()
    federated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AtResource:
    """What a directory knows of a resource: its own policy, those that cap access to it, and its condition keys."""

    policy: Policy | None = None
    rcps: tuple[Policy, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """A caller, its policies and its context, ready to be asked about actions and resources.

    `owner`: the account of resources whose ARN names none. `one_account`: all resources count as the caller's own.
    `at`: what else is known, by action, resource and the resource's account; a policy given for all resources stays.
    `source_ids`: what a policy is called in results, where that is not its name.
    """

    principal: Principal
    policies: Policies
    context: RequestContext
    owner: str
    one_account: bool = False
    at: Callable[[str, str, str], AtResource] | None = None
    source_ids: Mapping[str, str] = field(default_factory=dict)

    def question(self, action: str, resource: str) -> tuple[Request, Policies]:
        """What the engine is asked."""
        account = self.owner if self.one_account else owning_account(resource) or self.owner
        policies, context = self.policies, self.context
        if self.at is not None:
            found = self.at(action, resource, account)
            policies = policies._replace(resource=policies.resource or found.policy, rcps=(*policies.rcps, *found.rcps))
            context = context.with_values({key: text for key, text in found.keys.items() if key not in context})
        return Request(self.principal, action, resource, context, account), policies

    def decide(self, action: str, resource: str) -> Decision:
        """What the gateway would decide."""
        return decide(*self.question(action, resource))


def custom(given: Given, account: str) -> Simulation:
    """A simulation of nothing but what is given. `account` is that of a caller who is not named.

    Raises:
        InvalidInput: with the parameter and, in a document, the place.
    """
    check_question(given)
    if given.resource_policy is not None and given.caller_arn is None:
        raise InvalidInput("CallerArn is required with ResourcePolicy: its Principal element needs somebody to match.")
    if given.caller_arn is None:
        kind = PrincipalKind.FEDERATED_USER if given.federated else PrincipalKind.USER
        principal = Principal(
            kind, f"arn:aws:iam::{account}:user/{UNKNOWN}", account, UNKNOWN if given.federated else None
        )
    else:
        principal = named_principal(given.caller_arn, federated=given.federated)
    session = documents("SessionPolicyInputList", given.session, Kind.SESSION) if given.session is not None else None
    if session is None and principal.kind is PrincipalKind.FEDERATED_USER:
        session = ()
    return Simulation(
        principal=principal,
        policies=Policies(
            identity=documents("PolicyInputList", given.policies, Kind.IDENTITY),
            boundary=boundary(given),
            session=session,
            scps=_levels(given.scps),
            resource=resource_policy(given),
            rcps=documents("ResourceControlPolicyInputList", given.rcps, Kind.RCP),
        ),
        context=context_of(given.context),
        owner=owner(given) or principal.account,
        one_account=given.caller_arn is None,
    )


def check_question(given: Given) -> None:
    """Refuse actions and resources that are none, and a scenario that lacks a resource. Raises `InvalidInput`."""
    for place, action in _numbered("ActionNames", given.actions):
        if "*" in action or "?" in action:
            raise InvalidInput(f"{place}: {action!r} has a wildcard; a simulation asks about one action at a time.")
        if _ACTION.fullmatch(action) is None:
            raise InvalidInput(f"{place}: {action!r} is no action; write service:Name.")
    for place, resource in _numbered("ResourceArns", given.resources):
        if resource != "*":
            read_arn(place, resource)
    if given.scenario is None:
        return
    needed = SCENARIOS.get(given.scenario)
    if needed is None:
        raise InvalidInput(f"ResourceHandlingOption: {given.scenario!r} is none of {', '.join(SCENARIOS)}.")
    ec2 = (Arn.parse(resource) for resource in given.resources if resource != "*")
    lacking = needed - {arn.resource_type for arn in ec2 if arn.service == "ec2"}
    if lacking:
        kinds = ", ".join(sorted(lacking))
        raise InvalidInput(f"ResourceArns: {given.scenario} needs resources of these kinds, too: {kinds}.")


def context_of(entries: Sequence[ContextEntry]) -> RequestContext:
    """The condition keys of context entries. Raises `InvalidInput` for a value that is not of its type."""
    single: dict[str, str] = {}
    many: dict[str, tuple[str, ...]] = {}
    seen: set[str] = set()
    for place, entry in _numbered("ContextEntries", entries):
        listed = entry.type.endswith("List")
        if entry.name.lower() in seen:
            raise InvalidInput(f"{place}: the condition key {entry.name} is given twice; keys compare without case.")
        seen.add(entry.name.lower())
        read = _VALUES[entry.type.removesuffix("List")]
        for position, value in enumerate(entry.values, 1):
            try:
                read(value)
            except ValueError as error:
                raise InvalidInput(f"{place}.ContextKeyValues.{position} ({entry.name}): {error}.") from error
        if listed:
            many[entry.name] = entry.values
        elif len(entry.values) == 1:
            single[entry.name] = entry.values[0]
        else:
            raise InvalidInput(
                f"{place}: the type {entry.type} takes one value and {entry.name} has {len(entry.values)}; "
                f"use {entry.type}List for several or none."
            )
    return RequestContext(single, many)


def documents(place: str, texts: Sequence[str], kind: Kind) -> tuple[Policy, ...]:
    """The policies of a list parameter, called by it and their number. Raises `InvalidInput`."""
    return tuple(document(here, text, kind) for here, text in _numbered(place, texts))


def document(place: str, text: str, kind: Kind) -> Policy:
    """One policy, called by its parameter. Raises `InvalidInput` with every fault and its place."""
    try:
        return parse(text, kind, name=place, source_type=POLICY_TYPE)
    except PolicyError as error:
        raise _malformed(place, error) from error


def boundary(given: Given) -> Policy | None:
    """The permissions boundary among the inputs. Raises `InvalidInput` for a second one."""
    if len(given.boundaries) > 1:
        raise InvalidInput("PermissionsBoundaryPolicyInputList: a user or role has one permissions boundary at most.")
    found = documents("PermissionsBoundaryPolicyInputList", given.boundaries, Kind.BOUNDARY)
    return found[0] if found else None


def resource_policy(given: Given) -> Policy | None:
    """The resource policy among the inputs: a trust policy where every action is one of STS and it is valid as one.

    Raises:
        InvalidInput: it is neither.
    """
    text = given.resource_policy
    if text is None:
        return None
    if not all(action.lower().startswith("sts:") for action in given.actions):
        return document("ResourcePolicy", text, Kind.RESOURCE)
    try:
        return parse(text, Kind.TRUST, name="ResourcePolicy")
    except PolicyError as as_trust:
        try:
            return parse(text, Kind.RESOURCE, name="ResourcePolicy")
        except PolicyError as as_resource:
            nearer = min(as_trust, as_resource, key=lambda error: len(error.faults))
            raise _malformed("ResourcePolicy", nearer) from nearer


def owner(given: Given) -> str | None:
    """The account that `ResourceOwner` names. Raises `InvalidInput`."""
    text = given.resource_owner
    if text is None:
        return None
    arn = read_arn("ResourceOwner", text)
    if not is_account_id(arn.account) or text != account_root(arn.account, arn.partition):
        raise InvalidInput(f"ResourceOwner: {text!r} is not an account's ARN, such as {account_root('1' * 12)}.")
    return arn.account


def _levels(levels: Sequence[Sequence[str]]) -> tuple[tuple[Policy, ...], ...]:
    found = []
    for place, level in _numbered("OrderedOrganizationPolicyInputList", levels):
        if not level:
            raise InvalidInput(f"{place}: a level of an organisation has at least one service control policy.")
        found.append(documents(f"{place}.ServiceControlPolicyInputList", level, Kind.SCP))
    return tuple(found)


def _numbered(place: str, items: Sequence[_T]) -> Iterator[tuple[str, _T]]:
    return ((f"{place}.{number}", item) for number, item in enumerate(items, 1))


def _malformed(place: str, error: PolicyError) -> InvalidInput:
    return InvalidInput("; ".join(f"{place}: {fault}" for fault in error.faults[:20]))
