"""The signing keys: published before use, current, then retired; shared by every process through the store.

Invariants:
1. All keys stand in one record, changed by compare-and-swap only: processes never disagree for longer than one
   refresh.
2. A key signs from its `active_from` until its successor's. A successor is recorded at least `PROPAGATION` ahead, so
   every process has read it before it signs; only `replace` does not wait.
3. A retired key stays published for as long as a token that it signed may live, and can tell an expired token from an
   unknown one for a day longer.
4. Private keys rest sealed under the master key. Keys that cannot be opened are never made anew, save by `replace`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from broker.clock import Now
from broker.sealing import MasterKeys, SealBroken, sealed_under
from broker.sessions.model import MAXIMUM_LIFETIME
from broker.sessions.signing_key import GENERATORS, KeyRecord, SigningKey, made, opened, resealed
from broker.stores.contract import Store, StoreUnavailable

PROPAGATION = timedelta(seconds=15)
"""How long a new key is recorded before it signs: three refreshes."""
REFRESH_EVERY = timedelta(seconds=5)
PUBLISHED_AHEAD = timedelta(minutes=15)
"""A scheduled successor is published this long before it signs, longer than key sets are cached."""
EXPIRED_KNOWN_FOR = timedelta(hours=24)
SESSION_ALGORITHM = "ES256"

_RECORD = "signing-keys"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[KeyRecord]).decode

log = logging.getLogger(__name__)


class KeysUnavailable(Exception):
    """There is no usable signing key; the message says why."""


class Keyring:
    """The signing keys as of the last refresh. One instance a process; `refresh` runs in the background.

    Also the `SealedRecords` of their one record.
    """

    kind: Final = "signing keys"
    essential: Final = True

    def __init__(self, store: Store, masters: MasterKeys, *, now: Now, rotate_every: timedelta) -> None:
        self._store = store
        self._masters = masters
        self._now = now
        self._rotate_every = rotate_every
        self._raw: bytes | None = None
        self._keys: tuple[SigningKey, ...] = ()
        self._by_kid: dict[str, SigningKey] = {}
        self._sessions_from: int | None = None
        self._problem: str | None = "the signing keys have not been read yet"

    @property
    def algorithms(self) -> list[str]:
        """What the keys sign with."""
        return list(GENERATORS)

    @property
    def problem(self) -> str | None:
        """Why nothing can be signed, here or after the next start, or None where all is well."""
        return self._problem

    @property
    def sessions_from(self) -> int:
        """Sessions issued before this, in seconds since 1970, were all ended in an emergency; 0 where there was none.

        Raises:
            StoreUnavailable: it is not known yet.
        """
        if self._sessions_from is None:
            raise StoreUnavailable("the signing keys have not been read yet")
        return self._sessions_from

    def current(self, alg: str = SESSION_ALGORITHM) -> SigningKey:
        """The key that signs now. Raises `KeysUnavailable`."""
        now = self._now()
        for key in reversed(self._keys):
            if key.alg == alg and key.active_from <= now:
                return key
        raise KeysUnavailable(self._problem or f"no {alg} key signs yet")

    def verifying(self, kid: str) -> SigningKey | None:
        """A key by its id: next, current or retired."""
        return self._by_kid.get(kid)

    def published(self) -> Sequence[SigningKey]:
        """Every key that a living token may be signed with, and those that are about to sign."""
        now = self._now()
        return [key for key in self._keys if key.retired_at is None or now < key.retired_at + MAXIMUM_LIFETIME]

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The published keys as a JWK Set (RFC 7517 §5)."""
        return {"keys": [{**key.jwk, "use": "sig", "alg": key.alg, "kid": key.kid} for key in self.published()]}

    async def refresh(self) -> None:
        """Read the record; make first keys where there are none, successors where they are due, drop the outlived.

        Raises:
            StoreUnavailable: the keys read before stay in use.
        """
        for _ in range(5):
            raw = await self._store.get(_RECORD)
            records = await self._adopt(raw)
            if records is None:
                return
            wanted = await self._due(records)
            if wanted == records:
                return
            encoded = _encode(wanted)
            if await self._store.swap(_RECORD, raw, encoded):
                await self._adopt(encoded)
                return
        raise StoreUnavailable("the signing keys are being changed by others without end")

    async def rotate(self) -> None:
        """Record successors that sign from `PROPAGATION` on. Raises `StoreUnavailable`, `KeysUnavailable`."""
        fresh = [await self._make(alg, self._now() + PROPAGATION) for alg in GENERATORS]
        for _ in range(5):
            raw = await self._store.get(_RECORD)
            records = await self._adopt(raw)
            if records is None:
                raise KeysUnavailable(self._problem)
            if await self._record(raw, sorted([*records, *fresh], key=lambda record: record.active_from)):
                return
        raise StoreUnavailable("the signing keys are being changed by others without end")

    async def replace(self, *, until_known: timedelta) -> None:
        """Drop every key, published ones too, for new ones that sign at once: nothing signed before verifies offline.

        Every session issued before now, and for the time `until_known` from now on, is ended with them, wherever it is
        filed. For an emergency: the other processes go on with the old keys for `REFRESH_EVERY` at most. Keys that
        cannot be opened are dropped like others. Raises `StoreUnavailable`.
        """
        fresh = [await self._make(alg, self._now()) for alg in GENERATORS]
        for _ in range(5):
            raw = await self._store.get(_RECORD)
            ended = int((self._now() + until_known).timestamp())
            if await self._record(raw, [msgspec.structs.replace(record, sessions_from=ended) for record in fresh]):
                return
        raise StoreUnavailable("the signing keys are being changed by others without end")

    async def keys(self) -> AsyncIterator[Sequence[str]]:
        yield [_RECORD]

    def masters(self, record: bytes) -> Sequence[str]:
        return [sealed_under(each.sealed) for each in _decode(record)]

    def resealed(self, record: bytes) -> bytes:
        return _encode([resealed(each, self._masters) for each in _decode(record)])

    async def _record(self, raw: bytes | None, wanted: Sequence[KeyRecord]) -> bool:
        """Put `wanted` in the place of `raw`, durably, and in use; False where something else stands there."""
        encoded, before = _encode(wanted), self._store.moment()
        if not await self._store.swap(_RECORD, raw, encoded):
            return False
        await self._store.durable(since=before)
        await self._adopt(encoded)
        return True

    async def keep_fresh(self) -> None:
        """Refresh for ever; a store that does not answer is tried again."""
        while True:
            try:
                await self.refresh()
            except StoreUnavailable:
                if not self._keys:
                    self._problem = "the signing keys cannot be read from the store"
            await asyncio.sleep(REFRESH_EVERY.total_seconds())

    async def _adopt(self, raw: bytes | None) -> list[KeyRecord] | None:
        """The records in `raw`, made ready for use. None where they cannot be opened; then nothing is signed.

        What was opened before stays in use when its master key is no longer configured; the problem is told already.
        """
        if raw is None:
            return []
        try:
            records = _decode(raw)
            self._sessions_from = max((record.sessions_from for record in records), default=0)
            keys = self._keys if raw == self._raw else await asyncio.to_thread(self._open, records)
        except (SealBroken, msgspec.MsgspecError) as error:
            self._keys, self._by_kid, self._raw = (), {}, None
            self._tell(f"the signing keys cannot be opened: {error}")
            return None
        self._keys, self._by_kid, self._raw = keys, {key.kid: key for key in keys}, raw
        try:
            for record in records:
                self._masters.require(sealed_under(record.sealed))
        except SealBroken as error:
            self._tell(f"the signing keys cannot be opened at the next start: {error}")
        else:
            self._problem = None
        return records

    def _tell(self, problem: str) -> None:
        if problem != self._problem:
            log.error("%s", problem)
        self._problem = problem

    def _open(self, records: Sequence[KeyRecord]) -> tuple[SigningKey, ...]:
        known = self._by_kid
        ready = []
        for position, record in enumerate(records):
            successor = next((later for later in records[position + 1 :] if later.alg == record.alg), None)
            before = known.get(record.kid)
            if before is None:
                private_key, public_key = opened(record, self._masters)
            else:
                private_key, public_key = before.private, before.public
            ready.append(
                SigningKey(
                    kid=record.kid,
                    alg=record.alg,
                    active_from=_instant(record.active_from, self._now()),
                    created_at=_instant(record.created_at, self._now()),
                    retired_at=None if successor is None else _instant(successor.active_from, self._now()),
                    jwk=record.jwk,
                    private=private_key,
                    public=public_key,
                )
            )
        return tuple(ready)

    async def _due(self, records: Sequence[KeyRecord]) -> list[KeyRecord]:
        now = self._now()
        outlived = MAXIMUM_LIFETIME + EXPIRED_KNOWN_FOR
        kept = []
        for position, record in enumerate(records):
            successor = next((later for later in records[position + 1 :] if later.alg == record.alg), None)
            if successor is None or now.timestamp() < successor.active_from + outlived.total_seconds():
                kept.append(record)
        for alg in GENERATORS:
            newest = max((record.active_from for record in kept if record.alg == alg), default=None)
            if newest is None:
                kept.append(await self._make(alg, now))
            elif now.timestamp() >= newest + self._rotate_every.total_seconds() - PUBLISHED_AHEAD.total_seconds():
                at = max(now + PROPAGATION, now + min(PUBLISHED_AHEAD, self._rotate_every / 2))
                kept.append(await self._make(alg, at))
        return sorted(kept, key=lambda record: record.active_from)

    async def _make(self, alg: str, active_from: datetime) -> KeyRecord:
        return await asyncio.to_thread(made, alg, self._masters, created_at=self._now(), active_from=active_from)


def _instant(seconds: int, like: datetime) -> datetime:
    return datetime.fromtimestamp(seconds, like.tzinfo)
