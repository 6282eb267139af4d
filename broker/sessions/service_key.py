"""The key that the gateway signs with as a SAML service provider: made once, and kept sealed in the store."""

import asyncio

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from broker.sealing import MasterKeys, SealBroken
from broker.sessions.keyring import KeysUnavailable
from broker.stores.contract import Store

_KEY = "saml:signing-key"
_PURPOSE = "saml signing key"
_BITS = 3072


class ServiceKey:
    """One instance a process."""

    def __init__(self, store: Store, masters: MasterKeys) -> None:
        self._store = store
        self._masters = masters
        self._pem: bytes | None = None

    async def pem(self) -> bytes:
        """The private key, RSA, as PKCS #8 in PEM.

        Raises:
            StoreUnavailable: it can be neither read nor recorded.
            KeysUnavailable: it was sealed under a master key that is no longer configured.
        """
        if self._pem is None:
            sealed = await self._store.get(_KEY)
            if sealed is None:
                made = await asyncio.to_thread(_generate)
                await self._store.add(_KEY, self._masters.seal(_PURPOSE, made, bound_to=_KEY.encode()))
                sealed = await self._store.get(_KEY) or b""  # whoever was first has made it
            try:
                self._pem = self._masters.open(_PURPOSE, sealed, bound_to=_KEY.encode())
            except SealBroken as error:
                raise KeysUnavailable(f"the SAML signing key cannot be opened: {error}") from error
        return self._pem


def _generate() -> bytes:
    key = rsa.generate_private_key(65537, _BITS)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
