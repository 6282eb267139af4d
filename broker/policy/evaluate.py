"""The decision (IAM User Guide, "Policy evaluation logic").

An explicit Deny anywhere decides. Else the caller's account must allow, the resource's account must allow, and
within one account a resource policy that names the caller itself stands for both. Nothing depends on the order
of statements or policies.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import NamedTuple

from broker.arn import is_account_id
from broker.policy.context import RequestContext, fold
from broker.policy.model import Effect, Kind, Matched, Policy, Statement
from broker.policy.principals import Match, Principal, PrincipalKind, not_principal_match, principal_match


class Request(NamedTuple):
    """What is asked: may `principal` do `action` (`service:Name`) on `resource` (an ARN; `*` for none)?

    `resource_account` owns the resource; by default the account in its ARN, else the principal's.
    """

    principal: Principal
    action: str
    resource: str
    context: RequestContext
    resource_account: str | None = None


class Policies(NamedTuple):
    """All policies that bear on a request.

    `identity`: of the user and its groups, or of the role. `session`: None where none was passed; else their union
    limits, so an empty one allows nothing (GetFederationToken without a policy). `scps`: those of the caller's account
    by level, root first; each level must allow; empty without an organisation. `resource`: of kind RESOURCE, or the
    TRUST policy of a role to be assumed. `rcps`: those of the resource's account, beside the implied RCPFullAWSAccess.
    """

    identity: Sequence[Policy] = ()
    boundary: Policy | None = None
    session: Sequence[Policy] | None = None
    scps: Sequence[Sequence[Policy]] = ()
    resource: Policy | None = None
    rcps: Sequence[Policy] = ()

    @property
    def resource_kind(self) -> Kind:
        """Whether the resource policy is a role's trust policy or another resource's."""
        return Kind.TRUST if self.resource is not None and self.resource.kind is Kind.TRUST else Kind.RESOURCE


class Verdict(StrEnum):
    """The three outcomes, as AWS's simulator spells them."""

    ALLOWED = "allowed"
    EXPLICIT_DENY = "explicitDeny"
    IMPLICIT_DENY = "implicitDeny"


class Gates(NamedTuple):
    """Which layers have an Allow that matches; None where a layer does not apply or is not set.

    `scps` has one flag a level. `resource` is the strongest match of the resource policy's Allows.
    """

    identity: bool | None
    boundary: bool | None
    session: bool | None
    scps: tuple[bool, ...]
    resource: Match | None
    cross_account: bool

    @property
    def organization(self) -> bool | None:
        """Whether every level of service control policies allows; None without an organisation."""
        return all(self.scps) if self.scps else None


class Decision(NamedTuple):
    """A verdict and what made it.

    `matched`: the Deny statements of an explicit deny; else the Allow statements that matched, whether they sufficed
    or not. `lacking`: for an implicit deny the kinds of policies that had to allow and did not, the first is the one
    AWS would name.
    """

    verdict: Verdict
    matched: tuple[Matched, ...]
    gates: Gates
    lacking: tuple[Kind, ...]
    request: Request
    policies: Policies

    @property
    def allowed(self) -> bool:
        """Whether the request may go ahead."""
        return self.verdict is Verdict.ALLOWED

    @property
    def denied_by(self) -> Kind | None:
        """The kind of policy that holds the first explicit Deny, in AWS's order of evaluation."""
        return self.matched[0].kind if self.verdict is Verdict.EXPLICIT_DENY else None

    @property
    def missing_context(self) -> tuple[str, ...]:
        """Condition keys that statements about this action, principal and resource name and the request lacks.

        Sorted; as the documents write them.
        """
        scene = Scene(self.request, self.policies)
        missing: dict[str, str] = {}
        for kind, policy in scene.applicable():
            for statement in policy.statements_for(scene.action):
                if scene.principal_match(statement, kind) is not Match.NONE:
                    for name in _names(statement, self.request):
                        if name not in self.request.context:
                            key = fold(name)
                            missing[key] = min(name, missing.get(key, name))
        return tuple(missing[key] for key in sorted(missing))


def _names(statement: Statement, request: Request) -> Iterator[str]:
    """The keys that are looked up: those of conditions only where the resource is the statement's."""
    for variable in statement.resource_variables:
        yield variable.name
    if statement.resource_matches(request.resource, request.context):
        for condition in statement.conditions:
            yield condition.key
            for variable in condition.variables:
                yield variable.name


# Bound once: looking up an enumeration's member costs as much as a test of a statement.
_ALLOW, _DENY = Effect.ALLOW, Effect.DENY
_NONE, _ACCOUNT, _PARENT, _EVERYONE, _DIRECT = Match
_TRUST, _RESOURCE = Kind.TRUST, Kind.RESOURCE
_ROOT, _FEDERATED_USER, _ANONYMOUS = PrincipalKind.ROOT, PrincipalKind.FEDERATED_USER, PrincipalKind.ANONYMOUS
_PROVIDER, _SERVICE = PrincipalKind.PROVIDER, PrincipalKind.SERVICE
_RCP, _SCP, _IDENTITY, _BOUNDARY, _SESSION = Kind.RCP, Kind.SCP, Kind.IDENTITY, Kind.BOUNDARY, Kind.SESSION


class Scene:
    """A request among its policies: which of them apply, and how a statement's principal matches."""

    __slots__ = ("action", "bounded", "own_side", "policies", "principal", "request", "root")

    def __init__(self, request: Request, policies: Policies) -> None:
        self.request = request
        self.policies = policies
        self.action = fold(request.action)
        self.principal = request.principal
        kind = request.principal.kind
        self.own_side = not (kind is _PROVIDER or kind is _SERVICE or kind is _ANONYMOUS)
        self.root = kind is _ROOT
        self.bounded = policies.boundary is not None and self.own_side and not self.root

    def applicable(self) -> Iterator[tuple[Kind, Policy]]:
        """The policies that bear on this caller and what they act as, in AWS's order of evaluation.

        A provider, a service or nobody has no side of its own. Identity policies and boundaries do not reach the root.
        """
        policies = self.policies
        yield from ((_RCP, policy) for policy in policies.rcps)
        if self.own_side:
            yield from ((_SCP, policy) for level in policies.scps for policy in level)
        if policies.resource is not None:
            yield policies.resource_kind, policies.resource
        if self.own_side and not self.root:
            yield from ((_IDENTITY, policy) for policy in policies.identity)
            if policies.boundary is not None:
                yield _BOUNDARY, policies.boundary
        if self.own_side:
            yield from ((_SESSION, policy) for policy in policies.session or ())

    def principal_match(self, statement: Statement, kind: Kind) -> Match:
        """How the statement's principal element matches; DIRECT where the kind has none."""
        if kind is not _RESOURCE and kind is not _TRUST:
            return _DIRECT
        if statement.not_principal:
            deny = statement.effect is _DENY
            return not_principal_match(statement.principals, self.principal, deny=deny, bounded=self.bounded)
        return principal_match(statement.principals, self.principal, trust=kind is _TRUST)

    @property
    def cross_account(self) -> bool:
        """Whether caller and resource are in different accounts."""
        account = self.request.resource_account
        if account is None:
            parts = self.request.resource.split(":", 5)
            if len(parts) != 6 or not parts[4] or parts[4] == self.principal.account:
                return False
            return is_account_id(parts[4])
        return account != self.principal.account


def _matching(policy: Policy, action: str, request: Request) -> list[Statement]:
    """The statements whose action, resource and conditions match."""
    matching = []
    resource, context = request.resource, request.context
    for statement in policy.statements_for(action):
        if not resource.startswith(statement.prefixes):
            continue
        for test in statement.tests:
            if not test(context):
                break
        else:
            resource_test = statement.resource_test
            if resource_test is None or resource_test(resource, context):
                matching.append(statement)
    return matching


def decide(request: Request, policies: Policies) -> Decision:
    """Decide; a "no" is a value. Pure, and the same for every order of statements and policies.

    A policy without principals may stand in any layer that has none, whatever kind it was parsed as: a managed policy
    can be a boundary.

    Raises:
        ValueError: a policy stands in a layer whose grammar is another one, which is the caller's mistake.
    """
    scene = Scene(request, policies)
    denies: list[Matched] = []
    allows: list[Matched] = []
    action = scene.action

    def collect(kind: Kind, layer: Iterable[Policy]) -> bool:
        allowed = False
        for policy in layer:
            if policy.kind is not kind and (kind is _RCP or policy.kind.names_principals):
                raise ValueError(f"{policy!r} cannot act as {kind.value}")
            for statement in _matching(policy, action, request):
                matched = statement.matched if policy.kind is kind else replace(statement.matched, kind=kind)
                if statement.effect is _ALLOW:
                    allowed = True
                    allows.append(matched)
                else:
                    denies.append(matched)
        return allowed

    if policies.rcps:
        collect(_RCP, policies.rcps)
    scps: tuple[bool, ...] = ()
    identity = boundary = session = None
    resource = None
    if scene.own_side and policies.scps:
        scps = tuple([collect(_SCP, level) for level in policies.scps])
    if policies.resource is not None:
        resource = _resource_side(scene, policies.resource, allows, denies)
    if scene.own_side:
        if not scene.root:
            identity = collect(_IDENTITY, policies.identity)
            if policies.boundary is not None:
                boundary = collect(_BOUNDARY, (policies.boundary,))
        if policies.session is not None:
            session = collect(_SESSION, policies.session)
    gates = Gates(identity, boundary, session, scps, resource, scene.cross_account)
    if denies:
        return Decision(Verdict.EXPLICIT_DENY, tuple(denies), gates, (), request, policies)
    lacking = _lacking(scene, gates)
    verdict = Verdict.IMPLICIT_DENY if lacking else Verdict.ALLOWED
    return Decision(verdict, tuple(allows), gates, lacking, request, policies)


def _resource_side(scene: Scene, policy: Policy, allows: list[Matched], denies: list[Matched]) -> Match:
    kind = policy.kind
    if kind is not _RESOURCE and kind is not _TRUST:
        raise ValueError(f"{policy!r} cannot be a resource policy")
    strongest = _NONE
    for statement in _matching(policy, scene.action, scene.request):
        found = scene.principal_match(statement, kind)
        if found is _NONE:
            continue
        if statement.effect is _ALLOW:
            allows.append(statement.matched)
            strongest = max(strongest, found)
        else:
            denies.append(statement.matched)
    return strongest


def _lacking(scene: Scene, gates: Gates) -> tuple[Kind, ...]:
    """The layers that had to allow and did not, where no statement denies."""
    policies = scene.policies
    match = gates.resource or _NONE
    resource_kind = policies.resource_kind
    trust = resource_kind is _TRUST
    if not scene.own_side:
        # A session needs someone to answer for it: not nobody, and only a provider that the role's account set up.
        foreign = scene.principal.kind is _PROVIDER and scene.principal.account != "" and gates.cross_account
        unfit = trust and (foreign or scene.principal.kind is _ANONYMOUS)
        return (resource_kind,) if unfit or match is _NONE else ()
    lacking: list[Kind] = []
    if not all(gates.scps):
        lacking.append(_SCP)
    if match is _NONE and (trust or gates.cross_account):
        lacking.append(resource_kind)
    if gates.cross_account and match is not _NONE:
        match = _ACCOUNT
    if match >= _EVERYONE:
        return tuple(lacking)
    if match is not _PARENT and not _identity_allows(scene, gates):
        lacking.append(_IDENTITY)
    if gates.boundary is False:
        lacking.append(_BOUNDARY)
    if gates.session is False:
        lacking.append(_SESSION)
    return tuple(lacking)


def _identity_allows(scene: Scene, gates: Gates) -> bool:
    """The root, and a federated session which the root made, have everything without an identity policy."""
    if scene.root or (scene.principal.kind is _FEDERATED_USER and scene.principal.parent is None):
        return True
    return gates.identity is True
