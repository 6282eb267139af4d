"""OpenID Connect: verify ID tokens of one issuer (OpenID Connect Core 1.0 §3.1.3.7, STS AssumeRoleWithWebIdentity)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp

from providers.claims import condition_keys, flatten, methods, session_tags, source_identity
from providers.contract import Identity, IdToken, Now, Once
from providers.errors import ProofExpired, ProofRejected
from providers.fetch import origin, require_web_origin
from providers.jwks import FixedKeySet, KeySet, KeySets
from providers.jws import shown, signed_with
from providers.jwt import UnverifiedToken, parse

_CARRIED = ("aud", "sub", "amr")
"""What AWS keeps of a token for the session's later requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcConfig:
    """One issuer and what is accepted of it.

    `audiences`: the client ids, at least one. `jwks`: a fixed JWK set instead of discovery. `ca_file`: PEM, in place of
    the system's roots. `allow_http`: for an issuer on a loopback address. `session_tags`: tag key to claim name.
    `max_token_age`: counted from `iat`. `single_use`: a token is accepted once. `leeway`: for clocks that differ.
    Raises `ValueError` that says what is wrong.
    """

    issuer: str
    audiences: frozenset[str]
    jwks: bytes | None = field(default=None, repr=False)
    ca_file: Path | None = None
    allow_http: bool = False
    session_tags: Mapping[str, str] = field(default_factory=dict)
    max_token_age: timedelta | None = None
    single_use: bool = False
    leeway: timedelta = timedelta(seconds=30)

    def __post_init__(self) -> None:
        require_web_origin(self.issuer, allow_http=self.allow_http)
        origin(self.issuer)
        if "?" in self.issuer or len(self.issuer) > 255:
            raise ValueError(f"{self.issuer!r} is not an issuer: at most 255 characters and no query")
        if not self.audiences or "" in self.audiences:
            raise ValueError("an issuer needs at least one audience (client id), and none may be empty")
        if self.max_token_age is not None and self.max_token_age <= timedelta():
            raise ValueError("the maximum age of a token must be positive")


def peek_issuer(raw: str) -> str:
    """What a token says its issuer is, to choose the provider by; nothing is verified.

    Raises `ProofRejected` for what is not an ID token.
    """
    return parse(raw).issuer


class OidcProvider:
    """A `Verifier[IdToken]`."""

    def __init__(
        self,
        config: OidcConfig,
        *,
        once: Once,
        now: Now,
        key_sets: KeySets | None = None,
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        """`key_sets`: those of the process; or `session`, for one that this provider does not share.

        Raises `ValueError` for an unusable key set, `OSError` or `ssl.SSLError` for an unusable CA file.
        """
        self.config = config
        self._once = once
        self._now = now
        self._prefix = config.issuer.partition("://")[2]
        self._own = KeySets(session) if session is not None else None
        self._keys: KeySet
        sets = key_sets if key_sets is not None else self._own
        if config.jwks is not None:
            self._keys = FixedKeySet(config.jwks)
        elif sets is not None:
            self._keys = sets.of(config.issuer, ca_file=config.ca_file, allow_http=config.allow_http)
        else:
            raise ValueError("an issuer's keys are fixed or fetched; nothing is given to fetch them by")

    async def verify(self, proof: IdToken) -> Identity:
        """The checks in AWS's order: form, issuer, key and signature, times, audience, claims; single use last.

        Raises `ProofRejected`, `ProofExpired`, `ProviderUnavailable`, and what `Once` raises.
        """
        token = parse(proof.raw)
        if token.issuer != self.config.issuer:
            raise ProofRejected("The ID Token was issued by another identity provider.", reason="issuer")
        await self._require_signature(token)
        self._require_time(token)
        audience = self._audience(token)
        identity = self._identity(token, audience)
        if self.config.single_use:
            await self._require_first_use(token)
        return identity

    async def close(self) -> None:
        """Stop refreshing keys that are not shared."""
        if self._own is not None:
            await self._own.close()

    async def _require_signature(self, token: UnverifiedToken) -> None:
        key = await self._keys.find(token.key_id, token.algorithm)
        if not signed_with(key, token.signing_input, token.signature):
            raise ProofRejected("The signature of the ID Token is not valid.", reason="signature")

    def _require_time(self, token: UnverifiedToken) -> None:
        now, leeway = self._now().timestamp(), self.config.leeway.total_seconds()
        if now >= token.expires_at + leeway:
            raise ProofExpired(
                f"Token expired: current date/time {int(now)} must be before the expiration date/time "
                f"{int(token.expires_at)} (the token expired at {_iso(token.expires_at)} and it is now {_iso(now)})",
                reason="expired",
            )
        valid_from = max(token.issued_at, token.not_before or 0)
        if now < valid_from - leeway:
            raise ProofRejected(
                f"The ID Token is not yet valid: it is valid from {_iso(valid_from)} and it is now {_iso(now)}.",
                reason="not_yet_valid",
            )
        if self.config.max_token_age is not None:
            oldest = now - leeway - self.config.max_token_age.total_seconds()
            if token.issued_at <= oldest:
                raise ProofExpired(
                    f"Token expired: it was issued at {_iso(token.issued_at)}, too long ago, and it is now {_iso(now)}",
                    reason="too_old",
                )

    def _audience(self, token: UnverifiedToken) -> str:
        presented = token.audiences if token.authorized_party is None else (token.authorized_party,)
        for audience in presented:
            if audience in self.config.audiences:
                return audience
        raise ProofRejected(
            f"Incorrect token audience: the token is for {shown(', '.join(presented))}", reason="audience"
        )

    def _identity(self, token: UnverifiedToken, audience: str) -> Identity:
        claims = token.unverified_claims
        flat = flatten(claims)
        attributes, multivalued = condition_keys(
            self._prefix, flat, audience=token.audiences, authorized_party=token.authorized_party
        )
        tags, transitive = session_tags(claims, flat, self.config.session_tags)
        since = token.authenticated_at if token.authenticated_at is not None else token.issued_at
        return Identity(
            issuer=token.issuer,
            subject=token.subject,
            audience=audience,
            methods=methods(claims),
            authenticated_at=datetime.fromtimestamp(since, UTC),
            expires_at=datetime.fromtimestamp(token.expires_at, UTC),
            attributes=attributes,
            multivalued=multivalued,
            carried=tuple(key for name in _CARRIED if (key := f"{self._prefix}:{name}") in attributes),
            session_tags=tags,
            transitive_tag_keys=transitive,
            source_identity=source_identity(claims),
        )

    async def _require_first_use(self, token: UnverifiedToken) -> None:
        # Without a jti what was signed is hashed, not the signature: an ECDSA signature has two valid forms.
        mark = token.token_id.encode() if token.token_id is not None else b"\0" + token.signing_input
        ends = token.expires_at
        if self.config.max_token_age is not None:
            ends = min(ends, token.issued_at + self.config.max_token_age.total_seconds())
        first = await self._once.claim(
            "oidc",
            hashlib.sha256(token.issuer.encode() + b"\0" + mark).hexdigest(),
            issued_at=datetime.fromtimestamp(token.issued_at, UTC),
            until=datetime.fromtimestamp(ends, UTC) + self.config.leeway,
        )
        if not first:
            raise ProofRejected("The ID Token was used before; get a new one.", reason="replayed")


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
