"""Security keys of people: one record a person in the store, read whenever it is asked for and changed as a whole.

So every gateway sees a change at once, and of two changes made at the same time one is refused: no limit, and no rule
about the first key, can be got round by a race. What a key signs with never leaves it; nothing here is secret.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from broker.clock import Now
from broker.directory.model import LdapProvider, User
from broker.ids import Random
from broker.stores.contract import Store, StoreUnavailable

_HANDLE_BYTES = 32
_ID_BYTES = 16  # 26 characters of base32, as in AWS's ARNs
_IN_USERS, _IN_PROVIDERS = ":u2f/user/", ":u2f/ldap-provider/"


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whose keys. `place`: the ARN that those of the keys begin with. `unique_id`: of a user of ours, else empty."""

    account: str
    place: str
    unique_id: str = ""

    @classmethod
    def user(cls, user: User) -> "KeyHolder":
        """A user of ours, not one who had the name before; the place is as AWS's, `…:u2f/user/alice`."""
        return cls(user.account, user.arn.replace(":user/", _IN_USERS, 1), user.unique_id)

    @classmethod
    def person(cls, provider: LdapProvider, subject: str) -> "KeyHolder":
        """Whom a directory knows by `subject`, which stands in the place as a hash: it may hold what no ARN can."""
        place = provider.arn.replace(":ldap-provider/", _IN_PROVIDERS, 1)
        digest = base64.b32encode(hashlib.sha256(subject.encode()).digest()).decode("ascii")
        return cls(provider.account, f"{place}/{digest[:26]}")

    @classmethod
    def of_directory(cls, account: str, serial_number: str) -> "KeyHolder | None":
        """The person of a directory of the account who has the key, where it can be one of such a person."""
        place, _, _ = serial_number.rpartition("/")
        _, separator, _ = place.partition(f"::{account}{_IN_PROVIDERS}")
        return cls(account, place) if separator else None


class SecurityKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A registered credential (WebAuthn Level 3 §4). Times are seconds since 1970. `serial_number`: its ARN."""

    serial_number: str
    name: str
    credential_id: bytes
    public_key: bytes
    aaguid: bytes
    sign_count: int
    backup_eligible: bool
    created: float
    transports: tuple[str, ...] = ()
    last_used: float | None = None

    @property
    def created_at(self) -> datetime:
        """UTC."""
        return datetime.fromtimestamp(self.created, UTC)

    @property
    def last_used_at(self) -> datetime | None:
        """UTC; None for a key that was never used."""
        return None if self.last_used is None else datetime.fromtimestamp(self.last_used, UTC)


class KeyRing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A person's keys. `user_handle`: random, names the person to the keys. `version`: 0 while it is not stored."""

    place: str
    unique_id: str
    user_handle: bytes
    version: int = 0
    keys: tuple[SecurityKey, ...] = ()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(KeyRing).decode


class SecurityKeys:
    """Reads and writes the records. Every verb may raise `StoreUnavailable`."""

    def __init__(self, store: Store, *, now: Now, random: Random) -> None:
        self._store = store
        self._now = now
        self._random = random

    async def ring(self, holder: KeyHolder) -> KeyRing:
        """The person's keys; a new ring for who never had one."""
        raw = await self._store.get(_key(holder.place, holder.unique_id))
        if raw is None:
            return KeyRing(place=holder.place, unique_id=holder.unique_id, user_handle=self._random(_HANDLE_BYTES))
        try:
            return _decode(raw)
        except msgspec.MsgspecError as error:
            raise StoreUnavailable("the record of somebody's security keys cannot be read") from error

    def new_serial_number(self, ring: KeyRing, name: str) -> str:
        """The ARN of a new key."""
        return f"{ring.place}/{name}-{base64.b32encode(self._random(_ID_BYTES)).decode('ascii').rstrip('=')}"

    async def replace(self, ring: KeyRing, keys: Sequence[SecurityKey]) -> bool:
        """Give the ring other keys, durably; False where it is no longer as it was read, and nothing was changed."""
        before = self._store.moment()
        if not await self._swap(ring, keys):
            return False
        await self._store.durable(since=before)
        return True

    async def used(self, ring: KeyRing, key: SecurityKey, sign_count: int) -> bool:
        """Remember what the key counts to, safe against a fail-over on return; False as in `replace`."""
        after = msgspec.structs.replace(key, sign_count=sign_count, last_used=self._now().timestamp())
        if not await self._swap(ring, [after if each == key else each for each in ring.keys]):
            return False
        if (await self._store.epoch()).replicated:
            await self._store.durable(fsync=False)
        return True

    async def _swap(self, ring: KeyRing, keys: Sequence[SecurityKey]) -> bool:
        changed = msgspec.structs.replace(ring, version=ring.version + 1, keys=tuple(keys))
        before = _encode(ring) if ring.version else None
        return await self._store.swap(_key(ring.place, ring.unique_id), before, _encode(changed))


def _key(place: str, unique_id: str) -> str:
    return f"entry:keys:{hashlib.sha256(f'{place} {unique_id}'.encode()).hexdigest()[:40]}"
