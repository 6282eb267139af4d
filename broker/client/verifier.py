"""Bearer tokens verified offline, with the keys that the gateway publishes.

What offline means: a token is believed until its `exp`. That its session was revoked, or its role removed, only the
gateway knows; `Authorizer` asks it. A signing key that was withdrawn in an emergency is believed for a minute at most
while the gateway answers, and for `max_staleness` while it does not.
"""

import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec

from broker.client.model import Principal, Unauthenticated, Unavailable
from broker.clock import Now, utc_now
from providers.errors import ProofRejected, ProviderUnavailable
from providers.fetch import require_web_origin
from providers.jwks import RemoteKeySet, Times
from providers.jws import NotJws, UnverifiedJws, signed_with, take_apart

_ALGORITHM = "ES256"
_TYPE = "sts+jwt"
_MAX_CHARACTERS = 8192
"""Twice what the gateway lets a token grow to."""
_CLOCKS_DIFFER_BY = timedelta(seconds=30)
"""A token may seem to come from the future by this much. Its end is not put off: a session that is over is over."""
_REFRESH, _KEYS_LIVE = 40.0, 60.0


class _Claims(msgspec.Struct, frozen=True, kw_only=True):
    iss: str
    aud: str
    use: str
    sub: str
    jti: str
    iat: int
    exp: int
    account: str
    principal_tags: dict[str, str] | None = None
    principal_tags_omitted: bool = False
    source_identity: str | None = None
    mfa_authenticated_at: int | None = None

    def __post_init__(self) -> None:
        if (self.principal_tags is None) is not self.principal_tags_omitted:
            raise ValueError("the tags are either there or left out")


class Verifier:
    """Verifies the bearer tokens of one gateway. Belongs to the event loop that first uses it; close it there.

    Keys are fetched with the first token, kept, and replaced in the background; a key id that is not known makes for
    one fetch in ten seconds, so tokens of a new key verify at once. Through an outage the keys serve on.
    """

    def __init__(
        self,
        issuer: str,
        *,
        max_staleness: timedelta = timedelta(hours=24),
        tls: ssl.SSLContext | None = None,
        now: Now = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`issuer`: the gateway's `server.public_url`; https, or http on a loopback address.

        `max_staleness`: for how long keys are believed that cannot be fetched anew, a minute at least. `tls`: in place
        of the system's roots.
        Raises `ValueError` for an issuer that is none.
        """
        require_web_origin(issuer, allow_http=True)
        if issuer.endswith("/"):
            raise ValueError(f"{issuer!r} ends with a slash, which no gateway's public_url does")
        if max_staleness.total_seconds() < _KEYS_LIVE:
            raise ValueError(f"max_staleness must be {_KEYS_LIVE:g} seconds at least")
        self.issuer = issuer
        self._tls = tls
        self._now = now
        self._monotonic = monotonic
        self._times = Times(refresh=_REFRESH, maximum_age=_KEYS_LIVE, stale=max_staleness.total_seconds())
        self._session: aiohttp.ClientSession | None = None
        self._keys: RemoteKeySet | None = None

    async def verify(self, token: str) -> Principal:
        """The holder of a bearer token. One that is bound to signatures (`use: sigv4`) proves nothing by itself.

        Raises:
            Unauthenticated: the token is not good, with the reason.
            Unavailable: there are no keys to tell by; ask again.
        """
        jws = _bearer_token(token, self.issuer)
        keys = self._keys if self._keys is not None else self._open()
        try:
            key = await keys.find(jws.key_id, jws.algorithm)
        except (ProofRejected, ProviderUnavailable) as error:
            if error.reason == "key_unknown":
                raise _invalid("It is signed with a key that is not published.") from error
            raise Unavailable(f"the keys of {self.issuer} cannot be had: {error.detail}") from error
        if not signed_with(key, jws.signing_input, jws.signature):
            raise _invalid("Its signature is not right.")
        return self._principal(jws)

    async def close(self) -> None:
        """Stop refreshing keys. What is verified later fetches them anew."""
        keys, self._keys = self._keys, None
        session, self._session = self._session, None
        if keys is not None:
            await keys.close()
        if session is not None:
            await session.close()

    def _open(self) -> RemoteKeySet:
        self._session = aiohttp.ClientSession(trust_env=False)
        self._keys = RemoteKeySet(
            self.issuer,
            self._session,
            tls=self._tls,
            allow_http=True,
            times=self._times,
            monotonic=self._monotonic,
        )
        return self._keys

    def _principal(self, jws: UnverifiedJws) -> Principal:
        try:
            claims = msgspec.convert(jws.unverified_claims, _Claims)
            expires_at = _instant(claims.exp)
            issued_at = _instant(claims.iat)
            mfa = _instant(claims.mfa_authenticated_at) if claims.mfa_authenticated_at is not None else None
        except (msgspec.ValidationError, ValueError, OverflowError, OSError) as error:
            raise _invalid("Its claims are not those of a session token.") from error
        now = self._now()
        if now >= expires_at:
            raise Unauthenticated("ExpiredToken", "The security token included in the request is expired")
        if issued_at > now + _CLOCKS_DIFFER_BY:
            raise _invalid("It is not valid yet.")
        return Principal(
            arn=claims.sub,
            account=claims.account,
            tags=claims.principal_tags,
            source_identity=claims.source_identity,
            expires_at=expires_at,
            access_key_id=claims.jti,
            mfa_authenticated_at=mfa,
        )


def _bearer_token(token: str, issuer: str) -> UnverifiedJws:
    """What cannot be right whatever the signature is refused before a key is looked for."""
    try:
        jws = take_apart(token, algorithms=(_ALGORITHM,), max_characters=_MAX_CHARACTERS)
    except NotJws as error:
        raise _invalid(str(error)) from error
    claims: Mapping[str, Any] = jws.unverified_claims
    if jws.unverified_header.get("typ") != _TYPE:
        raise _invalid("It is another kind of token.")
    if jws.key_id is None:
        raise _invalid("It names no key.")
    if claims.get("iss") != issuer or claims.get("aud") != issuer:
        raise _invalid("It was issued by another gateway, or for another audience.")
    if claims.get("use") != "bearer":
        raise _invalid("It is bound to signatures and proves nothing by itself; a bearer token is needed.")
    return jws


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _invalid(why: str) -> Unauthenticated:
    return Unauthenticated("InvalidClientTokenId", f"The security token included in the request is invalid. {why}")
