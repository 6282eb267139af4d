"""STS AssumeRoleWithLDAPIdentity: a directory's user name and password, perhaps a one-time code, for role credentials.

An action of MinIO's; what MinIO's clients send is a valid request. AWS has none like it.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from broker.api.events import federated_identity, refused_identity
from broker.api.params import many, param, structure
from broker.api.query import Action, Call, Result
from broker.api.rules import TAG_KEY, arn, seconds, text
from broker.api.sts.shapes import (
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
from broker.errors import IDPRejectedClaim, ValidationError
from broker.flows.assume import assume_by_identity
from broker.flows.mfa import presented
from broker.flows.role_choice import with_only_role
from broker.flows.sign_in import LDAP_ACTION, by_directory, ldap_provider
from broker.flows.trust import RoleRequest
from providers.contract import Identity, Password


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of AssumeRoleWithLDAPIdentity."""

    username: str = param("LDAPUsername", text(0, 256))
    password: str = param("LDAPPassword", text(0, 1024), secret=True)
    provider_arn: Arn | None = param("ProviderArn", arn("ldap-provider", invalid="{arn} is invalid"), default=None)
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
    serial_number: str | None = param("SerialNumber", SERIAL_NUMBER, default=None)
    token_code: str | None = param("TokenCode", TOKEN_CODE, default=None, secret=True)


async def run(call: Call, request: Request) -> Result:
    """Ask the directory, then assume the role, or the only one that admits the user."""
    services, snapshot = call.services, call.snapshot
    shown = presented(request.serial_number, request.token_code)
    named = str(request.role_arn) if request.role_arn is not None else None
    provider = ldap_provider(snapshot, str(request.provider_arn) if request.provider_arn is not None else None, named)
    call.event.account = provider.account
    call.event.additional["MFAUsed"] = "Yes" if shown is not None else "No"
    proof = Password(request.username, request.password)
    try:
        identity = await by_directory(services, snapshot, provider, proof, shown, call.wire)
    except IDPRejectedClaim as error:
        call.event.identity = refused_identity(error, "LDAPUser", request.username, provider.arn)
        raise
    call.event.identity = federated_identity("LDAPUser", identity, provider.arn)
    asked = RoleRequest(
        action=LDAP_ACTION,
        role_arn=named or "",
        session_name=_session_name(request, identity),
        duration=request.duration,
        policy=request.policy,
        policy_arns=tuple(each.arn for each in request.policy_arns),
        tags=(*identity.session_tags.items(), *((tag.key, tag.value) for tag in request.tags)),
        transitive_tag_keys=request.transitive_tag_keys,
        source_identity=request.source_identity,
    )
    if named is None:
        # In a thread: every role that names the directory is weighed.
        asked = await asyncio.to_thread(
            with_only_role,
            services,
            snapshot,
            identity,
            provider.arn,
            call.wire,
            asked,
            code_verified=shown is not None,
        )
    assumed = await assume_by_identity(
        services, snapshot, identity, provider.arn, call.wire, asked, code_verified=shown is not None
    )
    record_role_session(call, assumed)
    return {
        "AssumedRoleUser": assumed_role_user(assumed),
        "Credentials": credentials(assumed.credentials),
        "SourceIdentity": assumed.session.source_identity,
        "PackedPolicySize": assumed.packed_policy_size,
    }


def _session_name(request: Request, identity: Identity) -> str:
    name = request.session_name or identity.session_name
    if name is None:
        raise ValidationError("RoleSessionName is required: the user name is not a valid one.")
    return name


ACTION = Action(
    request=Request,
    run=run,
    signed=False,
    audited=(
        "ProviderArn",
        "RoleArn",
        "RoleSessionName",
        "DurationSeconds",
        "Policy",
        "PolicyArns",
        "Tags",
        "TransitiveTagKeys",
        "SourceIdentity",
        "SerialNumber",
    ),
)
