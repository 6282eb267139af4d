"""Tokens with which a caller proves itself elsewhere (AWS STS GetWebIdentityToken).

OpenID Connect ID tokens of ours for relying parties that hold our published keys: AWS, Google Cloud, Azure. Nothing is
recorded: such a token opens no door here and ends by itself.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from broker.directory.model import Snapshot
from broker.errors import JwtPayloadSizeExceeded, SessionDurationEscalation, ValidationError
from broker.flows import tags
from broker.flows.authorize import authorize
from broker.flows.caller import Caller, Wire
from broker.flows.services import Services

ALGORITHMS = ("RS256", "ES384")
NAMESPACE = "https://sts.amazonaws.com/"
"""The claim under which everything stands that is AWS's own."""

MAXIMUM_PAYLOAD_BYTES = 8192
"""In base64 and with a signature that is 12 KB: relying parties take tokens in headers, which end at 16 KB."""

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """What is asked for. `region`: the one that the request was signed for."""

    audiences: Sequence[str]
    algorithm: str
    duration: timedelta
    tags: Sequence[tuple[str, str]]
    region: str


@dataclass(frozen=True, slots=True)
class OutboundToken:
    """A signed token and its end (UTC). Its `jti` is the id of the request, which leads to the audit event."""

    token: str = field(repr=False)
    expiration: datetime


async def web_identity_token(
    services: Services, snapshot: Snapshot, caller: Caller, wire: Wire, request: TokenRequest
) -> OutboundToken:
    """Ask the caller's policies, then sign.

    Raises:
        AccessDenied, ValidationError, InvalidParameterValue, SessionDurationEscalation, JwtPayloadSizeExceeded.
        KeysUnavailable: there is no key of that algorithm.
    """
    issuer = snapshot.settings.public_url
    _require_foreign(request.audiences, issuer)
    request_tags = tags.combine(request.tags, (), None).requested
    _require_permission(services, snapshot, caller, wire, request, request_tags)

    issued_at = int(services.now().timestamp())
    expires_at = issued_at + int(request.duration.total_seconds())
    if caller.session is not None and expires_at > caller.session.expires_at:
        raise SessionDurationEscalation(
            "The requested token duration would extend the session beyond its original expiration time: it ends in "
            f"{caller.session.expires_at - issued_at} seconds."
        )
    payload = _encode(
        {
            "iss": issuer,
            "aud": request.audiences[0] if len(request.audiences) == 1 else request.audiences,
            "sub": caller.role.arn if caller.role is not None else caller.principal.arn,
            "iat": issued_at,
            "exp": expires_at,
            "jti": wire.request_id,
            NAMESPACE: _own_claims(caller, request, request_tags),
        }
    )
    if len(payload) > MAXIMUM_PAYLOAD_BYTES:
        raise JwtPayloadSizeExceeded
    key = services.keyring.current(request.algorithm)
    # Off the event loop: an RSA or P-384 signature takes about a millisecond.
    token = await asyncio.to_thread(key.sign, payload, "JWT")
    return OutboundToken(token, datetime.fromtimestamp(expires_at, UTC))


def _require_foreign(audiences: Sequence[str], issuer: str) -> None:
    """Our own address is the audience of session tokens: nothing else may be made out to it."""
    if any(audience.strip().rstrip("/").casefold() == issuer.rstrip("/").casefold() for audience in audiences):
        raise ValidationError(f"{issuer} is this gateway and cannot be an audience; name who is to accept the token.")


def _require_permission(
    services: Services,
    snapshot: Snapshot,
    caller: Caller,
    wire: Wire,
    request: TokenRequest,
    request_tags: Mapping[str, str],
) -> None:
    single = {
        "sts:DurationSeconds": str(int(request.duration.total_seconds())),
        "sts:SigningAlgorithm": request.algorithm,
        **{f"aws:RequestTag/{key}": value for key, value in request_tags.items()},
    }
    many = {"sts:IdentityTokenAudience": tuple(request.audiences)}
    if request_tags:
        many["aws:TagKeys"] = tuple(request_tags)
    actions = ["sts:GetWebIdentityToken"] + (["sts:TagGetWebIdentityToken"] if request_tags else [])
    for action in actions:
        authorize(services, snapshot, caller, wire, action, "*", single=single, many=many)


def _own_claims(caller: Caller, request: TokenRequest, request_tags: Mapping[str, str]) -> Mapping[str, Any]:
    claims: dict[str, Any] = {
        "aws_account": caller.principal.account,
        "source_region": request.region,
        "principal_tags": caller.tags,
        "request_tags": request_tags,
    }
    return {name: value for name, value in claims.items() if value}
