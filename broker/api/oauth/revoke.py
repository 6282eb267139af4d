"""Token revocation (RFC 7009): who holds a bearer token may end it, and a session signs the end of itself.

A token that is unknown, or ended before, is answered like one that ends now (§2.2); either way it is durable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker.api import params
from broker.api.call import Call
from broker.api.events import identity_of
from broker.api.oauth.refusals import SIGNATURE, UnsupportedClientAuthentication, UnsupportedTokenType
from broker.api.params import param
from broker.api.received import Received
from broker.api.rules import stripped
from broker.flows.authenticate import caller_of
from broker.sessions.model import Session, TokenUse
from broker.sessions.token import unverified_key_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of a revocation; a hint at the token's type is not needed, others are ignored."""

    token: str = param("token", stripped(1, 20_000), secret=True)


async def revoke(call: Call, received: Received, parameters: Mapping[str, str]) -> Mapping[str, Any]:
    """An empty answer. Raises `BrokerError`, `StoreUnavailable`: the token may be good still."""
    presented = received.http.header("authorization")
    if presented is not None and not presented.startswith(SIGNATURE):
        raise UnsupportedClientAuthentication
    signer = None if presented is None else await call.authenticate(received, {"sts"})
    request = params.parse(Request, {name: value for name, value in parameters.items() if name == "token"})
    session = await _held(call, request.token)
    if session is None:
        return {}
    if session.use is not TokenUse.BEARER and (signer is None or signer.access_key_id != session.access_key_id):
        raise UnsupportedTokenType
    if signer is None:
        holder = caller_of(call.snapshot, session)
        if holder is not None:
            call.event.identity = identity_of(holder)
        call.event.account = session.account
    await call.services.sessions.revoke([session])
    call.event.response = {"accessKeyId": session.access_key_id, "arn": session.arn}
    return {}


async def _held(call: Call, token: str) -> Session | None:
    """The living session whose token this is, also one whose role is gone: that may come back."""
    sessions, key_id = call.services.sessions, unverified_key_id(token)
    session = None if key_id is None else await sessions.load(key_id)
    if key_id is not None and session is None:
        await sessions.revoked(key_id)
    return session if session is not None and sessions.holds(session, token) else None
