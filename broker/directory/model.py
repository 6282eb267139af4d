"""Who and what exists: the entities of a configuration, checked and compiled, and the snapshot that holds them.

Nothing here changes after loading. A request reads one `Snapshot` and keeps it to its end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from broker.policy import Policy
from broker.settings import Fault, LoadedFile, Settings, Stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """A long-term access key of a user; an inactive one authenticates nobody."""

    access_key_id: str
    secret: str = field(repr=False)
    active: bool
    user_arn: str
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedPolicy:
    """A customer managed policy, or one of AWS's own (`aws_managed`), which exist in every account.

    `text`: the document as JSON. `policy`: the same compiled as an identity policy.
    """

    arn: str
    account: str
    name: str
    path: str
    unique_id: str
    description: str = ""
    created: datetime | None = None
    policy: Policy
    text: str = field(repr=False)
    default_version: str = "v1"
    aws_managed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group of users. It is no principal; its policies count for its members."""

    account: str
    name: str
    path: str
    arn: str
    unique_id: str
    created: datetime | None = None
    inline_policies: Mapping[str, Policy] = field(default_factory=dict)
    attached_policies: tuple[ManagedPolicy, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user.

    `policies`: everything that grants or denies by identity: inline and attached, the user's own and the groups'.
    `boundary`: compiled permissions boundary, None where none is set. `mfa_devices`: serial numbers (ARNs).
    """

    account: str
    name: str
    path: str
    arn: str
    unique_id: str
    created: datetime | None = None
    groups: tuple[str, ...] = ()
    policies: tuple[Policy, ...] = ()
    inline_policies: Mapping[str, Policy] = field(default_factory=dict)
    attached_policies: tuple[ManagedPolicy, ...] = ()
    boundary: Policy | None = None
    boundary_arn: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    access_keys: tuple[AccessKey, ...] = ()
    password_hash: str | None = field(default=None, repr=False)
    mfa_devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role. `policies` are its inline and attached ones, `trust_policy` says who may assume it."""

    account: str
    name: str
    path: str
    arn: str
    unique_id: str
    description: str = ""
    created: datetime | None = None
    max_session_duration: timedelta = timedelta(hours=1)
    trust_policy: Policy
    policies: tuple[Policy, ...] = ()
    inline_policies: Mapping[str, Policy] = field(default_factory=dict)
    attached_policies: tuple[ManagedPolicy, ...] = ()
    boundary: Policy | None = None
    boundary_arn: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualMfaDevice:
    """A TOTP device; its ARN is its serial number. `seed`: base32, upper case, without padding."""

    arn: str
    account: str
    name: str
    path: str = "/"
    seed: str = field(repr=False)
    users: tuple[str, ...] = ()
    ldap_users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcProvider:
    """An OpenID Connect issuer. `session_tags`: tag key to claim name. `max_token_age` counts from `iat`."""

    arn: str
    account: str
    url: str
    client_ids: tuple[str, ...]
    jwks_file: LoadedFile | None = None
    ca_file: LoadedFile | None = None
    allow_http: bool = False
    session_tags: Mapping[str, str] = field(default_factory=dict)
    max_token_age: timedelta | None = None
    single_use: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamlProvider:
    """A SAML identity provider: its metadata as text, or where to get it and which certificate must have signed it."""

    arn: str
    account: str
    name: str
    metadata: str | None = field(default=None, repr=False)
    metadata_url: str | None = None
    metadata_certificate_file: LoadedFile | None = None
    allow_idp_initiated: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapProvider:
    """An LDAP directory. `session_tags`: tag key to attribute name. `recheck`: None for never.

    `enroll_security_keys`: whether people without a second factor may register a key with the password alone.
    """

    arn: str
    account: str
    name: str
    urls: tuple[str, ...]
    start_tls: bool = False
    allow_plaintext: bool = False
    ca_file: LoadedFile | None = None
    bind_dn: str | None = None
    bind_password: str | None = field(default=None, repr=False)
    user_search_base: str
    user_search_filter: str
    group_search_base: str | None = None
    group_search_filter: str
    group_name_attribute: str = "cn"
    session_tags: Mapping[str, str] = field(default_factory=dict)
    timeout: timedelta = timedelta(seconds=5)
    nested_groups: bool = False
    recheck: timedelta | None = None
    enroll_security_keys: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateProvider:
    """Trust anchors for TLS client certificates (PEM), and a revocation list."""

    arn: str
    account: str
    name: str
    ca_file: LoadedFile
    crl_file: LoadedFile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account and everything in it; mappings are by name, `oidc_providers` by issuer URL.

    `scps`: levels as `broker.policy` wants them, empty where none are listed. `rcps`: beside AWS's implied one.
    """

    id: str
    alias: str | None = None
    users: Mapping[str, User] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    managed_policies: Mapping[str, ManagedPolicy] = field(default_factory=dict)
    mfa_devices: Mapping[str, VirtualMfaDevice] = field(default_factory=dict)
    oidc_providers: Mapping[str, OidcProvider] = field(default_factory=dict)
    saml_providers: Mapping[str, SamlProvider] = field(default_factory=dict)
    ldap_providers: Mapping[str, LdapProvider] = field(default_factory=dict)
    certificate_providers: Mapping[str, CertificateProvider] = field(default_factory=dict)
    scps: tuple[tuple[Policy, ...], ...] = ()
    rcps: tuple[Policy, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A whole configuration as of one load. Lookups are exact and answer None for what does not exist.

    `aws_managed_policies`: by ARN, in every account. `root_tasks`: likewise those that only AssumeRoot takes.
    `warnings`: what the operator should look at.
    `files`: every file that took part, as it was then, so that a change of one can be noticed.
    """

    settings: Settings
    accounts: Mapping[str, Account]
    aws_managed_policies: Mapping[str, ManagedPolicy] = field(default_factory=dict)
    root_tasks: Mapping[str, ManagedPolicy] = field(default_factory=dict)
    warnings: tuple[Fault, ...] = ()
    files: Mapping[Path, Stamp | None] = field(default_factory=dict)
    _access_keys: dict[str, AccessKey] = field(init=False, repr=False, compare=False, default_factory=dict)
    _users: dict[str, User] = field(init=False, repr=False, compare=False, default_factory=dict)
    _roles: dict[str, Role] = field(init=False, repr=False, compare=False, default_factory=dict)
    _policies: dict[str, ManagedPolicy] = field(init=False, repr=False, compare=False, default_factory=dict)
    _mfa: dict[str, VirtualMfaDevice] = field(init=False, repr=False, compare=False, default_factory=dict)
    _oidc: dict[str, OidcProvider] = field(init=False, repr=False, compare=False, default_factory=dict)
    _saml: dict[str, SamlProvider] = field(init=False, repr=False, compare=False, default_factory=dict)
    _ldap: dict[str, LdapProvider] = field(init=False, repr=False, compare=False, default_factory=dict)
    _certificate: dict[str, CertificateProvider] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._policies.update(self.aws_managed_policies)
        for account in self.accounts.values():
            for user in account.users.values():
                self._users[user.arn] = user
                self._access_keys.update((key.access_key_id, key) for key in user.access_keys)
            self._roles.update((each.arn, each) for each in account.roles.values())
            self._policies.update((each.arn, each) for each in account.managed_policies.values())
            self._mfa.update((each.arn, each) for each in account.mfa_devices.values())
            self._oidc.update((each.arn, each) for each in account.oidc_providers.values())
            self._saml.update((each.arn, each) for each in account.saml_providers.values())
            self._ldap.update((each.arn, each) for each in account.ldap_providers.values())
            self._certificate.update((each.arn, each) for each in account.certificate_providers.values())

    def account(self, account_id: str) -> Account | None:
        """The account of that number."""
        return self.accounts.get(account_id)

    def access_key(self, access_key_id: str) -> AccessKey | None:
        """The long-term access key, active or not."""
        return self._access_keys.get(access_key_id)

    def user(self, arn: str) -> User | None:
        """The user of that ARN, path included."""
        return self._users.get(arn)

    def role(self, arn: str) -> Role | None:
        """The role of that ARN, path included."""
        return self._roles.get(arn)

    def managed_policy(self, arn: str) -> ManagedPolicy | None:
        """The managed policy of that ARN, customer's or AWS's."""
        return self._policies.get(arn)

    def mfa_device(self, serial_number: str) -> VirtualMfaDevice | None:
        """The virtual MFA device whose ARN is the serial number."""
        return self._mfa.get(serial_number)

    def oidc_provider(self, arn: str) -> OidcProvider | None:
        """The OpenID Connect provider of that ARN."""
        return self._oidc.get(arn)

    def saml_provider(self, arn: str) -> SamlProvider | None:
        """The SAML provider of that ARN."""
        return self._saml.get(arn)

    def ldap_provider(self, arn: str) -> LdapProvider | None:
        """The LDAP provider of that ARN."""
        return self._ldap.get(arn)

    def certificate_provider(self, arn: str) -> CertificateProvider | None:
        """The client-certificate provider of that ARN."""
        return self._certificate.get(arn)
