"""STS AssumeRoleWithWebIdentity: an OIDC ID token for role credentials."""

from dataclasses import dataclass
from datetime import timedelta

from broker.api.events import federated_identity
from broker.api.params import param
from broker.api.query import Action, Call, Result
from broker.api.rules import arn, seconds, stripped
from broker.api.sts.shapes import (
    HOUR,
    SESSION_NAME,
    SessionPolicies,
    assumed_role_user,
    credentials,
    record_role_session,
)
from broker.arn import Arn
from broker.flows.assume import assume
from broker.flows.federate import web_identity
from broker.flows.requester import Requester
from broker.flows.trust import RoleRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(SessionPolicies):
    """The parameters of AssumeRoleWithWebIdentity."""

    role_arn: Arn = param("RoleArn", arn("role", invalid="Request ARN is invalid"))
    session_name: str = param("RoleSessionName", SESSION_NAME)
    token: str = param("WebIdentityToken", stripped(4, 20_000), secret=True)
    duration: timedelta = param("DurationSeconds", seconds(900, 43_200), default=HOUR)


async def run(call: Call, request: Request) -> Result:
    """Verify the token, then assume the role."""
    identity, provider = await web_identity(
        call.services.federation, call.snapshot, request.role_arn.account, request.token
    )
    call.event.identity = federated_identity("WebIdentityUser", identity, provider.arn)
    asked = RoleRequest(
        action="sts:AssumeRoleWithWebIdentity",
        role_arn=str(request.role_arn),
        session_name=request.session_name,
        duration=request.duration,
        policy=request.policy,
        policy_arns=request.policy_arns,
    ).with_tags_of(identity)
    requester = Requester.federated(call.snapshot, identity, provider.arn)
    assumed = await assume(call.services, call.snapshot, requester, call.wire, asked)
    record_role_session(call, assumed)
    return {
        "SubjectFromWebIdentityToken": identity.subject,
        "AssumedRoleUser": assumed_role_user(assumed),
        "PackedPolicySize": assumed.packed_policy_size,
        "Provider": provider.arn,
        "Audience": identity.audience,
        "SourceIdentity": assumed.session.source_identity,
        "Credentials": credentials(assumed.credentials),
    }


ACTION = Action(
    request=Request,
    run=run,
    signed=False,
    audited=("RoleArn", "RoleSessionName", "DurationSeconds", "Policy", "PolicyArns"),
)
