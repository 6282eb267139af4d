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
from broker.errors import ExpiredIdentityToken, ValidationError
from broker.flows import session_policies, tags
from broker.flows.caller import Caller, Wire, caller_keys, request_keys, resource_control_policies
from broker.flows.recheck import relied_on
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
    """What is asked of a role. `action` is the STS action that must be allowed (`sts:AssumeRole`, ...).

    `at_most`: what the proof says; unlike `duration` it shortens the session without a word.
    """

    action: str
    role_arn: str
    session_name: str
    duration: timedelta
    at_most: timedelta | None = None
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
    groups: Sequence[str] = ()
    federated_provider: str | None = None
    federated_subject: str | None = None
    carried: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    session_until: datetime | None = None

    def refusal(self, action: str, role_arn: str) -> str:
        """AWS's sentence; an unsigned caller has no name to be called by."""
        if self.principal.kind is PrincipalKind.PROVIDER:
            return f"Not authorized to perform {action}"
        return f"User: {self.principal.arn} is not authorized to perform: {action} on resource: {role_arn}"


async def assume_by_caller(
    services: Services,
    snapshot: Snapshot,
    caller: Caller,
    wire: Wire,
    request: RoleRequest,
    *,
    code_verified: bool | None = None,
) -> Assumed:
    """AssumeRole. `code_verified`: whether with this request the user used up a code; None: as the caller's keys say.

    Raises `BrokerError`s as STS answers them; then nothing was minted.
    """
    now = services.now()
    return await _assume(services, snapshot, _calling(caller, now, code_verified), wire, request, now)


def _calling(caller: Caller, now: datetime, code_verified: bool | None) -> _Asker:
    single, many = caller_keys(caller, now)
    if code_verified is not None:
        single |= _mfa_keys(verified=code_verified)
    return _Asker(
        principal=caller.principal,
        policies=caller.policies,
        single=single,
        many=many,
        session=caller.session,
        chained=caller.chained,
        federated_provider=caller.session.federated_provider if caller.session is not None else None,
        federated_subject=caller.session.federated_subject if caller.session is not None else None,
        carried=caller.session.context if caller.session is not None else {},
    )


async def assume_by_identity(
    services: Services,
    snapshot: Snapshot,
    identity: Identity,
    provider_arn: str,
    wire: Wire,
    request: RoleRequest,
    *,
    code_verified: bool | None = None,
) -> Assumed:
    """The federated ways in. `identity` was verified by the provider whose ARN is given.

    `code_verified`: whether a second factor was verified here; None where that is the provider's business.
    """
    asker = _asker(snapshot, identity, provider_arn, code_verified)
    return await _assume(services, snapshot, asker, wire, request, services.now())


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
    asker = _asker(snapshot, identity, provider_arn, code_verified)
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
    return _admitting(snapshot, _calling(caller, now, code_verified), roles, wire, request, now)


def _admitting(
    snapshot: Snapshot, asker: _Asker, roles: Sequence[Role], wire: Wire, request: RoleRequest, now: datetime
) -> Sequence[Role]:
    asked = (_Asked.of(snapshot, asker, wire, replace(request, role_arn=role.arn), now) for role in roles)
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
    asker = _asker(snapshot, identity, provider_arn, code_verified)
    asked = Request(
        asker.principal, request.action, "*", RequestContext(asker.single, asker.many), asker.principal.account
    )
    raise services.denials.denied(
        asker.refusal(request.action, "*"), asked, Policies(resource=_NOBODY), note="No role admits this identity."
    )


def _mfa_keys(*, verified: bool) -> dict[str, str]:
    if verified:
        return {"aws:MultiFactorAuthPresent": "true", "aws:MultiFactorAuthAge": "0"}
    return {"aws:MultiFactorAuthPresent": "false"}


def _asker(snapshot: Snapshot, identity: Identity, provider_arn: str, code_verified: bool | None) -> _Asker:
    single = {key: values[0] for key, values in identity.attributes.items() if _is_single(identity, key)}
    many = {key: values for key, values in identity.attributes.items() if not _is_single(identity, key)}
    single["aws:FederatedProvider"] = provider_arn
    many["sojourn:AuthenticationMethods"] = tuple(sorted(identity.methods))
    if code_verified is not None:
        single |= _mfa_keys(verified=code_verified)
    return _Asker(
        principal=Principal(PrincipalKind.PROVIDER, provider_arn, Arn.parse(provider_arn).account),
        policies=Policies(),
        single=single,
        many=many,
        groups=identity.attributes.get("ldap:groups", ()),
        federated_provider=provider_arn,
        federated_subject=identity.subject if snapshot.ldap_provider(provider_arn) is not None else None,
        carried={key: identity.attributes[key] for key in identity.carried if key in identity.attributes},
        session_until=identity.session_until,
    )


def _is_single(identity: Identity, key: str) -> bool:
    return key not in identity.multivalued and len(identity.attributes[key]) == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A request for a role as the policies see it; `role` is None for one that does not exist."""

    asker: _Asker
    role: Role | None
    role_arn: str
    account: str
    actions: Sequence[str]
    context: RequestContext
    policies: Policies
    tags: tags.SessionTags
    source_identity: str | None
    packed_size: int | None

    @classmethod
    def of(cls, snapshot: Snapshot, asker: _Asker, wire: Wire, request: RoleRequest, now: datetime) -> "_Asked":
        """Raises for what contradicts itself, whatever the policies say."""
        session_policies.check_document(request.policy)
        session_tags = tags.combine(request.tags, request.transitive_tag_keys, asker.session)
        source_identity = _source_identity(request, asker.session)
        packed_size = session_policies.weigh(snapshot, request.policy, request.policy_arns, session_tags.all)
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

        actions = [request.action]
        if source_identity is not None:
            actions.insert(0, "sts:SetSourceIdentity")
        if session_tags:
            actions.append("sts:TagSession")
        return cls(
            asker=asker,
            role=role,
            role_arn=request.role_arn,
            account=account,
            actions=actions,
            context=RequestContext(single, many),
            policies=Policies(
                identity=asker.policies.identity,
                boundary=asker.policies.boundary,
                session=asker.policies.session,
                scps=asker.policies.scps,
                resource=role.trust_policy if role is not None else _NOBODY,
                rcps=resource_control_policies(snapshot, account),
            ),
            tags=session_tags,
            source_identity=source_identity,
            packed_size=packed_size,
        )

    def denied(self) -> Request | None:
        """The first action that is not allowed, None where all are."""
        for action in self.actions:
            asked = Request(self.asker.principal, action, self.role_arn, self.context, self.account)
            if self.role is None or not decide(asked, self.policies).allowed:
                return asked
        return None


async def _assume(
    services: Services, snapshot: Snapshot, asker: _Asker, wire: Wire, request: RoleRequest, now: datetime
) -> Assumed:
    asked = _Asked.of(snapshot, asker, wire, request, now)
    role, account, session_tags = asked.role, asked.account, asked.tags
    denied = asked.denied()
    if denied is not None:
        raise services.denials.denied(
            asker.refusal(denied.action, request.role_arn),
            denied,
            asked.policies,
            note=None if role is not None else "The role does not exist.",
        )
    if role is None:
        raise AssertionError("every request has an action, and a role that does not exist denies it")

    lifetime = _lifetime(request, role, asker, now)
    session_policies.require_attachable(snapshot, account, request.policy_arns)
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
        session_policies=session_policies.documents(request.policy, request.policy_arns),
        session_policy_arns=request.policy_arns,
        tags=session_tags.all,
        transitive_tag_keys=session_tags.transitive,
        source_identity=asked.source_identity,
        origin_arn=_origin(asker),
        federated_provider=asker.federated_provider,
        federated_subject=asker.federated_subject,
        federated_groups=_groups_to_keep(asker, role),
        context=dict(asker.carried),
        source_ip=wire.source_ip,
        use=request.use,
    )
    minted = await services.sessions.mint(grant, principal_tags=merged_tags(role.tags, grant.tags))
    return Assumed(
        session=minted.session, credentials=minted.credentials, role=role, packed_policy_size=asked.packed_size
    )


def _origin(asker: _Asker) -> str | None:
    """The user behind the session: whose long-term keys, or whose GetSessionToken, the chain of roles began with."""
    session = asker.session
    if session is not None and session.kind is SessionKind.ASSUMED_ROLE:
        return session.origin_arn
    return asker.principal.arn if asker.principal.kind is PrincipalKind.USER else None


def _groups_to_keep(asker: _Asker, role: Role) -> tuple[str, ...]:
    """The groups without which a person would not have got the role, or the first one of a chain."""
    if asker.session is not None:
        return asker.session.federated_groups
    return relied_on(role.trust_policy, asker.groups)


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


def _lifetime(request: RoleRequest, role: Role, asker: _Asker, now: datetime) -> timedelta:
    asked = request.duration
    if asked > role.max_session_duration:
        raise ValidationError("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    if asker.chained and asked > CHAINING_LIMIT:
        raise ValidationError(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
        )
    lifetime = min(asked, request.at_most or asked)
    if asker.session_until is None:
        return lifetime
    left = asker.session_until - now
    if left < timedelta(seconds=1):
        raise ExpiredIdentityToken
    return min(lifetime, left)
