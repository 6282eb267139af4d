"""What is remembered of MFA devices, in the store: fits the providers' `DeviceStates`."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from broker.stores.contract import Store, StoreUnavailable
from providers.devices import DeviceState

# Far beyond the longest delay and the life of a code; so that deleted devices do not stay for ever.
_KEPT = timedelta(days=90)


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    device: str
    last_step: int
    drift: int
    wrong: int
    delayed_until: float | None
    unused: int = 0


@dataclass(frozen=True, slots=True)
class StoredDeviceStates:
    """One record a device, keyed by the hash of its id. Every verb may raise `StoreUnavailable`."""

    store: Store

    async def read(self, device: str) -> DeviceState | None:
        """What is remembered, None for a device that was never used."""
        value = await self.store.get(_key(device))
        if value is None:
            return None
        try:
            stored = msgspec.json.decode(value, type=_Stored)
            until = None if stored.delayed_until is None else datetime.fromtimestamp(stored.delayed_until, UTC)
        except (msgspec.MsgspecError, ValueError, OverflowError) as error:
            raise StoreUnavailable("the record of an MFA device cannot be read") from error
        if stored.device != device:
            raise StoreUnavailable("the record of an MFA device is another device's")
        return DeviceState(stored.last_step, stored.drift, stored.wrong, until, stored.unused)

    async def swap(self, device: str, expected: DeviceState | None, state: DeviceState) -> bool:
        """Write only if what is remembered is still `expected`; whether it was. Safe against a fail-over on return."""
        before = _encode(device, expected) if expected is not None else None
        if not await self.store.swap(_key(device), before, _encode(device, state), ttl=_KEPT):
            return False
        if (await self.store.epoch()).replicated:
            await self.store.durable(fsync=False)
        return True

    async def since(self) -> datetime:
        """When the store's present memory began."""
        return (await self.store.epoch()).since

    async def forget(self, device: str) -> None:
        """Drop the record of a device that is deleted, or that gets another seed."""
        await self.store.delete(_key(device))


def _key(device: str) -> str:
    return f"mfa:{hashlib.sha256(device.encode()).hexdigest()}"


def _encode(device: str, state: DeviceState) -> bytes:
    until = None if state.delayed_until is None else state.delayed_until.timestamp()
    return msgspec.json.encode(_Stored(device, state.last_step, state.drift, state.wrong, until, state.unused))
