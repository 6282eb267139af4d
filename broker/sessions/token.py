"""The session token: a compact JWS (RFC 7515), ES256, `typ: sts+jwt`, whose claims are those of the contract.

Whoever holds the published keys can verify one offline. The gateway itself compares a presented token with the
hash in its session's record; only to tell an expired token from an unknown one does it check a signature.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from jose import jws
from jose.exceptions import JOSEError

from broker.ids import account_of
from broker.sessions.keyring import SESSION_ALGORITHM, Keyring
from broker.sessions.model import Grant

TOKEN_TYPE = "sts+jwt"
MAXIMUM_TOKEN_BYTES = 4096

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def sign(grant: Grant, access_key_id: str, principal_tags: Mapping[str, str], *, issuer: str, keyring: Keyring) -> str:
    """The token of a session; the tags stay out where it would grow past 4 KB. Raises `KeysUnavailable`."""
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": issuer,
        "use": grant.use.value,
        "sub": grant.arn,
        "jti": access_key_id,
        "iat": grant.issued_at,
        "exp": grant.expires_at,
        "account": grant.account,
        "principal_tags": principal_tags,
    }
    if grant.source_identity is not None:
        claims["source_identity"] = grant.source_identity
    if grant.mfa_authenticated_at is not None:
        claims["mfa_authenticated_at"] = grant.mfa_authenticated_at
    key = keyring.current()
    token = key.sign(_encode(claims), TOKEN_TYPE)
    if len(token) > MAXIMUM_TOKEN_BYTES:
        del claims["principal_tags"]
        claims["principal_tags_omitted"] = True
        token = key.sign(_encode(claims), TOKEN_TYPE)
    return token


def expired(presented: str, access_key_id: str, *, issuer: str, keyring: Keyring, now: datetime) -> bool:
    """Whether `presented` is a session token of ours for this access key whose time is over.

    Costs one signature check; asked only about tokens whose record is gone.
    """
    if len(presented) > MAXIMUM_TOKEN_BYTES * 2:
        return False
    try:
        header = jws.get_unverified_header(presented)
        key = keyring.verifying(str(header.get("kid")))
        if key is None or header.get("typ") != TOKEN_TYPE or key.alg != SESSION_ALGORITHM:
            return False
        claims = _decode(jws.verify(presented, key.public, [SESSION_ALGORITHM]))
    except (JOSEError, msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return False
    exp = claims.get("exp")
    return (
        claims.get("jti") == access_key_id
        and claims.get("iss") == issuer
        and isinstance(exp, int)
        and exp <= now.timestamp()
    )


def unverified_key_id(presented: str) -> str | None:
    """The access key id that a token says it belongs to, in the form of one; nothing is verified."""
    if len(presented) > MAXIMUM_TOKEN_BYTES * 2:
        return None
    try:
        key_id = _decode(jws.get_unverified_claims(presented)).get("jti")
    except (JOSEError, msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return None
    return key_id if isinstance(key_id, str) and account_of(key_id) is not None else None
