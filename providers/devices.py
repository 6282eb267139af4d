"""MFA devices as a checker of codes sees them, and the memory that it needs of its host."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What is remembered of a device.

    `last_step`: of the latest code accepted, counted from 1970. `drift`: how many steps its clock is ahead.
    `wrong`: wrong codes in a row. `delayed_until`: no code is right before. `unused`: which of the steps before
    `last_step` may still be used, the lowest bit being the one right before.
    """

    last_step: int = -1
    drift: int = 0
    wrong: int = 0
    delayed_until: datetime | None = None
    unused: int = 0


class DeviceStates(Protocol):
    """The memory of devices, one for all gateways. A host that does not answer raises; no code is then accepted."""

    async def read(self, device: str) -> DeviceState | None:
        """What is remembered, None for a device that was never used."""

    async def swap(self, device: str, expected: DeviceState | None, state: DeviceState) -> bool:
        """Write only if what is remembered is still `expected`; whether it was."""

    async def since(self) -> datetime:
        """When the present unbroken memory began. Asked after a `swap`, it covers that."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device: what names it for good, and its seed in base32."""

    id: str
    seed: str = field(repr=False)
