"""MFA devices as IAM manages them: made, given to a user, brought in step, taken away, deleted.

Configured devices stand beside those made through the API; they are changed in their files only. Security keys are
registered by their users at the sign-in page; here they are listed and taken away.
"""

import asyncio
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from broker.arn import Arn
from broker.directory.entries import EntryBusy, MfaEntry
from broker.directory.model import Account, Snapshot, User, VirtualMfaDevice
from broker.directory.security_keys import KeyHolder, KeyRing
from broker.errors import (
    DeleteConflict,
    EntityAlreadyExists,
    EntityTemporarilyUnmodifiable,
    InvalidAuthenticationCode,
    InvalidInput,
    LimitExceeded,
    NoSuchEntity,
    UnmodifiableEntity,
    ValidationError,
)
from broker.flows.authorize import authorize
from broker.flows.caller import Caller, Wire
from broker.flows.mfa import device_of, users_device
from broker.flows.services import Services
from providers.errors import ProofRejected

MOST_PER_USER = 8
_SERIAL_NUMBER = re.compile(r"[A-Za-z0-9_+=/:,.@-]{9,256}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownDevice:
    """A device as it is listed. `user` is None for one that a directory's user has, and where nobody has it.

    `enabled_at`: since when, where that is known.
    """

    serial_number: str
    assigned: bool
    user: User | None
    enabled_at: datetime | None

    @property
    def place(self) -> str:
        """Path and name, by which lists are sorted."""
        return self.serial_number.split(":", 5)[5]


@dataclass(frozen=True, slots=True)
class CreatedDevice:
    """A new device with its secrets: the seed in base32, and a QR code of it as PNG."""

    entry: MfaEntry
    seed: str = field(repr=False)
    picture: bytes = field(repr=False)


async def create(
    services: Services,
    snapshot: Snapshot,
    caller: Caller,
    wire: Wire,
    account: Account,
    *,
    serial_number: str,
    tags: Sequence[tuple[str, str]],
) -> CreatedDevice:
    """A new device that nobody has yet. Tags need `iam:TagMFADevice`, too, as with AWS's other entities.

    Raises:
        AccessDenied, EntityAlreadyExists, EntityTemporarilyUnmodifiable.
        InvalidInput: a tag's key is given twice.
        ValidationError: nobody could send the serial number back.
    """
    single = {f"aws:RequestTag/{key}": value for key, value in tags}
    if len({key.casefold() for key, _ in tags}) != len(tags):
        raise InvalidInput("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    for action in ("iam:CreateVirtualMFADevice", *(["iam:TagMFADevice"] if tags else [])):
        keys = {"aws:TagKeys": [key for key, _ in tags]}
        authorize(services, snapshot, caller, wire, action, serial_number, single=single, many=keys)
    require_presentable(serial_number)
    taken = EntityAlreadyExists("MFADevice entity at the same path and name already exists.")
    if snapshot.mfa_device(serial_number) is not None:
        raise taken
    arn = Arn.parse(serial_number)
    with _undisturbed():
        entry = await services.entries.create_mfa_device(
            serial_number, account=account.id, name=arn.name, path=arn.path, tags=dict(tags)
        )
    if entry is None:
        raise taken
    seed = services.entries.seed(entry)
    picture = await asyncio.to_thread(services.picture, seed, arn.name, account.alias or account.id)
    return CreatedDevice(entry, seed, picture)


async def enable(
    services: Services, snapshot: Snapshot, user: User, serial_number: str, first: str, second: str
) -> None:
    """Give a device to a user who shows two of its codes in a row.

    Raises:
        NoSuchEntity, UnmodifiableEntity, EntityAlreadyExists, LimitExceeded, InvalidAuthenticationCode.
        EntityTemporarilyUnmodifiable: it was changed meanwhile.
    """
    entry = await _changeable(services, snapshot, user.account, serial_number)
    if _holder(snapshot, entry) is not None:
        raise EntityAlreadyExists("MFA Device is already in use.")
    if len(await of_user(services, snapshot, user)) >= MOST_PER_USER:
        raise LimitExceeded(f"Cannot exceed quota for MFADevicesPerUser: {MOST_PER_USER}")
    with _right_codes():
        await services.codes.enroll(device_of(services, entry), first, second)
    with _undisturbed():
        await services.entries.assign(entry, user)


async def resync(
    services: Services, snapshot: Snapshot, user: User, serial_number: str, first: str, second: str
) -> None:
    """Remember how far off the clock of the user's device is; a configured one's, too, for its file does not say.

    Raises `NoSuchEntity`, `InvalidAuthenticationCode`.
    """
    device = await users_device(services, snapshot, user, serial_number)
    if device is None:
        raise _missing(serial_number)
    with _right_codes():
        await services.codes.resync(device, first, second)


async def deactivate(services: Services, snapshot: Snapshot, user: User, serial_number: str) -> None:
    """Take the device from the user; a security key is forgotten by that. Raises as `enable`."""
    if await remove_key(services, await services.security_keys.ring(KeyHolder.user(user)), serial_number):
        return
    entry = await _changeable(services, snapshot, user.account, serial_number)
    if not entry.belongs_to(user):
        raise _missing(serial_number)
    with _undisturbed():
        await services.entries.release(entry, user)


async def deactivate_in_directory(services: Services, holder: KeyHolder, serial_number: str) -> None:
    """Forget the security key of a directory's person. Raises `NoSuchEntity`, `EntityTemporarilyUnmodifiable`."""
    if not await remove_key(services, await services.security_keys.ring(holder), serial_number):
        raise _missing(serial_number)


async def remove_key(services: Services, ring: KeyRing, serial_number: str) -> bool:
    """Take the key off the ring; False where it is not there. Raises `EntityTemporarilyUnmodifiable`."""
    left = [each for each in ring.keys if each.serial_number != serial_number]
    if len(left) == len(ring.keys):
        return False
    if not await services.security_keys.replace(ring, left):
        raise EntityTemporarilyUnmodifiable
    return True


async def delete(services: Services, snapshot: Snapshot, account: Account, serial_number: str) -> None:
    """Remove a device that nobody has. Raises `DeleteConflict` where somebody has it, and as `enable`."""
    entry = await _changeable(services, snapshot, account.id, serial_number)
    if _holder(snapshot, entry) is not None:
        raise DeleteConflict("Cannot delete entity, must deactivate MFA device first.")
    with _undisturbed():
        await services.entries.delete_mfa_device(entry)


async def of_user(services: Services, snapshot: Snapshot, user: User) -> Sequence[ShownDevice]:
    """The user's devices and security keys, by serial number."""
    configured = [_configured(snapshot, each) for each in map(snapshot.mfa_device, user.mfa_devices) if each]
    made = await services.entries.mfa_devices_of(user)
    ring = await services.security_keys.ring(KeyHolder.user(user))
    keys = [
        ShownDevice(serial_number=each.serial_number, assigned=True, user=user, enabled_at=each.created_at)
        for each in ring.keys
    ]
    return sorted([*_merged(snapshot, configured, made), *keys], key=lambda each: each.serial_number)


async def of_account(services: Services, snapshot: Snapshot, account: Account) -> Sequence[ShownDevice]:
    """All devices of the account, by serial number."""
    configured = [_configured(snapshot, each) for each in account.mfa_devices.values()]
    return _merged(snapshot, configured, await services.entries.mfa_devices(account.id))


def _merged(snapshot: Snapshot, configured: Sequence[ShownDevice], made: Sequence[MfaEntry]) -> Sequence[ShownDevice]:
    """A configured device hides one of the same serial number."""
    shown = {each.serial_number: _made(snapshot, each) for each in made}
    shown.update((each.serial_number, each) for each in configured)
    return [shown[key] for key in sorted(shown)]


def _configured(snapshot: Snapshot, device: VirtualMfaDevice) -> ShownDevice:
    account = snapshot.account(device.account)
    users = [account.users[name] for name in device.users if name in account.users] if account is not None else []
    return ShownDevice(
        serial_number=device.arn,
        assigned=bool(device.users or device.ldap_users),
        user=users[0] if users else None,
        enabled_at=None,
    )


def _made(snapshot: Snapshot, entry: MfaEntry) -> ShownDevice:
    user = _holder(snapshot, entry)
    return ShownDevice(
        serial_number=entry.serial_number,
        assigned=user is not None,
        user=user,
        enabled_at=entry.enabled_at if user is not None else None,
    )


def _holder(snapshot: Snapshot, entry: MfaEntry) -> User | None:
    """Who has the device; nobody where that user is gone from the configuration."""
    user = snapshot.user(entry.user_arn) if entry.user_arn is not None else None
    return user if user is not None and entry.belongs_to(user) else None


async def _changeable(services: Services, snapshot: Snapshot, account: str, serial_number: str) -> MfaEntry:
    configured = snapshot.mfa_device(serial_number)
    if configured is not None and configured.account == account:
        raise UnmodifiableEntity
    entry = await services.entries.mfa_device(serial_number)
    if entry is None or entry.account != account:
        raise _missing(serial_number)
    return entry


def require_presentable(serial_number: str) -> None:
    """Raises `ValidationError` where nobody could send the serial number back."""
    if not _SERIAL_NUMBER.fullmatch(serial_number):
        raise ValidationError("Path and name must make a serial number of at most 256 letters, digits and _+=/:,.@-")


def _missing(serial_number: str) -> NoSuchEntity:
    return NoSuchEntity(f"VirtualMFADevice with serial number {serial_number} doesn't exist.")


@contextmanager
def _right_codes() -> Iterator[None]:
    try:
        yield
    except ProofRejected as error:
        detail = {"reason": error.reason, "detail": error.detail}
        raise InvalidAuthenticationCode(detail=detail) from error


@contextmanager
def _undisturbed() -> Iterator[None]:
    try:
        yield
    except EntryBusy as error:
        raise EntityTemporarilyUnmodifiable from error
