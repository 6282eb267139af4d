"""STS AssumeRoleWithSAML: a SAML assertion for role credentials."""

from dataclasses import dataclass
from datetime import timedelta

from broker.api.events import federated_identity
from broker.api.params import param
from broker.api.query import Action, Call, Result
from broker.api.rules import arn, seconds, text
from broker.api.sts.shapes import (
    HOUR,
    SessionPolicies,
    assumed_role_user,
    credentials,
    record_role_session,
)
from broker.arn import Arn
from broker.errors import AccessDenied
from broker.flows import saml
from broker.flows.assume import assume
from broker.flows.requester import Requester
from broker.flows.trust import RoleRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(SessionPolicies):
    """The parameters of AssumeRoleWithSAML."""

    role_arn: Arn = param("RoleArn", arn("role", invalid="Request ARN is invalid"))
    principal_arn: Arn = param("PrincipalArn", arn("saml-provider", invalid="Request ARN is invalid"))
    assertion: str = param("SAMLAssertion", text(4, 100_000), secret=True)
    duration: timedelta = param("DurationSeconds", seconds(900, 43_200), default=HOUR)


async def run(call: Call, request: Request) -> Result:
    """Verify the assertion, find the role in it, then assume it.

    Whoever presents an assertion here gets the credentials himself, so one that answers no request misleads nobody.
    """
    role_arn, provider_arn = str(request.role_arn), str(request.principal_arn)
    async with call.services.pace.refusable(call.wire.source_ip):
        identity = await saml.verify(
            call.services.saml,
            call.snapshot,
            provider_arn,
            request.assertion,
            allow_unsolicited=True,
        )
    call.event.identity = federated_identity("SAMLUser", identity, provider_arn)
    if (role_arn, provider_arn) not in identity.roles:
        raise AccessDenied(
            f"Not authorized to perform {saml.ACTION}",
            detail={"reason": "role", "detail": "The assertion does not pair this role with this provider."},
        )
    asked = RoleRequest(
        action=saml.ACTION,
        role_arn=role_arn,
        session_name=identity.session_name or "",
        duration=request.duration,
        at_most=identity.session_duration,
        policy=request.policy,
        policy_arns=request.policy_arns,
    ).with_tags_of(identity)
    requester = Requester.federated(call.snapshot, identity, provider_arn)
    assumed = await assume(call.services, call.snapshot, requester, call.wire, asked)
    record_role_session(call, assumed)
    return {
        "Credentials": credentials(assumed.credentials),
        "AssumedRoleUser": assumed_role_user(assumed),
        "PackedPolicySize": assumed.packed_policy_size,
        "Subject": identity.subject,
        "SubjectType": identity.subject_type,
        "Issuer": identity.issuer,
        "Audience": identity.audience,
        "NameQualifier": identity.name_qualifier,
        "SourceIdentity": assumed.session.source_identity,
    }


ACTION = Action(
    request=Request,
    run=run,
    signed=False,
    audited=("RoleArn", "PrincipalArn", "DurationSeconds", "Policy", "PolicyArns"),
)
