"""A signed request, or a bearer token, becomes a caller: key, token, expiry, owner, signature, in AWS's order.

Nothing that the request says is believed before the signature matched. An unknown access key costs what a known
one does: its signature is checked against a secret that nobody has.
"""

import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple

from broker.clock import Now
from broker.directory.model import Snapshot
from broker.errors import ExpiredToken, InvalidClientTokenId, SignatureDoesNotMatch
from broker.flows.caller import Caller, federated_caller, role_caller, root_caller, user_caller
from broker.ids import TEMPORARY
from broker.sessions.model import Session, SessionKind, TokenUse
from broker.sessions.sessions import Sessions
from broker.sessions.token import unverified_key_id
from broker.sigv4 import (
    AWS,
    S3,
    HttpRequest,
    PresentedSignature,
    Rules,
    SigningKeys,
    check_scope,
    check_time,
    matches,
    present,
    signing_key,
)
from broker.sigv4.signature import payload_hash

_NOBODYS_SECRET = secrets.token_urlsafe(30)


class _Shown(NamedTuple):
    """A request with the signature that it presents, and the rules by which that is to be read."""

    request: HttpRequest
    presented: PresentedSignature
    payload_sha256: str
    rules: Rules

    def signed_with(self, key: bytes) -> bool:
        """Whether `key` made the signature."""
        return matches(self.request, self.presented, self.payload_sha256, key, self.rules)


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Verifies signed requests. `signing_keys` caches derived keys across requests."""

    sessions: Sessions
    signing_keys: SigningKeys
    now: Now

    async def verify(
        self,
        request: HttpRequest,
        *,
        payload_sha256: str,
        snapshot: Snapshot,
        services: Collection[str],
        noted: Callable[[PresentedSignature], None],
    ) -> Caller:
        """The caller who signed `request`.

        `noted` is told the signature as presented, for the audit trail, before anything is decided.

        Raises:
            MissingAuthenticationToken, IncompleteSignature, SignatureDoesNotMatch, InvalidClientTokenId, ExpiredToken:
                as STS answers them.
            StoreUnavailable: a session could not be looked up.
        """
        presented = present(request)
        noted(presented)
        check_time(presented, self.now())
        check_scope(presented, services=services, regions=snapshot.settings.sts.regions)
        return await self._by_key(_Shown(request, presented, payload_sha256, AWS), snapshot)

    async def verify_for_others(
        self,
        request: HttpRequest,
        *,
        payload_sha256: str,
        snapshot: Snapshot,
        noted: Callable[[PresentedSignature], None],
    ) -> tuple[Caller, bool]:
        """Who signed a request that was sent to somebody else, and whether the signature covers its payload.

        Any service and region may stand in the scope; S3's rules are for `s3` alone. A presigned request lives as long
        as it says, save one for STS. As S3 demands, no `x-amz-` header is taken that was not signed: whoever passes a
        request on could have added it.

        Raises:
            MissingAuthenticationToken, IncompleteSignature, MalformedQueryString, SignatureDoesNotMatch,
            InvalidClientTokenId, ExpiredToken: as `verify`.
            StoreUnavailable: a session could not be looked up.
        """
        presented = present(request)
        noted(presented)
        check_time(presented, self.now(), honour_expires=presented.service != "sts")
        check_scope(presented, services=())
        unsigned = [
            name for name in request.values if name.startswith("x-amz-") and name not in presented.signed_headers
        ]
        if unsigned:
            raise SignatureDoesNotMatch(
                "There were headers present in the request which were not signed: " + ", ".join(sorted(unsigned)[:10])
            )
        rules = S3 if presented.service == "s3" else AWS
        caller = await self._by_key(_Shown(request, presented, payload_sha256, rules), snapshot)
        return caller, payload_hash(presented, payload_sha256, rules) == payload_sha256

    async def _by_key(self, shown: _Shown, snapshot: Snapshot) -> Caller:
        if shown.presented.access_key_id.startswith(TEMPORARY):
            return await self._by_session(shown, snapshot)
        return self._by_long_term_key(shown, snapshot)

    async def bearer(self, presented: str, snapshot: Snapshot) -> Caller:
        """The holder of a bearer session token; one that is bound to signatures proves nothing here.

        Raises:
            InvalidClientTokenId, ExpiredToken: as for a signed request.
            StoreUnavailable: the session could not be looked up.
        """
        key_id = unverified_key_id(presented)
        if key_id is None:
            raise InvalidClientTokenId
        session = await self._session(key_id, presented, TokenUse.BEARER)
        caller = caller_of(snapshot, session)
        if caller is None:
            raise InvalidClientTokenId
        self.sessions.usage.note(session)
        return caller

    def _by_long_term_key(self, shown: _Shown, snapshot: Snapshot) -> Caller:
        presented = shown.presented
        key = snapshot.access_key(presented.access_key_id)
        user = snapshot.user(key.user_arn) if key is not None else None
        if key is None or user is None or not key.active:
            nobodys = signing_key(_NOBODYS_SECRET, presented.date, presented.region, presented.service)
            shown.signed_with(nobodys)
            raise InvalidClientTokenId
        self._require_match(shown, key.secret)
        if presented.session_token is not None:
            raise InvalidClientTokenId
        return user_caller(snapshot, user, key.access_key_id)

    async def _by_session(self, shown: _Shown, snapshot: Snapshot) -> Caller:
        key_id, session_token = shown.presented.access_key_id, shown.presented.session_token
        if session_token is None:
            raise InvalidClientTokenId
        session = await self._session(key_id, session_token, TokenUse.SIGV4)
        secret = self.sessions.signing_secret(session)
        caller = caller_of(snapshot, session)
        if secret is None or caller is None:
            raise InvalidClientTokenId
        self._require_match(shown, secret)
        self.sessions.usage.note(session)
        return caller

    async def _session(self, key_id: str, token: str, use: TokenUse) -> Session:
        """The living session whose token this is, for this use."""
        session = await self.sessions.load(key_id)
        if session is None:
            if self.sessions.expired(key_id, token):
                raise ExpiredToken
            raise InvalidClientTokenId
        if not self.sessions.holds(session, token) or session.use is not use:
            raise InvalidClientTokenId
        return session

    def _require_match(self, shown: _Shown, secret: str) -> None:
        if not shown.signed_with(self.signing_keys.derive(secret, shown.presented)):
            raise SignatureDoesNotMatch


def caller_of(snapshot: Snapshot, session: Session) -> Caller | None:
    """The caller of a living session, or None where its role, user or account is gone (or another one of that name)."""
    if session.kind is SessionKind.ASSUMED_ROLE:
        role = snapshot.role(session.principal_arn)
        if role is None or role.unique_id != session.principal_id:
            return None
        return role_caller(snapshot, role, session)
    if session.kind is SessionKind.ROOT:
        return root_caller(snapshot, session) if snapshot.account(session.principal_id) is not None else None
    user = snapshot.user(session.principal_arn)
    if user is None or user.unique_id != session.principal_id:
        return None
    if session.kind is SessionKind.FEDERATED_USER:
        return federated_caller(snapshot, user, session)
    return user_caller(snapshot, user, session.access_key_id, session)
