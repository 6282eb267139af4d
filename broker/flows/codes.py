"""What the flows ask of second factors."""

from collections.abc import Callable
from typing import Protocol

from providers.devices import Device


class OneTimeCodes(Protocol):
    """Checks codes of MFA devices. Every verb raises `ProofRejected` for wrong, used and delayed codes."""

    async def verify(self, device: Device, code: str) -> None:
        """Use the code up."""

    async def enroll(self, device: Device, first: str, second: str) -> None:
        """Use two codes in a row up."""

    async def resync(self, device: Device, first: str, second: str) -> None:
        """Use two codes in a row up, of a device whose clock may be minutes off."""


Picture = Callable[[str, str, str], bytes]
"""What an authenticator scans: PNG of the QR code of a seed, a user's name and an account. Takes some 10 ms."""
