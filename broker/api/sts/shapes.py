"""Parameters and result elements that several STS actions share (AWS STS API Reference)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from broker.api.params import many, param, structure
from broker.api.query import Call
from broker.api.rules import TAG_KEY, seconds, text
from broker.api.shapes import ARN, POLICY, TAGS, Tag
from broker.flows.assume import Assumed
from broker.flows.trust import RoleRequest
from broker.sessions.model import Credentials, Session

SESSION_NAME = text(2, 64, r"[\w+=,.@-]*")
SOURCE_IDENTITY = text(2, 256, r"[\w+=,.@-]*")
EXTERNAL_ID = text(2, 1224, r"[\w+=,.@:\/-]*")
SERIAL_NUMBER = text(9, 256, r"[\w+=/:,.@-]*")
TOKEN_CODE = text(6, 6, r"[\d]*")
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDescriptor:
    """A managed policy by its ARN; AWS writes the member in lower case."""

    arn: str = param("arn", ARN)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPolicies:
    """What a session is narrowed to."""

    policy: str | None = param("Policy", POLICY, default=None)
    descriptors: tuple[PolicyDescriptor, ...] = param(
        "PolicyArns", many(structure(PolicyDescriptor), maximum=10), default=()
    )

    @property
    def policy_arns(self) -> tuple[str, ...]:
        """The managed ones."""
        return tuple(each.arn for each in self.descriptors)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionParameters(SessionPolicies):
    """What a role session may be given."""

    duration: timedelta = param("DurationSeconds", seconds(900, 43_200), default=HOUR)
    tags: tuple[Tag, ...] = param("Tags", TAGS, default=())
    transitive_tag_keys: tuple[str, ...] = param(
        "TransitiveTagKeys", many(text(1, 128, TAG_KEY), maximum=50), default=()
    )
    source_identity: str | None = param("SourceIdentity", SOURCE_IDENTITY, default=None)

    def of(
        self,
        role_arn: str,
        session_name: str,
        *,
        action: str,
        vouched_tags: Mapping[str, str] | None = None,
        external_id: str | None = None,
    ) -> RoleRequest:
        """What is asked of a role. `vouched_tags`: those that a provider gives, beside the caller's own."""
        return RoleRequest(
            action=action,
            role_arn=role_arn,
            session_name=session_name,
            duration=self.duration,
            policy=self.policy,
            policy_arns=self.policy_arns,
            tags=(*(vouched_tags or {}).items(), *((tag.key, tag.value) for tag in self.tags)),
            transitive_tag_keys=self.transitive_tag_keys,
            source_identity=self.source_identity,
            external_id=external_id,
        )


SESSION_AUDITED = (
    "RoleArn",
    "RoleSessionName",
    "DurationSeconds",
    "Policy",
    "PolicyArns",
    "Tags",
    "TransitiveTagKeys",
    "SourceIdentity",
)
"""Parameters of a role session that may stand in the audit trail."""


def credentials(minted: Credentials) -> Mapping[str, Any]:
    """The `Credentials` element."""
    return {
        "AccessKeyId": minted.access_key_id,
        "SecretAccessKey": minted.secret_access_key,
        "SessionToken": minted.session_token,
        "Expiration": minted.expiration,
    }


def assumed_role_user(assumed: Assumed) -> Mapping[str, Any]:
    """The `AssumedRoleUser` element."""
    return {"AssumedRoleId": assumed.session.user_id, "Arn": assumed.session.arn}


def role_session(call: Call, assumed: Assumed) -> Mapping[str, Any]:
    """The result element of a new role session, which is put on record."""
    record_role_session(call, assumed)
    return {
        "AssumedRoleUser": assumed_role_user(assumed),
        "Credentials": credentials(assumed.credentials),
        "SourceIdentity": assumed.session.source_identity,
        "PackedPolicySize": assumed.packed_policy_size,
    }


def record_role_session(call: Call, assumed: Assumed) -> None:
    """Put a new role session on record, and its account where no caller names one."""
    session = assumed.session
    call.event.account = call.event.account or session.account
    record_session(
        call,
        session,
        assumedRoleUser={"assumedRoleId": session.user_id, "arn": session.arn},
        sourceIdentity=session.source_identity,
    )


def record_session(call: Call, session: Session, **beside: object) -> None:
    """Put a new session on record: it is undone if the answer fails, and the audit event shows it."""
    call.minted.append(session)
    call.event.response = {
        "credentials": {"accessKeyId": session.access_key_id, "expiration": session.expires_at},
        **beside,
    }
