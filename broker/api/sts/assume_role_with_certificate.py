"""STS AssumeRoleWithCertificate: the TLS client certificate of the connection for role credentials.

An action of MinIO's; what MinIO's clients send is a valid request. AWS has none like it in STS.
"""

import hashlib
from dataclasses import dataclass

from broker.api.events import federated_identity
from broker.api.params import param
from broker.api.query import Action, Call, Result
from broker.api.rules import arn
from broker.api.sts.by_identity import SessionRequest, assume_by_identity
from broker.api.sts.shapes import SESSION_AUDITED
from broker.arn import Arn
from broker.errors import MissingAuthenticationToken
from broker.flows.certificates import ACTION as PERMISSION
from broker.flows.certificates import by_certificate
from providers.contract import ClientCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(SessionRequest):
    """The parameters of AssumeRoleWithCertificate."""

    provider_arn: Arn | None = param(
        "ProviderArn", arn("certificate-provider", invalid="{arn} is invalid"), default=None
    )


async def run(call: Call, request: Request) -> Result:
    """Have the certificate judged anew, whenever the connection began; then assume the role, or the only one."""
    chain = call.client_certificates()
    if not chain:
        raise MissingAuthenticationToken(
            "No client certificate was presented: call over HTTPS with one, and not through a proxy that ends TLS.",
            detail={"reason": "no_certificate"},
        )
    call.event.additional["clientCertificateSha256"] = hashlib.sha256(chain[0]).hexdigest()
    named = str(request.provider_arn) if request.provider_arn is not None else None
    identity, provider = await by_certificate(
        call.services.federation, call.snapshot, ClientCertificate(chain), named, request.named_role
    )
    call.event.account = provider.account
    call.event.identity = federated_identity("CertificateUser", identity, provider.arn)
    return await assume_by_identity(call, request, identity, provider.arn, PERMISSION)


ACTION = Action(request=Request, run=run, signed=False, audited=("ProviderArn", *SESSION_AUDITED))
