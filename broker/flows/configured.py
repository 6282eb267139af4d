"""Simulations of what is configured: the policies that users, groups and roles have, and what is known of roles."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from broker.arn import Arn
from broker.directory.model import Account, Group, ManagedPolicy, Role, Snapshot, User
from broker.errors import InvalidInput, NoSuchEntity
from broker.flows import simulate
from broker.flows.caller import caller_keys, resource_control_policies, service_control_policies, user_caller
from broker.flows.named_principal import UNKNOWN, named_principal
from broker.flows.root_sessions import ASSUME_ROOT, root_trust
from broker.flows.simulate import AtResource, Given, Simulation
from broker.policy import Kind, Policies, Policy, Principal, PrincipalKind

Attachment = Literal["user", "group", "role"]

_ASSUMING = ("sts:assumerole", "sts:tagsession", "sts:setsourceidentity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """An identity policy and what it is attached to. `managed` is None for an inline one."""

    policy: Policy
    name: str
    kind: Attachment
    to: str
    managed: ManagedPolicy | None = None

    @property
    def source_id(self) -> str:
        """What AWS's simulator calls it."""
        return self.name if self.managed is not None else f"{self.kind}_{self.to}_{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusions:
    """Policies that a simulation leaves out: by type, by ARN, or inline ones by name, attachment and its name."""

    types: frozenset[str] = frozenset()
    arns: frozenset[str] = frozenset()
    inline: frozenset[tuple[str, str, str]] = frozenset()

    def names(self, attached: Attached) -> bool:
        """Whether it is left out."""
        managed = attached.managed
        if managed is None:
            return "inline" in self.types or (attached.name, attached.kind, attached.to) in self.inline
        return ("aws-managed" if managed.aws_managed else "user-managed") in self.types or managed.arn in self.arns


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Whose permissions are simulated: the caller, its policies, and the condition keys that describe it."""

    principal: Principal
    attached: tuple[Attached, ...] = ()
    boundary: Policy | None = None
    boundary_arn: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict)


def source(snapshot: Snapshot, arn: str, now: datetime, *, place: str) -> Source:
    """What is configured for a user, group, role or session of one, account root or identity provider.

    Of a federated user nothing is configured: it may what resources grant it.

    Raises:
        InvalidInput: it is the ARN of something else, at `place`.
        NoSuchEntity: nothing of that ARN is configured.
    """
    principal = named_principal(arn, place=place)
    account = snapshot.account(principal.account)
    parsed = Arn.parse(arn)
    missing = NoSuchEntity(f"The {parsed.resource_type or 'account'} with name {parsed.name} cannot be found.")
    if account is None:
        raise NoSuchEntity(f"The account {principal.account} cannot be found.")
    match principal.kind:
        case PrincipalKind.ROOT:
            return Source(principal=principal, keys=_keys(principal, arn, "Account", principal.account))
        case PrincipalKind.FEDERATED_USER:
            user_id = f"{principal.account}:{parsed.name}"
            return Source(principal=principal, keys=_keys(principal, arn, "FederatedUser", user_id))
        case PrincipalKind.ASSUMED_ROLE:
            role = account.roles.get(Arn.parse(principal.parent or arn).name)
            if role is None or (parsed.service == "iam" and role.arn != arn):
                raise missing
            return _of_role(role, principal)
        case PrincipalKind.PROVIDER:
            if not _is_provider(snapshot, arn):
                raise missing
            return Source(principal=principal, keys={"aws:FederatedProvider": arn})
    user, group = snapshot.user(arn), account.groups.get(parsed.name)
    if user is not None:
        return _of_user(snapshot, account, user, now)
    if group is None or group.arn != arn:
        raise missing
    return Source(principal=principal, attached=tuple(_attached("group", group)))


def simulation(
    snapshot: Snapshot, entity: Source, given: Given, exclusions: Exclusions, accounts: Collection[str]
) -> Simulation:
    """A simulation of what is configured. Trust policies, tags and caps are known of resources in `accounts`.

    Another caller may stand in for the entity, as AWS has it: it calls, with the entity's policies. Condition keys
    that describe the entity are known, unless an entry gives them. A federated session without session policies may
    nothing but what resources grant it.
    Raises `InvalidInput`.
    """
    simulate.check_question(given)
    principal, keys = entity.principal, entity.keys
    if given.caller_arn is not None:
        principal, keys = _standing_in(entity, named_principal(given.caller_arn))
    elif given.resource_policy is not None and Arn.parse(principal.arn).resource_type == "group":
        raise InvalidInput("CallerArn is required with ResourcePolicy where PolicySourceArn is a group's.")
    kept = [each for each in entity.attached if not exclusions.names(each)]
    bounded = entity.boundary
    if "permission-boundary" in exclusions.types or entity.boundary_arn in exclusions.arns:
        bounded = None
    context = simulate.context_of(given.context)
    return Simulation(
        principal=principal,
        policies=Policies(
            identity=(
                *(each.policy for each in kept),
                *simulate.documents("PolicyInputList", given.policies, Kind.IDENTITY),
            ),
            boundary=simulate.boundary(given) or bounded,
            session=() if principal.kind is PrincipalKind.FEDERATED_USER else None,
            scps=() if "scp" in exclusions.types else service_control_policies(snapshot, entity.principal.account),
            resource=simulate.resource_policy(given),
        ),
        context=context.with_values({key: value for key, value in keys.items() if key not in context}),
        owner=simulate.owner(given) or principal.account,
        at=_known(snapshot, accounts, rcps="rcp" not in exclusions.types),
        source_ids={each.policy.name: each.source_id for each in kept},
    )


def _standing_in(entity: Source, named: Principal) -> tuple[Principal, Mapping[str, str]]:
    """The caller that is named instead of the entity, and what is known of it."""
    own = entity.principal
    if named.arn == own.arn:
        return own, entity.keys
    if named.kind is PrincipalKind.ASSUMED_ROLE and named.arn.rpartition("/")[0] == own.arn.rpartition("/")[0]:
        user_id = f"{own.unique_id}:{Arn.parse(named.arn).name}"
        return own._replace(arn=named.arn), {**entity.keys, "aws:userid": user_id}
    if named.kind is PrincipalKind.FEDERATED_USER:
        return named._replace(parent=own.arn), {}
    return named, {}


def decided_by_trust(action: str) -> bool:
    """Whether a role's trust policy decides about the action."""
    return action.lower().startswith(_ASSUMING)


def _known(snapshot: Snapshot, accounts: Collection[str], *, rcps: bool) -> Callable[[str, str, str], AtResource]:
    def at(action: str, resource: str, account: str) -> AtResource:
        if account not in accounts:
            return AtResource()
        caps = resource_control_policies(snapshot, account) if rcps else ()
        if action.lower() == ASSUME_ROOT.lower():
            return AtResource(policy=root_trust(snapshot, resource), rcps=caps)
        role = snapshot.role(resource)
        if role is None or not decided_by_trust(action):
            return AtResource(rcps=caps)
        tags = {f"{vendor}:ResourceTag/{key}": value for key, value in role.tags.items() for vendor in ("aws", "iam")}
        return AtResource(policy=role.trust_policy, rcps=caps, keys=tags)

    return at


def _of_user(snapshot: Snapshot, account: Account, user: User, now: datetime) -> Source:
    attached = list(_attached("user", user))
    for name in user.groups:
        attached += _attached("group", account.groups[name])
    caller = user_caller(snapshot, user, "")
    single, _ = caller_keys(caller, now)
    return Source(
        principal=caller.principal,
        attached=tuple({each.policy.name: each for each in attached}.values()),
        boundary=user.boundary,
        boundary_arn=user.boundary_arn,
        keys=single,
    )


def _of_role(role: Role, principal: Principal) -> Source:
    name = Arn.parse(principal.arn).name
    keys = _keys(principal, role.arn, "AssumedRole", f"{role.unique_id}:{name}")
    if name == UNKNOWN:
        del keys["aws:userid"]
    keys.update((f"aws:PrincipalTag/{key}", value) for key, value in role.tags.items())
    return Source(
        principal=principal._replace(parent=role.arn, unique_id=role.unique_id),
        attached=tuple(_attached("role", role)),
        boundary=role.boundary,
        boundary_arn=role.boundary_arn,
        keys=keys,
    )


def _keys(principal: Principal, arn: str, kind: str, user_id: str) -> dict[str, str]:
    return {
        "aws:PrincipalArn": arn,
        "aws:PrincipalAccount": principal.account,
        "aws:PrincipalType": kind,
        "aws:PrincipalIsAWSService": "false",
        "aws:userid": user_id,
    }


def _attached(kind: Attachment, entity: User | Group | Role) -> Iterator[Attached]:
    for name, policy in entity.inline_policies.items():
        yield Attached(policy=policy, name=name, kind=kind, to=entity.name)
    for managed in entity.attached_policies:
        yield Attached(policy=managed.policy, name=managed.name, kind=kind, to=entity.name, managed=managed)


def _is_provider(snapshot: Snapshot, arn: str) -> bool:
    lookups = (snapshot.oidc_provider, snapshot.saml_provider, snapshot.ldap_provider, snapshot.certificate_provider)
    return any(lookup(arn) is not None for lookup in lookups)
