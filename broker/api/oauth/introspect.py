"""Token introspection (RFC 7662): whether a bearer token is good now, and whose it is.

Only bearer tokens can be active: a session token that is bound to signatures proves nothing to whom it is shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker.api import params
from broker.api.call import Call
from broker.api.params import param
from broker.api.received import Received
from broker.api.rules import stripped
from broker.errors import ExpiredToken, InvalidClientTokenId
from broker.flows.authorize import authorize
from broker.flows.caller import Caller
from broker.sessions.model import Session

PERMISSION = "broker:IntrospectToken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of an introspection; a hint at the token's type is not needed, others are ignored."""

    token: str = param("token", stripped(1, 20_000), secret=True)


async def introspect(call: Call, received: Received, parameters: Mapping[str, str]) -> Mapping[str, Any]:
    """The members of the answer (RFC 7662 §2.2). Raises `BrokerError` where the signed caller may not ask."""
    caller = await call.authenticate(received, {"sts"})
    request = params.parse(Request, {name: value for name, value in parameters.items() if name == "token"})
    authorize(call.services, call.snapshot, caller, call.wire, PERMISSION, "*")
    try:
        holder = await call.services.authenticator.bearer(request.token, call.snapshot)
    except (InvalidClientTokenId, ExpiredToken):
        holder = None
    if holder is None or holder.session is None:
        call.event.response = {"active": False}
        return {"active": False}
    call.event.response = {"active": True, "accessKeyId": holder.access_key_id, "arn": holder.principal.arn}
    return _active(call.snapshot.settings.public_url, holder, holder.session)


def _active(issuer: str, holder: Caller, session: Session) -> Mapping[str, Any]:
    answer = {
        "active": True,
        "token_type": "Bearer",
        "iss": issuer,
        "aud": issuer,
        "sub": session.arn,
        "jti": session.access_key_id,
        "iat": session.issued_at,
        "exp": session.expires_at,
        "username": session.name,
        "account": session.account,
        "principal_tags": dict(holder.tags),
        "source_identity": session.source_identity,
        "mfa_authenticated_at": session.mfa_authenticated_at,
    }
    return {name: value for name, value in answer.items() if value is not None}
