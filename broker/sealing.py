"""Keys derived from the master key, one label a purpose (HKDF, RFC 5869), and sealing under them (AES-256-GCM).

A sealed value names the master key that it was sealed under, so that a master key can be replaced: the first
of the configured ones serves what is new, all of them open what is old. The name is derived from the key as well and
tells nothing about it.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from broker.ids import Random

MASTER_KEY_BYTES = 32
_NONCE_BYTES = 12
_ID_CHARACTERS = 16


class SealBroken(Exception):
    """The sealed value was altered, belongs elsewhere, or was sealed under a master key that is not configured."""


def new_master_key(random: Random) -> str:
    """Base64 of 32 random bytes, as `keys.master` takes it."""
    return base64.b64encode(random(MASTER_KEY_BYTES)).decode("ascii")


def parse_master_key(text: str) -> bytes:
    """The 32 bytes of a master key. Raises `ValueError` for anything else, without showing it."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a master key is base64 of 32 bytes (see `sojourn generate master-key`)") from None
    if len(key) != MASTER_KEY_BYTES:
        raise ValueError("a master key is base64 of 32 bytes (see `sojourn generate master-key`)")
    return key


def sealed_under(sealed: bytes) -> str:
    """The id of the master key that a sealed value says it is under."""
    return sealed[:_ID_CHARACTERS].decode("ascii", "replace")


class _Master:
    """One master key and what was derived from it so far; the labels are a handful of constants."""

    __slots__ = ("_derived", "_key", "id")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._derived: dict[str, bytes] = {}
        self.id = self.derive("id").hex()[:_ID_CHARACTERS]

    def derive(self, purpose: str) -> bytes:
        found = self._derived.get(purpose)
        if found is None:
            info = b"sojourn/1/" + purpose.encode("ascii")
            found = self._derived[purpose] = HKDF(SHA256(), MASTER_KEY_BYTES, None, info).derive(self._key)
        return found


class MasterKeys:
    """The configured master keys; the first is used for what is new."""

    __slots__ = ("_by_id", "_first", "_random")

    def __init__(self, keys: Sequence[bytes], random: Random) -> None:
        self._random = random
        self.adopt(keys)

    def adopt(self, keys: Sequence[bytes]) -> None:
        """From now on these, in place of those before; other threads see the one or the other."""
        if not keys:
            raise ValueError("at least one master key is needed")
        masters = [_Master(key) for key in keys]
        self._by_id = {master.id: master for master in masters}
        self._first = masters[0]

    @property
    def current_id(self) -> str:
        """Names the master key that new values are made under."""
        return self._first.id

    @property
    def ids(self) -> frozenset[str]:
        """All master keys that old values may be under."""
        return frozenset(self._by_id)

    def require(self, master_id: str) -> None:
        """Raise `SealBroken` where that master key is not among the configured ones."""
        self._master(master_id)

    def mac(self, purpose: str, message: bytes, *, master_id: str) -> bytes:
        """HMAC-SHA256 of `message` under the key derived for `purpose`. Raises `SealBroken` for an unknown master."""
        return hmac.digest(self._master(master_id).derive(purpose), message, hashlib.sha256)

    def seal(self, purpose: str, plaintext: bytes, *, bound_to: bytes) -> bytes:
        """Encrypt; only `open` with the same `purpose` and `bound_to` gives it back."""
        master = self._first
        nonce = self._random(_NONCE_BYTES)
        ciphertext = AESGCM(master.derive(purpose)).encrypt(nonce, plaintext, bound_to)
        return master.id.encode("ascii") + nonce + ciphertext

    def open(self, purpose: str, sealed: bytes, *, bound_to: bytes) -> bytes:
        """Decrypt. Raises `SealBroken`."""
        start = _ID_CHARACTERS + _NONCE_BYTES
        master = self._master(sealed_under(sealed))
        try:
            return AESGCM(master.derive(purpose)).decrypt(sealed[_ID_CHARACTERS:start], sealed[start:], bound_to)
        except (InvalidTag, ValueError):
            raise SealBroken("the sealed value was altered or belongs elsewhere") from None

    def reseal(self, purpose: str, sealed: bytes, *, bound_to: bytes) -> bytes:
        """The same under the current master key; as it is where it is under that already. Raises `SealBroken`."""
        if sealed_under(sealed) == self.current_id:
            return sealed
        return self.seal(purpose, self.open(purpose, sealed, bound_to=bound_to), bound_to=bound_to)

    def _master(self, master_id: str) -> _Master:
        try:
            return self._by_id[master_id]
        except KeyError:
            raise SealBroken(f"master key {master_id!a} is not among the configured ones (keys.master)") from None


class SealedRecords(Protocol):
    """Records of one kind in the store that hold sealed values for long: where they are, and how they are sealed anew.

    `kind`: what the values are, for people. `essential`: whether a gateway that cannot open them is of no use.
    """

    @property
    def kind(self) -> str: ...

    @property
    def essential(self) -> bool: ...

    def keys(self) -> AsyncIterator[Sequence[str]]:
        """The store's keys of the records, some hundred at a time; of the records some may be gone."""

    def masters(self, record: bytes) -> Sequence[str]:
        """The id of the master key of each sealed value in a record."""

    def resealed(self, record: bytes) -> bytes:
        """The record with every value under the current master key. Raises `SealBroken`."""
