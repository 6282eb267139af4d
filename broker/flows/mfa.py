"""One-time codes of MFA devices: whose a device is, and whether a code is good (STS `SerialNumber`, `TokenCode`)."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from broker.directory.entries import MfaEntry
from broker.directory.model import LdapProvider, Snapshot, User, VirtualMfaDevice
from broker.errors import AccessDenied
from broker.flows.caller import Caller, Wire
from broker.flows.guessing import Attempt
from broker.flows.services import Services
from broker.policy import PrincipalKind
from providers.devices import Device
from providers.errors import ProofRejected, ProviderUnavailable
from providers.spelling import comparable

_ONE_ALONE = "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code."
_NOT_THEIRS = (
    "MultiFactorAuthentication failed, unable to validate MFA code.  "
    "Please verify your MFA serial number is valid and associated with this user."
)
_WRONG = "MultiFactorAuthentication failed with invalid MFA one time pass code. "


@dataclass(frozen=True, slots=True)
class Presented:
    """A device's serial number and a code, as presented. None as the serial number: the only device there is."""

    serial_number: str | None
    code: str = field(repr=False)


def presented(serial_number: str | None, code: str | None) -> Presented | None:
    """Both, or None for neither. Raises `AccessDenied` for one alone."""
    if serial_number is None and code is None:
        return None
    if serial_number is None or code is None:
        raise AccessDenied(_ONE_ALONE)
    return Presented(serial_number, code)


async def verify_callers_code(
    services: Services, snapshot: Snapshot, caller: Caller, wire: Wire, shown: Presented
) -> None:
    """Use up a code of the calling user's own device. A role session has none.

    Raises:
        AccessDenied: with AWS's sentences.
        StoreUnavailable: nothing is known.
    """
    user = caller.user if caller.principal.kind is PrincipalKind.USER else None
    device = await users_device(services, snapshot, user, shown.serial_number) if user is not None else None
    if user is None or device is None:
        raise AccessDenied(_NOT_THEIRS)
    try:
        # Counted apart from passwords: who guesses those has no key, and must not be in the way of who has.
        attempt = await services.guessing.attempt(f"mfa {user.account}", user.name, wire.source_ip)
        async with judged(attempt):
            await services.codes.verify(device, shown.code)
    except ProofRejected as error:
        raise AccessDenied(_WRONG, detail={"reason": error.reason, "detail": error.detail}) from error


@asynccontextmanager
async def judged(attempt: Attempt) -> AsyncIterator[None]:
    """An attempt is a success where the block ends well, and none at all where nobody judged the secret.

    A code that was used is no guess, whoever sends it again.
    """
    try:
        yield
    except ProviderUnavailable:
        await attempt.withdrawn()
        raise
    except ProofRejected as error:
        if error.reason == "code_used":
            await attempt.withdrawn()
        raise
    await attempt.succeeded()


async def users_device(services: Services, snapshot: Snapshot, user: User, serial_number: str | None) -> Device | None:
    """The user's own device of that serial number, configured or made through the API; for None the only one."""
    if serial_number is None:
        numbers = {*user.mfa_devices, *(each.serial_number for each in await services.entries.mfa_devices_of(user))}
        if len(numbers) != 1:
            return None
        serial_number = numbers.pop()
    configured = snapshot.mfa_device(serial_number)
    if configured is not None:
        its_user = configured.account == user.account and user.name in configured.users
        return Device(configured.arn, configured.seed) if its_user else None
    entry = await services.entries.mfa_device(serial_number)
    return device_of(services, entry) if entry is not None and entry.belongs_to(user) else None


def device_of(services: Services, entry: MfaEntry) -> Device:
    """A device made through the API; what is remembered of it ends with it, whatever gets its serial number."""
    return Device(f"{entry.serial_number} {entry.unique_id}", services.entries.seed(entry))


def directory_users_device(
    snapshot: Snapshot, provider: LdapProvider, username: str, serial_number: str | None
) -> Device | None:
    """The device of that serial number that the configuration gives to this user of the directory; None: the only."""
    devices = [
        device
        for device in directory_users_devices(snapshot, provider, username)
        if serial_number in (None, device.arn)
    ]
    return Device(devices[0].arn, devices[0].seed) if len(devices) == 1 else None


def directory_users_devices(snapshot: Snapshot, provider: LdapProvider, username: str) -> Sequence[VirtualMfaDevice]:
    """All that the configuration gives to this user of the directory; names are compared as the directory does it."""
    account = snapshot.account(provider.account)
    devices = account.mfa_devices.values() if account is not None else ()
    return [each for each in devices if _has(provider, username, each)]


def _has(provider: LdapProvider, username: str, device: VirtualMfaDevice) -> bool:
    owners = (name.partition("/") for name in device.ldap_users)
    return any(owner == provider.name and comparable(name) == comparable(username) for owner, _, name in owners)
