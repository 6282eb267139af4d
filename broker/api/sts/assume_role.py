"""STS AssumeRole: a signed caller for role credentials, in its own account or another."""

from dataclasses import dataclass
from datetime import timedelta

from broker.api.params import many, param, structure
from broker.api.query import Action, Call, Result
from broker.api.rules import TAG_KEY, arn, seconds, text
from broker.api.sts.shapes import (
    EXTERNAL_ID,
    HOUR,
    POLICY,
    SERIAL_NUMBER,
    SESSION_NAME,
    SOURCE_IDENTITY,
    TOKEN_CODE,
    PolicyDescriptor,
    Tag,
    assumed_role_user,
    credentials,
    record_role_session,
)
from broker.arn import Arn
from broker.flows.assume import assume_by_caller
from broker.flows.mfa import presented, verify_callers_code
from broker.flows.trust import RoleRequest
from broker.sessions.model import SessionKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of AssumeRole."""

    role_arn: Arn = param("RoleArn", arn())
    session_name: str = param("RoleSessionName", SESSION_NAME)
    duration: timedelta = param("DurationSeconds", seconds(900, 43_200), default=HOUR)
    policy: str | None = param("Policy", POLICY, default=None)
    policy_arns: tuple[PolicyDescriptor, ...] = param(
        "PolicyArns", many(structure(PolicyDescriptor), maximum=10), default=()
    )
    tags: tuple[Tag, ...] = param("Tags", many(structure(Tag), maximum=50), default=())
    transitive_tag_keys: tuple[str, ...] = param(
        "TransitiveTagKeys", many(text(1, 128, TAG_KEY), maximum=50), default=()
    )
    external_id: str | None = param("ExternalId", EXTERNAL_ID, default=None)
    source_identity: str | None = param("SourceIdentity", SOURCE_IDENTITY, default=None)
    serial_number: str | None = param("SerialNumber", SERIAL_NUMBER, default=None)
    token_code: str | None = param("TokenCode", TOKEN_CODE, default=None, secret=True)


async def run(call: Call, request: Request) -> Result:
    """Assume the role, with a second factor where a code is given."""
    shown = presented(request.serial_number, request.token_code)
    if shown is not None:
        await verify_callers_code(call.services, call.snapshot, call.signer, call.wire, shown)
    assumed = await assume_by_caller(
        call.services,
        call.snapshot,
        call.signer,
        call.wire,
        RoleRequest(
            action="sts:AssumeRole",
            role_arn=str(request.role_arn),
            session_name=request.session_name,
            duration=request.duration,
            policy=request.policy,
            policy_arns=tuple(each.arn for each in request.policy_arns),
            tags=tuple((tag.key, tag.value) for tag in request.tags),
            transitive_tag_keys=request.transitive_tag_keys,
            external_id=request.external_id,
            source_identity=request.source_identity,
        ),
        code_verified=True if shown is not None else None,
    )
    record_role_session(call, assumed)
    return {
        "AssumedRoleUser": assumed_role_user(assumed),
        "Credentials": credentials(assumed.credentials),
        "SourceIdentity": assumed.session.source_identity,
        "PackedPolicySize": assumed.packed_policy_size,
    }


ACTION = Action(
    request=Request,
    run=run,
    callers=(None, SessionKind.ASSUMED_ROLE, SessionKind.USER),
    audited=(
        "RoleArn",
        "RoleSessionName",
        "DurationSeconds",
        "Policy",
        "PolicyArns",
        "Tags",
        "TransitiveTagKeys",
        "ExternalId",
        "SourceIdentity",
        "SerialNumber",
    ),
)
