"""The signing keys: published before use, current, then retired; shared by every process through the store.

Invariants:
1. All keys stand in one record, changed by compare-and-swap only: processes never disagree for longer than one
   refresh.
2. A key signs from its `active_from` until its successor's. A successor is recorded at least `PROPAGATION` ahead, so
   every process has read it before it signs; only `replace` does not wait.
3. A retired key stays published for as long as a token that it signed may live, and can tell an expired token from an
   unknown one for a day longer.
4. Private keys rest sealed under the master key.
"""

import asyncio
import base64
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jose import jwk
from jose.backends.base import Key

from broker.clock import Now
from broker.sealing import MasterKeys, SealBroken
from broker.sessions.model import MAXIMUM_LIFETIME
from broker.stores.contract import Store, StoreUnavailable

PROPAGATION = timedelta(seconds=15)
"""How long a new key is recorded before it signs: three refreshes."""
REFRESH_EVERY = timedelta(seconds=5)
PUBLISHED_AHEAD = timedelta(minutes=15)
"""A scheduled successor is published this long before it signs, longer than key sets are cached."""
EXPIRED_KNOWN_FOR = timedelta(hours=24)
SESSION_ALGORITHM = "ES256"

_RECORD = "signing-keys"
_PURPOSE = "signing key"

log = logging.getLogger(__name__)


class KeysUnavailable(Exception):
    """There is no usable signing key; the message says why."""


class _Record(msgspec.Struct, frozen=True):
    kid: str
    alg: str
    created_at: int
    active_from: int
    jwk: dict[str, str]
    sealed: bytes


def _b64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


@lru_cache(maxsize=256)
def _header(alg: str, kid: str, token_type: str) -> str:
    return _b64url(json.dumps({"alg": alg, "kid": kid, "typ": token_type}, separators=(",", ":")).encode())


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key, ready for use. `retired_at`: when its successor began to sign, None while it has none."""

    kid: str
    alg: str
    active_from: datetime
    created_at: datetime
    retired_at: datetime | None
    jwk: Mapping[str, str]
    private: Key = field(repr=False)
    public: Key = field(repr=False)

    def sign(self, payload: bytes, token_type: str) -> str:
        """A compact JWS (RFC 7515 §7.1) of `payload`. ES256 takes some 30 µs, RS256 and ES384 about a millisecond."""
        signing_input = f"{_header(self.alg, self.kid, token_type)}.{_b64url(payload)}"
        return f"{signing_input}.{_b64url(self.private.sign(signing_input.encode('ascii')))}"


@dataclass(frozen=True, slots=True)
class _Generator:
    make: Callable[[], Any]
    public_jwk: Callable[[Any], dict[str, str]]


def _ec_jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    size = (key.curve.key_size + 7) // 8
    return {
        "kty": "EC",
        "crv": {"secp256r1": "P-256", "secp384r1": "P-384"}[key.curve.name],
        "x": _b64url(numbers.x.to_bytes(size)),
        "y": _b64url(numbers.y.to_bytes(size)),
    }


def _rsa_jwk(key: rsa.RSAPrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "n": _b64url(_unsigned(numbers.n)), "e": _b64url(_unsigned(numbers.e))}


def _unsigned(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)


GENERATORS: Mapping[str, _Generator] = {
    "ES256": _Generator(lambda: ec.generate_private_key(ec.SECP256R1()), _ec_jwk),
    "RS256": _Generator(lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048), _rsa_jwk),
    "ES384": _Generator(lambda: ec.generate_private_key(ec.SECP384R1()), _ec_jwk),
}
"""Algorithm to how its keys are made; every algorithm listed has a current key. Session tokens are signed with ES256,
tokens of GetWebIdentityToken with the others."""


def _thumbprint(public: Mapping[str, str]) -> str:
    """RFC 7638."""
    return _b64url(hashlib.sha256(json.dumps(public, sort_keys=True, separators=(",", ":")).encode()).digest())


class Keyring:
    """The signing keys as of the last refresh. One instance a process; `refresh` runs in the background."""

    def __init__(self, store: Store, masters: MasterKeys, *, now: Now, rotate_every: timedelta) -> None:
        self._store = store
        self._masters = masters
        self._now = now
        self._rotate_every = rotate_every
        self._raw: bytes | None = None
        self._keys: tuple[SigningKey, ...] = ()
        self._by_kid: dict[str, SigningKey] = {}
        self._problem = "the signing keys have not been read yet"

    @property
    def algorithms(self) -> list[str]:
        """What the keys sign with."""
        return list(GENERATORS)

    @property
    def problem(self) -> str | None:
        """Why nothing can be signed, or None where all is well."""
        return None if self._keys else self._problem

    def current(self, alg: str = SESSION_ALGORITHM) -> SigningKey:
        """The key that signs now. Raises `KeysUnavailable`."""
        now = self._now()
        for key in reversed(self._keys):
            if key.alg == alg and key.active_from <= now:
                return key
        raise KeysUnavailable(self._problem)

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
            records = await self._decode(raw)
            if records is None:
                return
            wanted = await self._due(records)
            if wanted == records or await self._store.swap(_RECORD, raw, msgspec.json.encode(wanted)):
                if wanted != records:
                    await self._decode(msgspec.json.encode(wanted))
                return
        raise StoreUnavailable("the signing keys are being changed by others without end")

    async def rotate(self) -> None:
        """Record successors that sign from `PROPAGATION` on. Raises `StoreUnavailable`, `KeysUnavailable`."""
        await self._record_new(self._now() + PROPAGATION, keep=True)

    async def replace(self) -> None:
        """Drop every key, published ones too, for new ones that sign at once: nothing signed before verifies offline.

        For an emergency: the other processes go on with the old keys for `REFRESH_EVERY` at most.
        Raises `StoreUnavailable`, `KeysUnavailable`.
        """
        await self._record_new(self._now(), keep=False)

    async def _record_new(self, active_from: datetime, *, keep: bool) -> None:
        fresh = [await asyncio.to_thread(self._generate, alg, active_from) for alg in GENERATORS]
        for _ in range(5):
            raw = await self._store.get(_RECORD)
            records = await self._decode(raw)
            if records is None:
                raise KeysUnavailable(self._problem)
            wanted = sorted([*records, *fresh] if keep else fresh, key=lambda record: record.active_from)
            encoded = msgspec.json.encode(wanted)
            if await self._store.swap(_RECORD, raw, encoded):
                await self._store.durable()
                await self._decode(encoded)
                return
        raise StoreUnavailable("the signing keys are being changed by others without end")

    async def keep_fresh(self) -> None:
        """Refresh for ever; a store that does not answer is tried again."""
        while True:
            try:
                await self.refresh()
            except StoreUnavailable as error:
                if not self._keys:
                    self._problem = f"the signing keys cannot be read: {error}"
            await asyncio.sleep(REFRESH_EVERY.total_seconds())

    async def _decode(self, raw: bytes | None) -> list[_Record] | None:
        """The records in `raw`, made ready for use. None where they cannot be opened; then nothing is signed."""
        if raw is None:
            return []
        records = msgspec.json.decode(raw, type=list[_Record])
        if raw == self._raw:
            return records
        try:
            keys = await asyncio.to_thread(self._open, records)
        except SealBroken as error:
            self._keys, self._by_kid = (), {}
            self._problem = f"the signing keys cannot be opened: {error}"
            log.error("signing keys: %s", self._problem)
            return None
        self._keys, self._by_kid, self._raw = keys, {key.kid: key for key in keys}, raw
        return records

    def _open(self, records: Sequence[_Record]) -> tuple[SigningKey, ...]:
        known = self._by_kid
        opened = []
        for position, record in enumerate(records):
            successor = next((later for later in records[position + 1 :] if later.alg == record.alg), None)
            before = known.get(record.kid)
            if before is None:
                pem = self._masters.open(_PURPOSE, record.sealed, bound_to=record.kid.encode())
                # Checking an RSA key takes 50 ms, and this one was sealed by ourselves.
                private = serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
                private_key = jwk.construct(private, record.alg)
                public_key = jwk.construct({**record.jwk, "alg": record.alg}, record.alg)
            else:
                private_key, public_key = before.private, before.public
            opened.append(
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
        return tuple(opened)

    async def _due(self, records: Sequence[_Record]) -> list[_Record]:
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
                kept.append(await asyncio.to_thread(self._generate, alg, now))
            elif now.timestamp() >= newest + self._rotate_every.total_seconds() - PUBLISHED_AHEAD.total_seconds():
                at = max(now + PROPAGATION, now + min(PUBLISHED_AHEAD, self._rotate_every / 2))
                kept.append(await asyncio.to_thread(self._generate, alg, at))
        return sorted(kept, key=lambda record: record.active_from)

    def _generate(self, alg: str, active_from: datetime) -> _Record:
        generator = GENERATORS[alg]
        private = generator.make()
        public = generator.public_jwk(private)
        kid = _thumbprint(public)
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return _Record(
            kid=kid,
            alg=alg,
            created_at=int(self._now().timestamp()),
            active_from=int(active_from.timestamp()),
            jwk=public,
            sealed=self._masters.seal(_PURPOSE, pem, bound_to=kid.encode()),
        )


def _instant(seconds: int, like: datetime) -> datetime:
    return datetime.fromtimestamp(seconds, like.tzinfo)
