"""A role and whoever asks for it, as its trust policy sees them: which of the request's actions is not allowed?

Nothing is minted here. A role that does not exist is refused like one that refuses.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from broker.arn import Arn
from broker.directory.model import Role, Snapshot
from broker.errors import ValidationError
from broker.flows import session_policies, tags
from broker.flows.caller import Wire, request_keys, resource_control_policies
from broker.flows.requester import Requester
from broker.policy import Kind, Policies, Policy, Request, RequestContext, decide, parse
from broker.sessions.model import Session, TokenUse, merged_tags
from providers.contract import Identity


def admits_nobody(name: str) -> Policy:
    """A trust policy that refuses everybody."""
    return parse(
        '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"sts:*"}]}',
        Kind.TRUST,
        name=name,
    )


NOBODY = admits_nobody("no such role")
"""Stands in for the trust policy of a role that does not exist, so that it is refused like one that refuses."""


class RoleRequest(msgspec.Struct, frozen=True, kw_only=True):
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

    def with_tags_of(self, identity: Identity) -> "RoleRequest":
        """The request with the session tags and the source identity that the identity's provider gives."""
        return replace(
            self,
            tags=tuple(identity.session_tags.items()),
            transitive_tag_keys=identity.transitive_tag_keys,
            source_identity=identity.source_identity,
        )


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a role as the policies see it; `role` is None for one that does not exist."""

    requester: Requester
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
    def of(cls, snapshot: Snapshot, requester: Requester, wire: Wire, request: RoleRequest, now: datetime) -> "Asked":
        """Raises for what contradicts itself, whatever the policies say."""
        session_policies.check(snapshot, request.policy, request.policy_arns)
        session_tags = tags.combine(request.tags, request.transitive_tag_keys, requester.session)
        source_identity = _source_identity(request, requester.session)
        packed_size = session_policies.packed_size(request.policy, request.policy_arns, session_tags.all)
        role = snapshot.role(request.role_arn)
        account = Arn.parse(request.role_arn).account

        single = {**request_keys(wire, now), **requester.single, "sts:RoleSessionName": request.session_name}
        many = dict(requester.many)
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
            requester=requester,
            role=role,
            role_arn=request.role_arn,
            account=account,
            actions=actions,
            context=RequestContext(single, many),
            policies=Policies(
                identity=requester.policies.identity,
                boundary=requester.policies.boundary,
                session=requester.policies.session,
                scps=requester.policies.scps,
                resource=role.trust_policy if role is not None else NOBODY,
                rcps=resource_control_policies(snapshot, account),
            ),
            tags=session_tags,
            source_identity=source_identity,
            packed_size=packed_size,
        )

    def denied(self) -> Request | None:
        """The first action that is not allowed, None where all are."""
        for action in self.actions:
            asked = Request(self.requester.principal, action, self.role_arn, self.context, self.account)
            if self.role is None or not decide(asked, self.policies).allowed:
                return asked
        return None


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
