"""Security keys at a browser: registered, used and removed by somebody whose password was right.

A ticket stands for one step: what this login has proved so far, and the challenge of the one ceremony that may follow.
Taking the ticket uses the challenge up. Invariants:
 1. a key is a second factor in this login when it has signed in this login; to register it is not enough;
 2. who has a second factor of any kind changes nothing before one was used in this login, so that a stolen password
    alone neither adds a key nor removes one;
 3. who has none registers the first key with the password alone only where that is permitted: to a user of ours by its
    policies (`iam:EnableMFADevice`), to a person of a directory by the provider's `EnrollSecurityKeys`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import msgspec

from broker.directory.model import LdapProvider, Snapshot, User
from broker.directory.security_keys import KeyHolder, KeyRing, SecurityKey
from broker.errors import (
    AccessDenied,
    BrokerError,
    EntityAlreadyExists,
    EntityTemporarilyUnmodifiable,
    IDPRejectedClaim,
    LimitExceeded,
    NoSuchEntity,
    ValidationError,
)
from broker.flows import mfa_devices
from broker.flows.authorize import authorize
from broker.flows.caller import Wire, user_caller
from broker.flows.codes import Ceremonies
from broker.flows.federate import in_aws_words
from broker.flows.guessing import Attempt
from broker.flows.login import CHOOSE_WITHIN, Vouched, own, password_user
from broker.flows.mfa import directory_users_devices, judged
from broker.flows.requester import mfa_keys
from broker.flows.services import Services
from providers.errors import ProofRejected
from providers.security_keys import Credential, not_accepted

Step = Literal["use", "manage"]
_PURPOSES: Final[Mapping[Step, str]] = {"use": "use-key", "manage": "manage-keys"}
_ENABLE: Final = "iam:EnableMFADevice"
_DEACTIVATE: Final = "iam:DeactivateMFADevice"
_CHALLENGE_BYTES: Final = 32
_MOST_RACES: Final = 20


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody between the password and the roles. `browser`: hash of the browser's secret.

    `to_keys`: whether the keys are wanted after one was used, and not the roles. `user_handle`: of the ring as it was.
    """

    vouched: Vouched
    browser: bytes
    to_keys: bool
    challenge: bytes
    user_handle: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Managed:
    """A person's keys, none where a second factor must be used first.

    `another`: what the browser is asked to make one more by, or why there can be none.
    """

    keys: Sequence[SecurityKey]
    another: str | BrokerError


async def begin(
    services: Services, snapshot: Snapshot, vouched: Vouched, *, browser: bytes, to_keys: bool
) -> tuple[Step, str] | None:
    """The step that comes before the roles, with its ticket; None where there is none.

    Raises `ValidationError` where keys are wanted and cannot be had here.
    """
    if services.ceremonies is None:
        if to_keys:
            raise ValidationError("Security keys need a gateway at https:// or on localhost (server.public_url).")
        return None
    ring = await services.security_keys.ring(_holder(snapshot, vouched))
    if ring.keys and not vouched.code_verified:
        step: Step = "use"
    elif to_keys:
        step = "manage"
    else:
        return None
    signed_in = SignedIn(
        vouched=vouched,
        browser=browser,
        to_keys=to_keys,
        challenge=services.random(_CHALLENGE_BYTES),
        user_handle=ring.user_handle,
    )
    return step, await services.tickets.issue(_PURPOSES[step], signed_in, ttl=CHOOSE_WITHIN)


async def waiting(services: Services, step: Step, ticket_id: str, browser: str | None) -> SignedIn:
    """Who is at this step, with this browser.

    Raises:
        ExpiredIdentityToken: nobody; the step was taken, or took too long.
        AccessDenied: it is another browser's.
    """
    return own(await services.tickets.read(_PURPOSES[step], ticket_id, SignedIn), browser)


async def taken(services: Services, step: Step, ticket_id: str, browser: str | None) -> SignedIn:
    """As `waiting`, once: the challenge is used up, whatever comes of it."""
    await waiting(services, step, ticket_id, browser)  # another browser uses nothing up
    return own(await services.tickets.take(_PURPOSES[step], ticket_id, SignedIn), browser)


async def request(services: Services, snapshot: Snapshot, signed_in: SignedIn) -> str:
    """What the browser is asked to use a key by."""
    ring = await services.security_keys.ring(_holder(snapshot, signed_in.vouched))
    return _ceremonies(services).request_options(signed_in.challenge, _credentials(ring))


async def use(
    services: Services, snapshot: Snapshot, wire: Wire, signed_in: SignedIn, response: str
) -> tuple[SecurityKey, Vouched]:
    """The key that signed, and who signed in with it: `hwk` is among the methods, and a second factor was verified.

    Raises:
        IDPRejectedClaim: with the reason in the detail.
        StoreUnavailable: nothing is known.
    """
    vouched = signed_in.vouched
    holder = _holder(snapshot, vouched)
    with in_aws_words(rejected=IDPRejectedClaim):
        async with judged(await _attempt(services, holder, wire)):
            key = await _signed(services, holder, signed_in, response)
    identity = replace(vouched.identity, methods=vouched.identity.methods | {"hwk"})
    return key, msgspec.structs.replace(vouched, identity=identity, code_verified=True)


async def managed(services: Services, snapshot: Snapshot, wire: Wire, signed_in: SignedIn) -> Managed:
    """What the person may see and do."""
    vouched = signed_in.vouched
    ring = await services.security_keys.ring(_holder(snapshot, vouched))
    keys = ring.keys if vouched.code_verified else ()
    try:
        await _require_permitted(services, snapshot, wire, vouched, ring, _ENABLE)
        await _require_room(services, snapshot, vouched, ring)
    except (AccessDenied, LimitExceeded) as error:
        return Managed(keys=keys, another=error)
    options = _ceremonies(services).creation_options(
        signed_in.challenge,
        user_handle=signed_in.user_handle,
        user_name=vouched.session_name,
        known=_credentials(ring),
    )
    return Managed(keys=keys, another=options)


async def register(
    services: Services, snapshot: Snapshot, wire: Wire, signed_in: SignedIn, name: str, response: str
) -> SecurityKey:
    """A new key.

    Raises:
        AccessDenied: by the rules above. LimitExceeded, EntityAlreadyExists.
        EntityTemporarilyUnmodifiable: the keys were changed meanwhile.
        IDPRejectedClaim: the browser's answer is not valid.
        ValidationError: nobody could send the key's serial number back.
    """
    vouched = signed_in.vouched
    ring = await services.security_keys.ring(_holder(snapshot, vouched))
    await _require_permitted(services, snapshot, wire, vouched, ring, _ENABLE)
    await _require_room(services, snapshot, vouched, ring)
    with in_aws_words(rejected=IDPRejectedClaim):
        credential = _ceremonies(services).registered(response, signed_in.challenge)
    if any(each.credential_id == credential.id for each in ring.keys):
        raise EntityAlreadyExists("This security key is registered already.")
    if ring.version == 0:
        ring = msgspec.structs.replace(ring, user_handle=signed_in.user_handle)
    key = SecurityKey(
        serial_number=services.security_keys.new_serial_number(ring, name),
        name=name,
        credential_id=credential.id,
        public_key=credential.public_key,
        aaguid=credential.aaguid,
        sign_count=credential.sign_count,
        backup_eligible=credential.backup_eligible,
        transports=credential.transports,
        created=services.now().timestamp(),
    )
    mfa_devices.require_presentable(key.serial_number)
    # The key was told the handle that the ring had when the ceremony began.
    if ring.user_handle != signed_in.user_handle or not await services.security_keys.replace(ring, (*ring.keys, key)):
        raise EntityTemporarilyUnmodifiable
    return key


async def remove(services: Services, snapshot: Snapshot, wire: Wire, signed_in: SignedIn, serial_number: str) -> None:
    """Remove one of the person's own keys. Raises as `register`, and `NoSuchEntity`."""
    ring = await services.security_keys.ring(_holder(snapshot, signed_in.vouched))
    await _require_permitted(services, snapshot, wire, signed_in.vouched, ring, _DEACTIVATE)
    if not await mfa_devices.remove_key(services, ring, serial_number):
        raise NoSuchEntity("This security key is not registered any more.")


async def _attempt(services: Services, holder: KeyHolder, wire: Wire) -> Attempt:
    """Counted apart from passwords: whoever gets here knows that."""
    try:
        return await services.guessing.attempt(f"key {holder.account}", holder.place, wire.source_ip)
    except ProofRejected as error:
        raise not_accepted(error.reason, error.detail) from error


async def _signed(services: Services, holder: KeyHolder, signed_in: SignedIn, response: str) -> SecurityKey:
    ring = await services.security_keys.ring(holder)
    asserted = _ceremonies(services).asserted(
        response, signed_in.challenge, user_handle=ring.user_handle, known=_credentials(ring)
    )
    for _ in range(_MOST_RACES):
        key = next((each for each in ring.keys if each.credential_id == asserted.credential_id), None)
        if key is None:
            raise not_accepted("key", "it was removed meanwhile")
        # WebAuthn Level 3 §6.1.1: a key that does not count on has a copy somewhere. Some keys do not count at all.
        if (key.sign_count or asserted.sign_count) and asserted.sign_count <= key.sign_count:
            detail = f"{key.serial_number} counts {asserted.sign_count} after {key.sign_count}"
            raise not_accepted("key_copied", detail)
        if await services.security_keys.used(ring, key, asserted.sign_count):
            return key
        ring = await services.security_keys.ring(holder)
    raise not_accepted("key_contended")


async def _require_permitted(
    services: Services, snapshot: Snapshot, wire: Wire, vouched: Vouched, ring: KeyRing, action: str
) -> None:
    owner = _owner(snapshot, vouched)
    if not vouched.code_verified and (ring.keys or await _has_device(services, snapshot, owner, vouched)):
        raise AccessDenied("You have a second factor: sign in with it first.")
    if isinstance(owner, User):
        single = mfa_keys(verified=bool(vouched.code_verified))
        if action == _ENABLE:
            single["iam:RegisterSecurityKey"] = "Activate"  # AWS's, for policies on keys and not on devices for codes
        authorize(services, snapshot, user_caller(snapshot, owner, ""), wire, action, owner.arn, single=single)
    elif not vouched.code_verified and not owner.enroll_security_keys:
        raise AccessDenied("You have no second factor yet, and may not register the first one by yourself.")


async def _require_room(services: Services, snapshot: Snapshot, vouched: Vouched, ring: KeyRing) -> None:
    owner = _owner(snapshot, vouched)
    present = len(await mfa_devices.of_user(services, snapshot, owner)) if isinstance(owner, User) else len(ring.keys)
    if present >= mfa_devices.MOST_PER_USER:
        raise LimitExceeded(f"Cannot exceed quota for MFADevicesPerUser: {mfa_devices.MOST_PER_USER}")


async def _has_device(services: Services, snapshot: Snapshot, owner: User | LdapProvider, vouched: Vouched) -> bool:
    """Whether the person has a device for codes."""
    if isinstance(owner, User):
        return bool(owner.mfa_devices or await services.entries.mfa_devices_of(owner))
    name = vouched.identity.attributes["ldap:username"][0]
    return bool(directory_users_devices(snapshot, owner, name))


def _owner(snapshot: Snapshot, vouched: Vouched) -> User | LdapProvider:
    """The user of ours, or the directory whose person it is. Raises `AccessDenied` where that is gone."""
    if vouched.user_arn is not None:
        return password_user(snapshot, vouched.user_arn)
    provider = snapshot.ldap_provider(vouched.provider_arn)
    if provider is None:
        raise AccessDenied("The identity provider is not there any more.")
    return provider


def _holder(snapshot: Snapshot, vouched: Vouched) -> KeyHolder:
    owner = _owner(snapshot, vouched)
    return KeyHolder.user(owner) if isinstance(owner, User) else KeyHolder.person(owner, vouched.identity.subject)


def _credentials(ring: KeyRing) -> Sequence[Credential]:
    return [
        Credential(
            id=each.credential_id,
            public_key=each.public_key,
            aaguid=each.aaguid,
            sign_count=each.sign_count,
            backup_eligible=each.backup_eligible,
            transports=each.transports,
        )
        for each in ring.keys
    ]


def _ceremonies(services: Services) -> Ceremonies:
    if services.ceremonies is None:
        raise AccessDenied("Security keys cannot be used here any more.")
    return services.ceremonies
