"""Mint, load, list and revoke sessions. A session is valid if and only if its record exists and its time is not over.

The secret access key is derived (HMAC) from a master key, the record's random nonce and the access key id, so that a
copy of the whole store yields no usable credential; of the token only a hash is kept. The record is sealed, so that
writing to the store makes no session, and no other one of a session.

A revocation never un-happens: in the record's place stands a tombstone for the rest of its time, so that nothing can
be written there again, and success is told only when the tombstone is durable. Index entries go last: whoever must
try a revocation again finds its sessions again.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import timedelta

import msgspec

from broker.clock import Now
from broker.ids import TEMPORARY, Random, access_key_id
from broker.sealing import MasterKeys, SealBroken
from broker.sessions import indexes, token
from broker.sessions.keyring import Keyring, KeysUnavailable
from broker.sessions.model import Credentials, Grant, Minted, Session
from broker.sessions.usage import Usage
from broker.stores.contract import Moment, Store, StoreUnavailable

_NONCE_BYTES = 16
_PURPOSE = "secret access key"
_RECORD = "session record"
_PAGE = 200
_DRAWS = 8
"""An access key id has 39 random bits: eight collisions in a row do not happen by chance."""
_TOMBSTONE = b""
"""What stands for a revoked session; no record is empty."""
_BRIEFEST = 0.001
"""Seconds that the record stays of a session which is over when it begins: `DurationSeconds` may be 0."""
_SKEW = 60
"""Seconds that a tombstone outlasts its session, so that clocks that differ find no gap between them."""

Position = tuple[float, str]
"""A place in an index: score and access key id."""

log = logging.getLogger(__name__)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Session).decode


class Sessions:
    """The sessions in the store. `usage`: when they were last used.

    `on_replicas`: credentials are handed out only when the replicas that are up have their session too.
    """

    def __init__(
        self,
        store: Store,
        keyring: Keyring,
        masters: MasterKeys,
        *,
        issuer: str,
        now: Now,
        random: Random,
        on_replicas: bool = False,
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._masters = masters
        self._issuer = issuer
        self._now = now
        self._random = random
        self._on_replicas = on_replicas
        self.usage = Usage(store, now)

    async def mint(self, grant: Grant, *, principal_tags: Mapping[str, str]) -> Minted:
        """Make credentials for what was granted and record them. Only the flows that decided may call this.

        Raises:
            StoreUnavailable, KeysUnavailable: nothing was minted.
        """
        if grant.issued_at < self._keyring.sessions_from:
            raise KeysUnavailable("every session is being ended in an emergency; a new one would end with them")
        master_id = self._masters.current_id
        for _ in range(_DRAWS):
            key_id = access_key_id(TEMPORARY, grant.account, self._random)
            session_token = token.sign(grant, key_id, principal_tags, issuer=self._issuer, keyring=self._keyring)
            session = Session(
                **msgspec.structs.asdict(grant),
                access_key_id=key_id,
                master_id=master_id,
                nonce=self._random(_NONCE_BYTES),
                token_sha256=hashlib.sha256(session_token.encode("ascii")).digest(),
            )
            lifetime = timedelta(seconds=max(grant.expires_at - self._now().timestamp(), _BRIEFEST))
            record = self._masters.seal(_RECORD, _encode(session), bound_to=key_id.encode("ascii"))
            before = self._store.moment()
            if await self._store.add(_key(key_id), record, ttl=lifetime, indexes=indexes.entries(session)):
                if self._on_replicas:
                    await self._replicated(session, before)
                credentials = Credentials(key_id, self.secret(session), session_token, session.expiration)
                return Minted(session, credentials)
        raise StoreUnavailable("no free access key id was found")

    async def load(self, key_id: str) -> Session | None:
        """The living session of an access key id, else None.

        Raises:
            StoreUnavailable: there is no answer, or a record that this version cannot read.
        """
        session = await self._recorded(key_id)
        return None if session is None or session.issued_at < self._keyring.sessions_from else session

    def secret(self, session: Session) -> str:
        """The secret access key: 40 characters. Raises `SealBroken` where its master key is no longer configured."""
        message = session.nonce + session.access_key_id.encode("ascii")
        digest = self._masters.mac(_PURPOSE, message, master_id=session.master_id)
        return base64.b64encode(digest[:30]).decode("ascii")

    def signing_secret(self, session: Session) -> str | None:
        """As `secret`; None where it cannot be derived any more, which the log tells."""
        try:
            return self.secret(session)
        except SealBroken as error:
            log.warning("session %s is refused: %s", session.access_key_id, error)
            return None

    def holds(self, session: Session, presented_token: str) -> bool:
        """Whether `presented_token` is the session's own, compared in constant time."""
        presented = hashlib.sha256(presented_token.encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(presented, session.token_sha256)

    def expired(self, key_id: str, presented_token: str) -> bool:
        """Whether the token was ours, for this access key, and its time is over."""
        return token.expired(presented_token, key_id, issuer=self._issuer, keyring=self._keyring, now=self._now())

    async def page(
        self, index: str, *, after: Position | None = None, limit: int = _PAGE
    ) -> tuple[Sequence[Session], Position | None]:
        """The living sessions among the next `limit` entries of an index (`broker.sessions.indexes`), newest first.

        The position of the last entry goes into the next call; None where the index is at its end.
        """
        entries = await self._store.members(index, after=after, limit=limit)
        loaded = await asyncio.gather(*(self.load(key_id) for _, key_id in entries))
        last = entries[-1] if len(entries) == limit else None
        return [session for session in loaded if session is not None], last

    async def of_provider(self, provider_arn: str) -> AsyncIterator[Session]:
        """The living sessions that began with an identity of this provider, newest first."""
        after: Position | None = None
        while True:
            found, after = await self.page(indexes.of_provider(provider_arn), after=after)
            for session in found:
                if session.federated_provider == provider_arn:
                    yield session
            if after is None:
                return

    async def revoke(self, sessions: Sequence[Session]) -> None:
        """Their credentials are worth nothing from now on, everywhere; durable on return, also where there are none.

        Raises:
            StoreUnavailable: some or all of them may live on; try again.
        """
        before = self._store.moment()
        for start in range(0, len(sessions), _PAGE):
            await asyncio.gather(*(self._bury(session) for session in sessions[start : start + _PAGE]))
        await self._store.durable(since=before)
        with contextlib.suppress(StoreUnavailable):  # what is not trimmed now is ignored, and expires
            await self._unfile(sessions)

    async def end_all(self, accounts: Iterable[str]) -> int:
        """End every session of these accounts for good, behind `Keyring.replace`, which has done so already; how many.

        As no record counts any more, index entries need not wait until the tombstones are durable.

        Raises:
            StoreUnavailable: some or all of them are still on record.
        """
        ended, before = 0, self._store.moment()
        for account in accounts:
            after: Position | None = None
            while page := await self._store.members(indexes.of_account(account), after=after, limit=_PAGE):
                found = await asyncio.gather(*(self._recorded(key_id) for _, key_id in page))
                sessions = [session for session in found if session is not None]
                await asyncio.gather(*(self._bury(session) for session in sessions))
                await self._unfile(sessions)
                ended, after = ended + len(sessions), page[-1]
        await self._store.durable(since=before)
        return ended

    async def revoked(self, key_id: str) -> bool:
        """Whether the session of an access key id was revoked, durably on return. Raises `StoreUnavailable`."""
        before = self._store.moment()
        if await self._store.get(_key(key_id)) != _TOMBSTONE:
            return False
        await self._store.durable(since=before)
        return True

    async def discard(self, session: Session) -> None:
        """Remove a session whose credentials were never handed out."""
        await self._store.delete(_key(session.access_key_id))
        await self._unfile([session])

    async def _recorded(self, key_id: str) -> Session | None:
        raw = await self._store.get(_key(key_id))
        if not raw:
            return None
        try:
            session = _decode(self._masters.open(_RECORD, raw, bound_to=key_id.encode("ascii")))
        except SealBroken as error:
            log.warning("session %s is refused: %s", key_id, error)
            return None
        except msgspec.MsgspecError as error:
            raise StoreUnavailable(
                "the record of a session cannot be read; a later version may have made it"
            ) from error
        return session if session.expires_at > self._now().timestamp() else None

    async def _replicated(self, session: Session, since: Moment) -> None:
        """Return when the replicas have the session; otherwise it is taken back, and `StoreUnavailable` raised."""
        try:
            await self._store.durable(since=since, fsync=False, every=True)
        except StoreUnavailable:
            with contextlib.suppress(StoreUnavailable):  # nobody has its credentials
                await self.discard(session)
            raise

    async def _unfile(self, sessions: Sequence[Session]) -> None:
        for start in range(0, len(sessions), _PAGE):
            filed: dict[str, list[str]] = {}
            for session in sessions[start : start + _PAGE]:
                for entry in indexes.entries(session):
                    filed.setdefault(entry.index, []).append(entry.member)
            await asyncio.gather(*(self._store.unfile(index, members) for index, members in filed.items()))

    async def _bury(self, session: Session) -> None:
        left = session.expires_at - self._now().timestamp()
        if left > 0:
            await self._store.put(_key(session.access_key_id), _TOMBSTONE, ttl=timedelta(seconds=left + _SKEW))


def _key(key_id: str) -> str:
    return f"session:{key_id}"
