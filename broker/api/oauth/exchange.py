"""The parameters of a token exchange and its story (RFC 8693 §2): a subject token becomes a role session.

The same flow as the STS actions, by another door: `id_token` and `jwt` are AssumeRoleWithWebIdentity, `access_token`
is AssumeRole, `saml2` AssumeRoleWithSAML.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from broker.api import params
from broker.api.call import Call
from broker.api.events import federated_identity, identity_of, listed
from broker.api.oauth.refusals import (
    SIGNATURE,
    ExpiredSubjectToken,
    InvalidSubjectToken,
    InvalidTarget,
    UnsupportedClientAuthentication,
    UnsupportedGrantType,
)
from broker.api.params import param
from broker.api.received import Received
from broker.api.rules import choice, seconds, stripped, text
from broker.api.shapes import POLICY
from broker.api.sts import assume_role
from broker.api.sts.shapes import HOUR, SESSION_NAME, record_role_session
from broker.arn import Arn
from broker.clock import iso8601
from broker.errors import AccessDenied, ExpiredToken, InvalidClientTokenId, ValidationError
from broker.flows import saml
from broker.flows.assume import assume
from broker.flows.caller import Caller
from broker.flows.federate import web_identity
from broker.flows.requester import Requester
from broker.flows.trust import RoleRequest
from broker.sessions.model import TokenUse
from providers.contract import Identity

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
SAML2 = "urn:ietf:params:oauth:token-type:saml2"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
AWS_CREDENTIALS = "urn:sojourn:params:oauth:token-type:aws-credentials"

AUDITED = (
    "subject_token_type",
    "requested_token_type",
    "resource",
    "sojourn_session_name",
    "sojourn_duration",
    "sojourn_policy",
)
_OWN_PREFIX = "sojourn_"
_NARROWING = frozenset({"audience", "actor_token", "actor_token_type"})
_LONGEST_JWT = 20_000
_FROM_BASE64URL = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of a token exchange."""

    grant_type: str = param("grant_type", text(1, 255))
    subject_token: str = param("subject_token", stripped(4, 100_000), secret=True)
    subject_token_type: str = param("subject_token_type", text(1, 255))
    requested_token_type: str = param(
        "requested_token_type", choice(ACCESS_TOKEN, AWS_CREDENTIALS), default=ACCESS_TOKEN
    )
    resource: str = param("resource", text(0, 2048), default="")
    session_name: str | None = param("sojourn_session_name", SESSION_NAME, default=None)
    duration: timedelta = param("sojourn_duration", seconds(900, 43_200), default=HOUR)
    policy: str | None = param("sojourn_policy", POLICY, default=None)


_KNOWN = frozenset(
    {"grant_type", "subject_token", "subject_token_type", "requested_token_type", "resource"} | _NARROWING
)


@dataclass(frozen=True, slots=True)
class _Subject:
    """Whom the subject token stands for, and by which action. `name`: of the session where none is asked for.

    `identity`: what the token says of the session, where a provider made it; `at_most`: how long that may last.
    """

    name: str
    requester: Requester
    action: str = "sts:AssumeRole"
    identity: Identity | None = None
    at_most: timedelta | None = None


async def exchange(call: Call, received: Received, parameters: Mapping[str, str]) -> Mapping[str, Any]:
    """The members of a successful answer (RFC 8693 §2.2.1). Raises `BrokerError`."""
    call.event.parameters = listed(parameters, AUDITED)
    if parameters.get("grant_type", GRANT_TYPE) != GRANT_TYPE:
        raise UnsupportedGrantType
    request = params.parse(Request, _understood(parameters))
    role_arn = _role(request.resource)
    if request.subject_token_type not in _SUBJECTS:
        raise ValidationError(f"The subject_token_type must be one of {', '.join(_SUBJECTS)}")
    if request.subject_token_type != SAML2 and len(request.subject_token) > _LONGEST_JWT:
        raise ValidationError(f"The subject_token is longer than {_LONGEST_JWT} characters")
    presented = received.http.header("authorization")
    if presented is not None and not presented.startswith(SIGNATURE):
        raise UnsupportedClientAuthentication

    subject = await _SUBJECTS[request.subject_token_type](call, received, request, role_arn)
    asked = RoleRequest(
        action=subject.action,
        role_arn=str(role_arn),
        session_name=request.session_name or _session_name(subject.name),
        duration=request.duration,
        at_most=subject.at_most,
        policy=request.policy,
        use=TokenUse.BEARER,
    )
    if subject.identity is not None:
        asked = asked.with_tags_of(subject.identity)
    bearer = await assume(call.services, call.snapshot, subject.requester, call.wire, asked)
    record_role_session(call, bearer)
    answer: dict[str, Any] = {
        "access_token": bearer.credentials.session_token,
        "issued_token_type": request.requested_token_type,
        "token_type": "Bearer",
        "expires_in": bearer.session.expires_at - bearer.session.issued_at,
    }
    if request.requested_token_type == AWS_CREDENTIALS:
        answer["aws_credentials"] = await _aws_credentials(call, subject.requester, asked)
    return answer


async def _aws_credentials(call: Call, requester: Requester, asked: RoleRequest) -> Mapping[str, str]:
    """A second session: a bearer token's own keys sign nothing, and what signs is no bearer token."""
    asked = replace(asked, use=TokenUse.SIGV4)
    signing = await assume(call.services, call.snapshot, requester, call.wire, asked)
    call.minted.append(signing.session)
    credentials = signing.credentials
    call.event.response = {
        **(call.event.response or {}),
        "awsCredentials": {"accessKeyId": credentials.access_key_id, "expiration": signing.session.expires_at},
    }
    return {
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "SessionToken": credentials.session_token,
        "Expiration": iso8601(credentials.expiration),
    }


async def _by_id_token(call: Call, _received: Received, request: Request, role_arn: Arn) -> _Subject:
    identity, provider = await web_identity(
        call.services.federation, call.snapshot, role_arn.account, request.subject_token
    )
    call.event.identity = federated_identity("WebIdentityUser", identity, provider.arn)
    requester = Requester.federated(call.snapshot, identity, provider.arn)
    return _Subject(identity.subject, requester, "sts:AssumeRoleWithWebIdentity", identity)


async def _by_saml_response(call: Call, _received: Received, request: Request, role_arn: Arn) -> _Subject:
    """A Response in base64 or base64url, as it would be posted to /saml/acs. Its own session name is the session's."""
    async with call.services.pace.refusable(call.wire.source_ip):
        identities = await saml.verify_unsolicited(
            call.services.saml,
            call.snapshot,
            _base64(request.subject_token),
            account=role_arn.account,
            allow_unsolicited=True,
        )
    provider_arn, identity = next(iter(identities.items()))
    for each, named in identities.items():
        if (str(role_arn), each) in named.roles:
            provider_arn, identity = each, named
    call.event.identity = federated_identity("SAMLUser", identity, provider_arn)
    if (str(role_arn), provider_arn) not in identity.roles:
        raise AccessDenied(f"Not authorized to perform {saml.ACTION}")
    if request.session_name not in (None, identity.session_name):
        raise ValidationError("The session name of a SAML subject token is in its RoleSessionName attribute.")
    requester = Requester.federated(call.snapshot, identity, provider_arn)
    name = identity.session_name or identity.subject
    return _Subject(name, requester, saml.ACTION, identity, identity.session_duration)


async def _by_session_token(call: Call, received: Received, request: Request, _role_arn: Arn) -> _Subject:
    caller = await _holder(call, received, request.subject_token)
    if (caller.session.kind if caller.session is not None else None) not in assume_role.ACTION.callers:
        raise AccessDenied(
            f"User: {caller.principal.arn} is not authorized to perform: sts:AssumeRole with credentials of this kind."
        )
    return _Subject(caller.user_id.rpartition(":")[2], Requester.calling(caller, call.services.now()))


async def _holder(call: Call, received: Received, subject_token: str) -> Caller:
    """Who signed the request with the credentials that the subject token belongs to, else whose bearer token it is."""
    if "authorization" in received.http.values:
        signer = await call.authenticate(received, {"sts"})
        if signer.session is None or not call.services.sessions.holds(signer.session, subject_token):
            raise InvalidSubjectToken("The subject token is not the one of the credentials that signed the request.")
        return signer
    try:
        caller = await call.services.authenticator.bearer(subject_token, call.snapshot)
    except InvalidClientTokenId:
        raise InvalidSubjectToken from None
    except ExpiredToken:
        raise ExpiredSubjectToken from None
    call.event.identity = identity_of(caller)
    call.event.account = caller.principal.account
    return caller


_SUBJECTS: Mapping[str, Callable[[Call, Received, Request, Arn], Awaitable[_Subject]]] = {
    "urn:ietf:params:oauth:token-type:id_token": _by_id_token,
    "urn:ietf:params:oauth:token-type:jwt": _by_id_token,
    SAML2: _by_saml_response,
    ACCESS_TOKEN: _by_session_token,
}


def _base64(token: str) -> str:
    """Base64url, with padding or without, as base64; base64 stays what it is."""
    text = "".join(token.split()).translate(_FROM_BASE64URL)
    return text + "=" * (-len(text) % 4)


def _understood(parameters: Mapping[str, str]) -> Mapping[str, str]:
    """What counts: unknown and empty parameters are ignored (RFC 6749 §3.2), save for our own and those that narrow.

    Whoever asks for less, and misspells it, must not get more.
    """
    return {
        name: value for name, value in parameters.items() if name.startswith(_OWN_PREFIX) or (name in _KNOWN and value)
    }


def _role(resource: str) -> Arn:
    try:
        role_arn = Arn.parse(resource)
    except ValueError:
        raise InvalidTarget from None
    if (role_arn.service, role_arn.resource_type) != ("iam", "role"):
        raise InvalidTarget
    return role_arn


def _session_name(subject: str) -> str:
    """The subject in the characters that a session name may have."""
    return re.sub(r"[^\w+=,.@-]", "-", subject, flags=re.ASCII)[:64].ljust(2, "-")
