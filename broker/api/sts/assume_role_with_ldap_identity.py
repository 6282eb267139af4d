"""STS AssumeRoleWithLDAPIdentity: a directory's user name and password, perhaps a one-time code, for role credentials.

An action of MinIO's; what MinIO's clients send is a valid request. AWS has none like it.
"""

from dataclasses import dataclass

from broker.api.events import federated_identity, refused_identity
from broker.api.params import param
from broker.api.query import Action, Call, Result
from broker.api.rules import arn, text
from broker.api.sts.by_identity import SessionRequest, assume_by_identity
from broker.api.sts.shapes import SERIAL_NUMBER, SESSION_AUDITED, TOKEN_CODE
from broker.arn import Arn
from broker.errors import IDPRejectedClaim, InvalidParameterValue
from broker.flows.mfa import presented
from broker.flows.sign_in import LDAP_ACTION, by_directory, ldap_provider
from providers.contract import Password


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(SessionRequest):
    """The parameters of AssumeRoleWithLDAPIdentity."""

    username: str = param("LDAPUsername", text(0, 256))
    password: str = param("LDAPPassword", text(0, 1024), secret=True)
    provider_arn: Arn | None = param("ProviderArn", arn("ldap-provider", invalid="{arn} is invalid"), default=None)
    serial_number: str | None = param("SerialNumber", SERIAL_NUMBER, default=None)
    token_code: str | None = param("TokenCode", TOKEN_CODE, default=None, secret=True)


async def run(call: Call, request: Request) -> Result:
    """Ask the directory, then assume the role, or the only one that admits the user."""
    services, snapshot = call.services, call.snapshot
    shown = presented(request.serial_number, request.token_code)
    named = str(request.provider_arn) if request.provider_arn is not None else None
    provider = ldap_provider(snapshot, named, request.named_role)
    call.event.account = provider.account
    call.event.additional["MFAUsed"] = "Yes" if shown is not None else "No"
    proof = Password(request.username, request.password)
    try:
        identity = await by_directory(services, snapshot, provider, proof, shown, call.wire)
    except IDPRejectedClaim as error:
        call.event.identity = refused_identity(error, "LDAPUser", request.username, provider.arn)
        raise
    call.event.identity = federated_identity("LDAPUser", identity, provider.arn)
    mapped = {key.casefold() for key in provider.session_tags}
    for tag in request.tags:
        if tag.key.casefold() in mapped:
            # Also where this user lacks the attribute: whoever could pass it would be whom it says.
            raise InvalidParameterValue(f"The session tag {tag.key} is the directory's to give.")
    return await assume_by_identity(call, request, identity, provider.arn, LDAP_ACTION, code_verified=shown is not None)


ACTION = Action(request=Request, run=run, signed=False, audited=("ProviderArn", *SESSION_AUDITED, "SerialNumber"))
