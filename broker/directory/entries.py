"""Entries that are made through the IAM API: versioned records in the store. So far they are virtual MFA devices.

A record is read from the store whenever it is asked for, so every gateway sees a change at once. Who has a device is
what the device's own record says; the indexes only help to find it. A seed that is sealed anew under another master
key is no change of its device: whoever changes this at the same time goes on with the seed as it is now.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from broker.clock import Now
from broker.directory.generate import mfa_seed
from broker.directory.model import User
from broker.ids import Random
from broker.sealing import MasterKeys, SealBroken, sealed_under
from broker.stores.contract import IndexEntry, Store, StoreUnavailable

_SEED = "mfa seed"
_ALL = "entries:mfa"
_ID_BYTES = 16
_AT_ONCE = 200
_TRIES = 3
_FOR_GOOD = timedelta(days=36_500)  # index entries must have an end
# What stands in the place of a record that is being deleted; it ends by itself if its gateway does.
_DELETED, _DELETED_FOR = b"deleted", timedelta(seconds=10)


class EntryBusy(Exception):
    """Somebody else changed the entry at the same time; nothing was changed here."""


class MfaEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A virtual MFA device; `serial_number` is its ARN. Nobody has it where `user_arn` is None.

    Times are seconds since 1970. `unique_id`: another for each device that ever had the serial number.
    """

    serial_number: str
    account: str
    name: str
    path: str
    unique_id: str
    version: int
    created: float
    sealed_seed: bytes
    tags: dict[str, str] = {}
    user_arn: str | None = None
    user_id: str | None = None
    enabled: float | None = None

    @property
    def enabled_at(self) -> datetime | None:
        """Since when somebody has it, UTC."""
        return None if self.enabled is None else datetime.fromtimestamp(self.enabled, UTC)

    def belongs_to(self, user: User) -> bool:
        """Whether this very user has it, not one who had the name before."""
        return (self.user_arn, self.user_id) == (user.arn, user.unique_id)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(MfaEntry).decode


class Entries:
    """Reads and writes the records. Every verb may raise `StoreUnavailable`; what a verb wrote is durable.

    Also the `SealedRecords` of the seeds.
    """

    kind: Final = "seeds of MFA devices"
    essential: Final = False

    def __init__(self, store: Store, masters: MasterKeys, *, now: Now, random: Random) -> None:
        self._store = store
        self._masters = masters
        self._now = now
        self._random = random

    async def mfa_device(self, serial_number: str) -> MfaEntry | None:
        """The device of that serial number."""
        found = await self._load(_digest(serial_number))
        return found if found is not None and found.serial_number == serial_number else None

    async def mfa_devices(self, account: str) -> Sequence[MfaEntry]:
        """All devices of an account, in no order."""
        return [each for each in await self._listed(_of_account(account)) if each.account == account]

    async def mfa_devices_of(self, user: User) -> Sequence[MfaEntry]:
        """The devices that this user has, in no order."""
        return [each for each in await self._listed(_of_user(user)) if each.belongs_to(user)]

    async def create_mfa_device(
        self, serial_number: str, *, account: str, name: str, path: str, tags: Mapping[str, str]
    ) -> MfaEntry | None:
        """A new device with a new seed, or None where there is one of that serial number. Raises `EntryBusy`."""
        digest, unique_id = _digest(serial_number), self._random(_ID_BYTES).hex()
        seed = mfa_seed(self._random).encode("ascii")
        entry = MfaEntry(
            serial_number=serial_number,
            account=account,
            name=name,
            path=path,
            unique_id=unique_id,
            version=1,
            created=self._now().timestamp(),
            sealed_seed=self._masters.seal(_SEED, seed, bound_to=_bound(serial_number, unique_id)),
            tags=dict(tags),
        )
        names, ends = (_of_account(account), _ALL), self._now() + _FOR_GOOD
        filed = [IndexEntry(name, digest, entry.created, ends) for name in names]
        before = self._store.moment()
        if not await self._store.add(_key(digest), _encode(entry), indexes=filed):
            if await self._store.get(_key(digest)) == _DELETED:
                raise EntryBusy
            return None
        await self._store.durable(since=before)
        return entry

    def seed(self, entry: MfaEntry) -> str:
        """The seed in base32. Raises `StoreUnavailable` where it cannot be opened: its master key is not configured."""
        bound = _bound(entry.serial_number, entry.unique_id)
        try:
            return self._masters.open(_SEED, entry.sealed_seed, bound_to=bound).decode("ascii")
        except SealBroken as error:
            raise StoreUnavailable(f"the seed of {entry.serial_number} cannot be opened: {error}") from error

    async def assign(self, entry: MfaEntry, user: User) -> None:
        """Give the device to a user. Raises `EntryBusy`."""
        digest, now = _digest(entry.serial_number), self._now()
        index = IndexEntry(_of_user(user), digest, now.timestamp(), now + _FOR_GOOD)
        # First the way to find it: an index entry too many does no harm.
        await self._store.add(_link(user, digest), b"", indexes=[index])
        await self._change(entry, user_arn=user.arn, user_id=user.unique_id, enabled=now.timestamp())

    async def release(self, entry: MfaEntry, user: User) -> None:
        """Take the device from its user. Raises `EntryBusy`."""
        await self._change(entry, user_arn=None, user_id=None, enabled=None)
        digest = _digest(entry.serial_number)
        await self._store.delete(_link(user, digest))
        await self._store.unfile(_of_user(user), [digest])

    async def delete_mfa_device(self, entry: MfaEntry) -> None:
        """Remove a device that nobody has. Raises `EntryBusy`."""
        digest, before = _digest(entry.serial_number), self._store.moment()
        await self._replace(entry, lambda _: _DELETED, ttl=_DELETED_FOR)
        await self._store.unfile(_of_account(entry.account), [digest])
        await self._store.unfile(_ALL, [digest])
        await self._store.delete(_key(digest))
        await self._store.durable(since=before)

    async def _change(self, entry: MfaEntry, **changes: str | float | None) -> None:
        version, before = entry.version + 1, self._store.moment()
        await self._replace(entry, lambda now: _encode(msgspec.structs.replace(now, version=version, **changes)))
        await self._store.durable(since=before)

    async def _replace(
        self, entry: MfaEntry, replacement: Callable[[MfaEntry], bytes], *, ttl: timedelta | None = None
    ) -> None:
        """Put something in the place of the entry, made from it as it is now. Raises `EntryBusy`."""
        digest, expected = _digest(entry.serial_number), entry
        for _ in range(_TRIES):
            if await self._store.swap(_key(digest), _encode(expected), replacement(expected), ttl=ttl):
                return
            present = await self._load(digest)
            if present is None or msgspec.structs.replace(present, sealed_seed=entry.sealed_seed) != entry:
                break
            expected = present
        raise EntryBusy

    async def keys(self) -> AsyncIterator[Sequence[str]]:
        async for digests in self._pages(_ALL):
            yield [_key(digest) for digest in digests]

    def masters(self, record: bytes) -> Sequence[str]:
        return [] if record == _DELETED else [sealed_under(_decode(record).sealed_seed)]

    def resealed(self, record: bytes) -> bytes:
        entry = _decode(record)
        bound = _bound(entry.serial_number, entry.unique_id)
        sealed = self._masters.reseal(_SEED, entry.sealed_seed, bound_to=bound)
        return _encode(msgspec.structs.replace(entry, sealed_seed=sealed))

    async def _load(self, digest: str) -> MfaEntry | None:
        raw = await self._store.get(_key(digest))
        if raw is None or raw == _DELETED:
            return None
        try:
            return _decode(raw)
        except msgspec.MsgspecError as error:
            raise StoreUnavailable("the record of an MFA device cannot be read") from error

    async def _listed(self, index: str) -> list[MfaEntry]:
        found: list[MfaEntry] = []
        async for digests in self._pages(index):
            loaded = await asyncio.gather(*map(self._load, digests))
            found += (entry for entry in loaded if entry is not None)
        return found

    async def _pages(self, index: str) -> AsyncIterator[Sequence[str]]:
        after: tuple[float, str] | None = None
        while page := await self._store.members(index, after=after, limit=_AT_ONCE):
            yield [digest for _, digest in page]
            after = page[-1]


def _digest(text: str) -> str:
    """Callers' texts never stand in keys."""
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def _key(digest: str) -> str:
    return f"entry:mfa:{digest}"


def _link(user: User, digest: str) -> str:
    return f"entry:mfa-of:{_digest(user.arn)}:{digest}"


def _of_account(account: str) -> str:
    return f"entries:mfa:account:{account}"


def _of_user(user: User) -> str:
    return f"entries:mfa:user:{_digest(user.arn)}"


def _bound(serial_number: str, unique_id: str) -> bytes:
    return f"{serial_number}\0{unique_id}".encode()
