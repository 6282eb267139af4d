"""What the actions share that turn an identity into a session of a role, which need not be named (as MinIO's do)."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from broker.api.params import many, param, structure
from broker.api.query import Call, Result
from broker.api.rules import TAG_KEY, arn, seconds, text
from broker.api.sts.shapes import (
    HOUR,
    POLICY,
    SESSION_NAME,
    SOURCE_IDENTITY,
    PolicyDescriptor,
    Tag,
    assumed_role_user,
    credentials,
    record_role_session,
)
from broker.arn import Arn
from broker.errors import ValidationError
from broker.flows.assume import assume_by_identity
from broker.flows.role_choice import with_only_role
from broker.flows.trust import RoleRequest
from providers.contract import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest:
    """The session that is asked for. Without a role: of the only one that admits the identity."""

    role_arn: Arn | None = param("RoleArn", arn("role", invalid="Request ARN is invalid"), default=None)
    session_name: str | None = param("RoleSessionName", SESSION_NAME, default=None)
    duration: timedelta = param("DurationSeconds", seconds(900, 43_200), default=HOUR)
    policy: str | None = param("Policy", POLICY, default=None)
    policy_arns: tuple[PolicyDescriptor, ...] = param(
        "PolicyArns", many(structure(PolicyDescriptor), maximum=10), default=()
    )
    tags: tuple[Tag, ...] = param("Tags", many(structure(Tag), maximum=50), default=())
    transitive_tag_keys: tuple[str, ...] = param(
        "TransitiveTagKeys", many(text(1, 128, TAG_KEY), maximum=50), default=()
    )
    source_identity: str | None = param("SourceIdentity", SOURCE_IDENTITY, default=None)

    @property
    def named_role(self) -> str | None:
        """The ARN of the role, where one is named."""
        return str(self.role_arn) if self.role_arn is not None else None


AUDITED: Final = (
    "RoleArn",
    "RoleSessionName",
    "DurationSeconds",
    "Policy",
    "PolicyArns",
    "Tags",
    "TransitiveTagKeys",
    "SourceIdentity",
)


async def assume(
    call: Call,
    request: SessionRequest,
    identity: Identity,
    provider_arn: str,
    action: str,
    *,
    code_verified: bool | None = None,
) -> Result:
    """Assume the role as somebody for whom the provider of this ARN vouches; the result element."""
    services, snapshot = call.services, call.snapshot
    name = request.session_name or identity.session_name
    if name is None:
        raise ValidationError("RoleSessionName is required: the name of the identity cannot name a session.")
    asked = RoleRequest(
        action=action,
        role_arn=request.named_role or "",
        session_name=name,
        duration=request.duration,
        policy=request.policy,
        policy_arns=tuple(each.arn for each in request.policy_arns),
        tags=(*identity.session_tags.items(), *((tag.key, tag.value) for tag in request.tags)),
        transitive_tag_keys=request.transitive_tag_keys,
        source_identity=request.source_identity,
    )
    if request.role_arn is None:
        # In a thread: every role that names the provider is weighed.
        asked = await asyncio.to_thread(
            with_only_role,
            services,
            snapshot,
            identity,
            provider_arn,
            call.wire,
            asked,
            code_verified=code_verified,
        )
    assumed = await assume_by_identity(
        services, snapshot, identity, provider_arn, call.wire, asked, code_verified=code_verified
    )
    record_role_session(call, assumed)
    return {
        "AssumedRoleUser": assumed_role_user(assumed),
        "Credentials": credentials(assumed.credentials),
        "SourceIdentity": assumed.session.source_identity,
        "PackedPolicySize": assumed.packed_policy_size,
    }
