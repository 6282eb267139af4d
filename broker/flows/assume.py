"""A caller or an identity, and a role, become credentials: the one road on which role sessions are minted.

Order: what contradicts itself, the decisions (trust policy with the caller's own policies, for each action that the
request implies), the role's limits, the session policies, the mint. Nothing that depends on the role is told to
somebody whom its trust policy does not admit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from broker.arn import Arn, assumed_role
from broker.directory.model import Role, Snapshot
from broker.errors import ValidationError
from broker.flows import session_policies, tags
from broker.flows.caller import Caller, Wire, caller_keys, request_keys, resource_control_policies
from broker.flows.services import Services
from broker.policy import Kind, Policies, Principal, PrincipalKind, Request, RequestContext, decide, parse
from broker.sessions.model import Credentials, Grant, Session, SessionKind, TokenUse, merged_tags
from providers.contract import Identity

CHAINING_LIMIT = timedelta(hours=1)

_NOBODY = parse(
    '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"sts:*"}]}',
    Kind.TRUST,
    name="no such role",
)
"""Stands in for the trust policy of a role that does not exist, so that it is refused like one that refuses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRequest:
    """What is asked of a role. `action` is the STS action that must be allowed (`sts:AssumeRole`, ...)."""

    action: str
    role_arn: str
    session_name: str
    duration: timedelta
    policy: str | None = None
    policy_arns: tuple[str, ...] = ()
    tags: Sequence[tuple[str, str]] = ()
    transitive_tag_keys: tuple[str, ...] = ()
    source_identity: str | None = None
    external_id: str | None = None
    use: TokenUse = TokenUse.SIGV4


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """A role session with its credentials. `packed_policy_size`: percent, None where nothing was passed."""

    session: Session
    credentials: Credentials = field(repr=False)
    role: Role
    packed_policy_size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asker:
    """Whoever asks for the role: a signed caller, or a provider that vouches for somebody."""

    principal: Principal
    policies: Policies
    single: Mapping[str, str]
    many: Mapping[str, Sequence[str]]
    session: Session | None = None
    chained: bool = False
    federated_provider: str | None = None
    carried: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    session_until: datetime | None = None

    def refusal(self, action: str, role_arn: str) -> str:
        """AWS's sentence; an unsigned caller has no name to be called by."""
        if self.principal.kind is PrincipalKind.PROVIDER:
            return f"Not authorized to perform {action}"
        return f"User: {self.principal.arn} is not authorized to perform: {action} on resource: {role_arn}"


async def assume_by_caller(
    services: Services, snapshot: Snapshot, caller: Caller, wire: Wire, request: RoleRequest
) -> Assumed:
    """AssumeRole. Raises `BrokerError`s as STS answers them; then nothing was minted."""
    now = services.now()
    single, many = caller_keys(caller, now)
    asker = _Asker(
        principal=caller.principal,
        policies=caller.policies,
        single=single,
        many=many,
        session=caller.session,
        chained=caller.chained,
        federated_provider=caller.session.federated_provider if caller.session is not None else None,
        carried=caller.session.context if caller.session is not None else {},
    )
    return await _assume(services, snapshot, asker, wire, request, now)


async def assume_by_identity(
    services: Services, snapshot: Snapshot, identity: Identity, provider_arn: str, wire: Wire, request: RoleRequest
) -> Assumed:
    """The federated ways in. `identity` was verified by the provider whose ARN is given."""
    single = {key: values[0] for key, values in identity.attributes.items() if _is_single(identity, key)}
    many = {key: values for key, values in identity.attributes.items() if not _is_single(identity, key)}
    single["aws:FederatedProvider"] = provider_arn
    many["sojourn:AuthenticationMethods"] = tuple(sorted(identity.methods))
    asker = _Asker(
        principal=Principal(PrincipalKind.PROVIDER, provider_arn, Arn.parse(provider_arn).account),
        policies=Policies(),
        single=single,
        many=many,
        federated_provider=provider_arn,
        carried={key: identity.attributes[key] for key in identity.carried if key in identity.attributes},
        session_until=identity.session_until,
    )
    return await _assume(services, snapshot, asker, wire, request, services.now())


def _is_single(identity: Identity, key: str) -> bool:
    return key not in identity.multivalued and len(identity.attributes[key]) == 1


async def _assume(
    services: Services, snapshot: Snapshot, asker: _Asker, wire: Wire, request: RoleRequest, now: datetime
) -> Assumed:
    session_policies.check_document(request.policy)
    session_tags = tags.combine(request.tags, request.transitive_tag_keys, asker.session)
    source_identity = _source_identity(request, asker.session)
    session_policies.packed_size(request.policy, request.policy_arns, session_tags.all)
    role = snapshot.role(request.role_arn)
    account = Arn.parse(request.role_arn).account

    single = {**request_keys(wire, now), **asker.single, "sts:RoleSessionName": request.session_name}
    many = dict(asker.many)
    if request.external_id is not None:
        single["sts:ExternalId"] = request.external_id
    if source_identity is not None:
        single["sts:SourceIdentity"] = source_identity
    for key, value in session_tags.requested.items():
        single[f"aws:RequestTag/{key}"] = value
    if session_tags.requested:
        many["aws:TagKeys"] = tuple(session_tags.requested)
    if session_tags.transitive:
        many["sts:TransitiveTagKeys"] = session_tags.transitive
    for key, value in _resource_tags(role, session_tags.inherited).items():
        single[f"aws:ResourceTag/{key}"] = single[f"iam:ResourceTag/{key}"] = value
    context = RequestContext(single, many)

    policies = replace(
        asker.policies,
        resource=role.trust_policy if role is not None else _NOBODY,
        rcps=resource_control_policies(snapshot, account),
    )
    actions = [request.action]
    if source_identity is not None:
        actions.insert(0, "sts:SetSourceIdentity")
    if session_tags:
        actions.append("sts:TagSession")
    for action in actions:
        asked = Request(asker.principal, action, request.role_arn, context, account)
        if not decide(asked, policies).allowed or role is None:
            raise services.denials.denied(
                asker.refusal(action, request.role_arn),
                asked,
                policies,
                note=None if role is not None else "The role does not exist.",
            )
    if role is None:
        raise AssertionError("every request has an action, and a role that does not exist denies it")

    lifetime = _lifetime(request.duration, role, asker, now)
    passed = session_policies.resolve(snapshot, account, request.policy, request.policy_arns, session_tags.all)
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
        session_policies=passed.documents,
        session_policy_arns=passed.arns,
        tags=session_tags.all,
        transitive_tag_keys=session_tags.transitive,
        source_identity=source_identity,
        federated_provider=asker.federated_provider,
        context=dict(asker.carried),
        source_ip=wire.source_ip,
        use=request.use,
    )
    minted = await services.sessions.mint(grant, principal_tags=merged_tags(role.tags, grant.tags))
    return Assumed(
        session=minted.session, credentials=minted.credentials, role=role, packed_policy_size=passed.packed_size
    )


def _source_identity(request: RoleRequest, session: Session | None) -> str | None:
    inherited = session.source_identity if session is not None else None
    if inherited is not None and request.source_identity not in {None, inherited}:
        raise ValidationError("The source identity is already set for this assume role session")
    return request.source_identity or inherited


def _resource_tags(role: Role | None, inherited: Mapping[str, str]) -> Mapping[str, str]:
    """The role's tags as its trust policy sees them: transitive tags of the caller stand in for those of that key."""
    if role is None:
        return {}
    own = {key.casefold() for key in role.tags}
    return merged_tags(role.tags, {key: value for key, value in inherited.items() if key.casefold() in own})


def _lifetime(asked: timedelta, role: Role, asker: _Asker, now: datetime) -> timedelta:
    if asked > role.max_session_duration:
        raise ValidationError("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    if asker.chained and asked > CHAINING_LIMIT:
        raise ValidationError(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
        )
    if asker.session_until is not None:
        return min(asked, asker.session_until - now)
    return asked
