"""What the flows ask of second factors."""

from collections.abc import Callable, Sequence
from typing import Protocol

from providers.devices import Device
from providers.security_keys import Asserted, Credential


class OneTimeCodes(Protocol):
    """Checks codes of MFA devices. Every verb raises `ProofRejected` for wrong, used and delayed codes."""

    async def verify(self, device: Device, code: str) -> None:
        """Use the code up."""

    async def enroll(self, device: Device, first: str, second: str) -> None:
        """Use two codes in a row up."""

    async def resync(self, device: Device, first: str, second: str) -> None:
        """Use two codes in a row up, of a device whose clock may be minutes off."""


class Ceremonies(Protocol):
    """WebAuthn. What browsers answer is JSON as presented; verifying it raises `ProofRejected`."""

    def creation_options(
        self, challenge: bytes, *, user_handle: bytes, user_name: str, known: Sequence[Credential]
    ) -> str:
        """JSON that asks a browser for a new key, none of the `known` ones."""

    def registered(self, response: str, challenge: bytes) -> Credential:
        """The new key."""

    def request_options(self, challenge: bytes, known: Sequence[Credential]) -> str:
        """JSON that asks a browser for a signature of one of the `known` keys."""

    def asserted(self, response: str, challenge: bytes, *, user_handle: bytes, known: Sequence[Credential]) -> Asserted:
        """The key that signed; what it counts to is not judged."""


Picture = Callable[[str, str, str], bytes]
"""What an authenticator scans: PNG of the QR code of a seed, a user's name and an account. Takes some 10 ms."""
