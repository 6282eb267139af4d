"""A user name, a password and perhaps a one-time code become an identity; whoever guesses learns nothing.

Order: the attempt is counted, the provider asked, the code used up; then only the attempt is a success. Every refusal
has one text and one time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from broker.directory.model import Account, LdapProvider, Snapshot
from broker.errors import IDPRejectedClaim, ValidationError
from broker.flows.caller import Wire
from broker.flows.federate import in_aws_words, trusted_providers
from broker.flows.guessing import even_refusals
from broker.flows.login import Vouched
from broker.flows.mfa import Presented, directory_users_device, judged, users_device
from broker.flows.services import Services
from providers.contract import Identity, Password
from providers.devices import Device
from providers.refusal import refused

LDAP_ACTION = "sts:AssumeRoleWithLDAPIdentity"


def ldap_provider(snapshot: Snapshot, provider_arn: str | None, role_arn: str | None) -> LdapProvider:
    """The one directory that a password may go to: the named, the role's only one, or the only one configured.

    The last also for a role that names none or is none: after a right password the answer to either is `AccessDenied`.
    Raises `ValidationError` where there is none, or no telling which.
    """
    if provider_arn is not None:
        found = snapshot.ldap_provider(provider_arn)
        if found is None:
            raise ValidationError(f"No LDAP provider found for {provider_arn}")
        return found
    if role_arn is not None and (named := trusted_providers(snapshot, role_arn, "ldap-provider")):
        found = snapshot.ldap_provider(*named) if len(named) == 1 else None
        if found is None:
            raise ValidationError("ProviderArn is required: the role's trust policy does not name one LDAP provider.")
        return found
    configured = [each for account in snapshot.accounts.values() for each in account.ldap_providers.values()]
    if len(configured) != 1:
        raise ValidationError("ProviderArn is required: there is not exactly one LDAP provider.")
    return configured[0]


@dataclass(frozen=True, slots=True)
class Door:
    """Who checks a password: a directory of the account, or without one the account, whose users have passwords."""

    account: Account
    directory: LdapProvider | None = None

    @property
    def id(self) -> str:
        """ARN or account id."""
        return self.account.id if self.directory is None else self.directory.arn

    @property
    def label(self) -> str:
        """For people."""
        if self.directory is not None:
            return self.directory.name
        return self.account.alias or f"Account {self.account.id}"

    @property
    def kind(self) -> str:
        """Of whoever comes in by it, as the audit trail has it."""
        return "IAMUser" if self.directory is None else "LDAPUser"


def doors(snapshot: Snapshot) -> Sequence[Door]:
    """All there are, directories first."""
    accounts = sorted(snapshot.accounts.values(), key=lambda account: account.id)
    directories = [Door(account, each) for account in accounts for each in account.ldap_providers.values()]
    return [*directories, *(Door(each) for each in accounts if any(user.password_hash for user in each.users.values()))]


def door(snapshot: Snapshot, named: str | None, role_arn: str | None) -> Door:
    """The one that a password may go to: the named one, by ARN or account id, the role's, or the only one there is.

    The role's is the directory that its trust policy names; a role that names none is for users with passwords of ours.
    Raises `ValidationError` where there is no telling which.
    """
    known = doors(snapshot)
    if named is not None:
        known = [each for each in known if each.id == named]
    elif len(known) > 1 and role_arn is not None:
        directories = trusted_providers(snapshot, role_arn, "ldap-provider")
        known = [each for each in known if (each.id in directories if directories else each.directory is None)]
    if len(known) != 1:
        raise ValidationError("Choose where you sign in.")
    return known[0]


async def by_door(
    services: Services, snapshot: Snapshot, one: Door, proof: Password, code: Presented | None, wire: Wire
) -> Vouched:
    """Somebody who may go on to choose a role. Raises as `by_directory`; `ValidationError` for a name of no session."""
    if one.directory is not None:
        identity = await by_directory(services, snapshot, one.directory, proof, code, wire)
        user_arn = None
    else:
        identity = await by_local_password(services, snapshot, one.account, proof, code, wire)
        user_arn = identity.subject
    if identity.session_name is None:
        raise ValidationError("The user name cannot name a session; use the API, where another name can be given.")
    return Vouched(
        identity=identity,
        provider_arn=user_arn or one.id,
        kind=one.kind,
        action=LDAP_ACTION if user_arn is None else "sts:AssumeRole",
        session_name=identity.session_name,
        code_verified=code is not None,
        user_arn=user_arn,
    )


async def by_directory(
    services: Services, snapshot: Snapshot, provider: LdapProvider, proof: Password, code: Presented | None, wire: Wire
) -> Identity:
    """Somebody whom a directory vouches for; with a code, `otp` is among the methods.

    Raises:
        IDPRejectedClaim: one text and one time for whatever is wrong; the detail has the reason.
        IDPCommunicationError: no verdict.
        StoreUnavailable: the attempt could not be counted.
    """
    with in_aws_words(rejected=IDPRejectedClaim):
        verifier = services.federation.ldap(provider)
        async with even_refusals():
            attempt = await services.guessing.attempt(provider.arn, proof.username, wire.source_ip)
            async with judged(attempt):
                identity = await verifier.verify(proof, gate=attempt.known_as)
                if code is None:
                    return identity
                name = identity.attributes["ldap:username"][0]
                device = directory_users_device(snapshot, provider, name, code.serial_number)
                await _use(services, device, code)
                return replace(identity, methods=identity.methods | {"otp"})


async def by_local_password(
    services: Services, snapshot: Snapshot, account: Account, proof: Password, code: Presented | None, wire: Wire
) -> Identity:
    """A user of the account who has a password; the subject is the user's ARN. Raises as `by_directory`."""
    with in_aws_words(rejected=IDPRejectedClaim):
        async with even_refusals():
            attempt = await services.guessing.attempt(account.id, proof.username, wire.source_ip)
            async with judged(attempt):
                identity = await services.federation.local(account).verify(proof)
                user = snapshot.user(identity.subject)
                if user is None:
                    raise refused("unknown_user")
                if code is None:
                    return identity
                await _use(services, await users_device(services, snapshot, user, code.serial_number), code)
                return replace(identity, methods=identity.methods | {"otp"})


async def _use(services: Services, device: Device | None, code: Presented) -> None:
    if device is None:
        raise refused("device", "the device is unknown or another user's")
    await services.codes.verify(device, code.code)
