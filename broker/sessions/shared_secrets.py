"""Secrets that all gateways of a store share: each made once, at random, and kept sealed in the store."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from broker.ids import Random
from broker.sealing import MasterKeys, SealBroken, sealed_under
from broker.sessions.keyring import KeysUnavailable
from broker.stores.contract import Store

_RSA_BITS = 3072
_BYTES = 32


class SharedSecret:
    """One of them, in a process; also the `SealedRecords` of its one record."""

    essential: Final = True

    def __init__(
        self, store: Store, masters: MasterKeys, key: str, *, purpose: str, kind: str, make: Callable[[], bytes]
    ) -> None:
        """`key`: of its record. `make`: called in a thread, once in the life of the store."""
        self._store = store
        self._masters = masters
        self._key = key
        self._purpose = purpose
        self._make = make
        self._value: bytes | None = None
        self.kind: Final = kind

    async def value(self) -> bytes:
        """The secret; read from the store once.

        Raises:
            StoreUnavailable: it can be neither read nor recorded.
            KeysUnavailable: it is sealed under a master key that is not configured.
        """
        if self._value is None:
            sealed = await self._store.get(self._key)
            if sealed is None:
                made = await asyncio.to_thread(self._make)
                await self._store.add(self._key, self._masters.seal(self._purpose, made, bound_to=self._bound))
                sealed = await self._store.get(self._key) or b""  # whoever was first has made it
            try:
                self._value = self._masters.open(self._purpose, sealed, bound_to=self._bound)
            except SealBroken as error:
                raise KeysUnavailable(f"the {self.kind} cannot be opened: {error}") from error
        return self._value

    async def keys(self) -> AsyncIterator[Sequence[str]]:
        yield [self._key]

    def masters(self, record: bytes) -> Sequence[str]:
        return [sealed_under(record)]

    def resealed(self, record: bytes) -> bytes:
        return self._masters.reseal(self._purpose, record, bound_to=self._bound)

    @property
    def _bound(self) -> bytes:
        return self._key.encode()


def saml_signing_key(store: Store, masters: MasterKeys) -> SharedSecret:
    """What the gateways sign with as a SAML service provider: RSA, as PKCS #8 in PEM."""
    return SharedSecret(
        store,
        masters,
        "saml:signing-key",
        purpose="saml signing key",
        kind="SAML signing key",
        make=_rsa_key,
    )


def guessing_key(store: Store, masters: MasterKeys, random: Random) -> SharedSecret:
    """What names and addresses are hashed under where attempts are counted; no count is lost with a master key."""
    return SharedSecret(
        store,
        masters,
        "guessing-key",
        purpose="guessing",
        kind="key of the counts of attempts",
        make=lambda: random(_BYTES),
    )


def _rsa_key() -> bytes:
    key = rsa.generate_private_key(65537, _RSA_BITS)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
