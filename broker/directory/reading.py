"""Account files one by one: which entities each account declares, in either format, with every fault of each file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

from broker.arn import is_account_id
from broker.directory import declared, printed, provider_shapes, shapes
from broker.directory.declared import DeclaredGroup, DeclaredPolicy, DeclaredRole, DeclaredUser
from broker.directory.shapes import Context, Properties
from broker.policy import Kind, Policy, parse_value
from broker.settings.documents import Document
from broker.settings.faults import Fault
from broker.settings.shape import Place, validate, within
from broker.settings.sources import Sources

SUFFIXES = (".yaml", ".yml", ".json")
FULL_AWS_ACCESS = "FullAWSAccess"


@dataclass(slots=True)
class DeclaredAccount:
    """What the files say about one account. `names`: every name that was declared, faulty entities' too, by kind."""

    id: str
    alias: str | None = None
    users: list[DeclaredUser] = field(default_factory=list)
    groups: list[DeclaredGroup] = field(default_factory=list)
    roles: list[DeclaredRole] = field(default_factory=list)
    policies: list[DeclaredPolicy] = field(default_factory=list)
    mfa_devices: list[tuple[provider_shapes.VirtualMfaDeviceProperties, Place]] = field(default_factory=list)
    oidc_providers: list[tuple[provider_shapes.OidcProviderProperties, Place]] = field(default_factory=list)
    saml_providers: list[tuple[provider_shapes.SamlProviderProperties, Place]] = field(default_factory=list)
    ldap_providers: list[tuple[provider_shapes.LdapProviderProperties, Place]] = field(default_factory=list)
    certificate_providers: list[tuple[provider_shapes.CertificateProviderProperties, Place]] = field(
        default_factory=list
    )
    scps: list[Policy] = field(default_factory=list)
    rcps: list[Policy] = field(default_factory=list)
    names: dict[str, set[str]] = field(default_factory=dict)
    _claims: dict[tuple[str, str], Fault] = field(default_factory=dict)

    def claim(self, kind: str, name: str, place: Place, faults: list[Fault]) -> None:
        """Note that `name` is declared at `place`; a fault where it was before, in whichever file."""
        here = place((), "")
        first = self._claims.setdefault((kind, name.lower()), here)
        if first is not here:
            faults.append(place((), f"a {kind} of this name is described at {first.file}:{first.line} already"))
        self.names.setdefault(kind, set()).add(name)


def account_files(directory: Path) -> Sequence[Path]:
    """The account files of a configuration directory, in the order of their names."""
    accounts = directory / "accounts"
    if not accounts.is_dir():
        return ()
    found = (each for each in accounts.iterdir() if each.suffix in SUFFIXES and not each.name.startswith("."))
    return sorted(each for each in found if not each.is_dir())


@dataclass(frozen=True, slots=True)
class _Section:
    """A list in an account file: its key, what its items are, where their name stands, their shape, what takes them."""

    key: str
    kind: str
    name_key: str
    shape: type[Properties]
    add: Callable[[DeclaredAccount, Any, Place], None]


_DESCRIBED = (
    _Section("Users", "user", "UserName", shapes.UserProperties, lambda a, s, p: a.users.append(declared.user(s, p))),
    _Section(
        "Groups", "group", "GroupName", shapes.GroupProperties, lambda a, s, p: a.groups.append(declared.group(s, p))
    ),
    _Section("Roles", "role", "RoleName", shapes.RoleProperties, lambda a, s, p: a.roles.append(declared.role(s, p))),
    _Section(
        "ManagedPolicies",
        "policy",
        "ManagedPolicyName",
        shapes.ManagedPolicyProperties,
        lambda a, s, p: a.policies.append(declared.managed_policy(s, p)),
    ),
    _Section(
        "VirtualMFADevices",
        "mfa",
        "VirtualMfaDeviceName",
        provider_shapes.VirtualMfaDeviceProperties,
        lambda a, s, p: a.mfa_devices.append((s, p)),
    ),
    _Section(
        "OIDCProviders",
        "oidc-provider",
        "Url",
        provider_shapes.OidcProviderProperties,
        lambda a, s, p: a.oidc_providers.append((s, p)),
    ),
    _Section(
        "SAMLProviders",
        "saml-provider",
        "Name",
        provider_shapes.SamlProviderProperties,
        lambda a, s, p: a.saml_providers.append((s, p)),
    ),
    _Section(
        "LDAPProviders",
        "ldap-provider",
        "Name",
        provider_shapes.LdapProviderProperties,
        lambda a, s, p: a.ldap_providers.append((s, p)),
    ),
    _Section(
        "CertificateProviders",
        "certificate-provider",
        "Name",
        provider_shapes.CertificateProviderProperties,
        lambda a, s, p: a.certificate_providers.append((s, p)),
    ),
    _Section(
        "ServiceControlPolicies",
        "service control policy",
        "Name",
        shapes.ServiceControlPolicyProperties,
        lambda a, s, _: a.scps.append(s.policy_document),
    ),
    _Section(
        "ResourceControlPolicies",
        "resource control policy",
        "Name",
        shapes.ResourceControlPolicyProperties,
        lambda a, s, _: a.rcps.append(s.policy_document),
    ),
)

_PRINTED = (
    _Section(
        "UserDetailList",
        "user",
        "UserName",
        printed.UserDetail,
        lambda a, s, p: a.users.append(declared.printed_user(s, p)),
    ),
    _Section(
        "GroupDetailList",
        "group",
        "GroupName",
        printed.GroupDetail,
        lambda a, s, p: a.groups.append(declared.printed_group(s, p)),
    ),
    _Section(
        "RoleDetailList",
        "role",
        "RoleName",
        printed.RoleDetail,
        lambda a, s, p: a.roles.append(declared.printed_role(s, p)),
    ),
    _Section(
        "Policies",
        "policy",
        "PolicyName",
        printed.ManagedPolicyDetail,
        lambda a, s, p: a.policies.append(declared.printed_policy(s, p)),
    ),
)


class AccountReader:
    """Reads account files into `accounts`; `aws` has the AWS-managed policies that printed files brought along.

    `complete`: whether every file could be read as far as its entities' names; without that nothing can be said
    about what does not exist.
    """

    def __init__(self, sources: Sources, partition: str, faults: list[Fault]) -> None:
        self.accounts: dict[str, DeclaredAccount] = {}
        self.aws = DeclaredAccount("aws")
        self.complete = True
        self._sources = sources
        self._partition = partition
        self._faults = faults

    def read(self, path: Path) -> None:
        """Add what the file at `path` declares."""
        document = self._sources.document(path, self._faults)
        if document is None or not isinstance(document.value, dict):
            self.complete = False
            if document is not None:
                self._faults.append(document.fault((), "must be a mapping that describes an account"))
        elif _is_printed(document.value):
            # References are no references there: whoever may describe a role in AWS must not read our environment.
            self._read_printed(document, document.value)
        else:
            document = self._sources.resolved(document, self._faults)
            self._read_described(document, cast("dict[str, object]", document.value))

    def _read_described(self, document: Document, value: dict[str, object]) -> None:
        # A section whose every item is commented out reads as null.
        value = {key: item for key, item in value.items() if item is not None or key not in _SECTION_KEYS}
        place = within(document, ())
        file = validate(shapes.AccountFile, value, place, self._faults)
        account = self._account(value.get("Account"))
        if file is None:
            self.complete = False
        elif file.alias is not None:
            if account.alias not in (None, file.alias):
                self._faults.append(place(("Alias",), f"the account has the alias {account.alias} already"))
            account.alias = file.alias
        self._read_sections(document, value, _DESCRIBED, account)

    def _read_printed(self, document: Document, value: dict[str, object]) -> None:
        place = within(document, ())
        file = validate(printed.Printed, value, place, self._faults)
        if file is not None and file.is_truncated:
            self._faults.append(place(("IsTruncated",), "this is only a part; print the whole, without --no-paginate"))
        account = self._account(_printed_account(value))
        if file is None:
            self.complete = False
        elif account.id not in self.accounts:
            self.complete = False
            self._faults.append(place((), "no user, group, role or policy in it tells the account's number"))
        self._read_sections(document, value, _PRINTED, account)

    def _account(self, account_id: object) -> DeclaredAccount:
        """The account of that number; one that is not counted where it is none."""
        if isinstance(account_id, str) and is_account_id(account_id):
            return self.accounts.setdefault(account_id, DeclaredAccount(account_id))
        return DeclaredAccount("")

    def _read_sections(
        self, document: Document, value: dict[str, object], sections: Sequence[_Section], account: DeclaredAccount
    ) -> None:
        for section in sections:
            items = value.get(section.key)
            for i, item in enumerate(items if isinstance(items, list) else ()):
                place = within(document, (section.key, i))
                if isinstance(item, str) and section.shape is shapes.ServiceControlPolicyProperties:
                    if item == FULL_AWS_ACCESS:
                        account.scps.append(full_aws_access())
                    else:
                        self._faults.append(place((), f"must be a mapping, or the word {FULL_AWS_ACCESS}"))
                else:
                    self._read_entity(section, item, place, account)

    def _read_entity(self, section: _Section, item: object, place: Place, account: DeclaredAccount) -> None:
        values = item if isinstance(item, dict) else {}
        name = values.get(section.name_key)
        arn = values.get("Arn")
        if section.shape is printed.ManagedPolicyDetail and isinstance(arn, str) and ":iam::aws:" in arn:
            account = self.aws
        elif isinstance(name, str):
            account.claim(section.kind, name, place, self._faults)
        context = Context(
            self._sources, *_naming(section.kind, str(name), str(values.get("Path", "/")), account.id, self._partition)
        )
        shape = validate(section.shape, item, place, self._faults, context)
        if shape is None:
            return
        if isinstance(shape, printed.Detail):
            expected = entity_arn(self._partition, account.id, section.kind, shape.path, str(name))
            if shape.arn != expected:
                self._faults.append(place(("Arn",), f"must be {expected}, by its name, path and account"))
                return
        section.add(account, shape, place)


_SECTION_KEYS = frozenset(section.key for section in _DESCRIBED)


def entity_arn(partition: str, account: str, kind: str, path: str, name: str) -> str:
    """`arn:aws:iam::111122223333:role/ci/deploy` for kind `role`, path `/ci/` and name `deploy`."""
    return f"arn:{partition}:iam::{account}:{kind}{path}{name}"


def _naming(kind: str, name: str, path: str, account: str, partition: str) -> tuple[Callable[[str], str], str]:
    """How policies of an entity are called in decisions, and a simulator's word for their source."""
    if kind in ("user", "group", "role"):
        return (
            lambda inline: f"inline policy {inline} of {kind}/{name}" if inline else f"trust policy of role/{name}",
            kind,
        )
    if kind == "policy":
        arn = entity_arn(partition, account, kind, path, name)
        return lambda _inline: arn, "aws-managed" if account == "aws" else "user-managed"
    return lambda _inline: f"{kind} {name} of {account}", "none"


def _is_printed(value: dict[str, object]) -> bool:
    """Whether this is what the AWS command line prints; `Policies` alone may be one of ours, misplaced."""
    return "Account" not in value and any(section.key in value for section in _PRINTED)


def _printed_account(value: dict[str, object]) -> str | None:
    for section in _PRINTED:
        items = value.get(section.key)
        for item in items if isinstance(items, list) else ():
            arn = item.get("Arn") if isinstance(item, dict) else None
            if isinstance(arn, str) and arn.count(":") >= 5 and is_account_id(arn.split(":")[4]):
                return arn.split(":")[4]
    return None


@cache
def full_aws_access() -> Policy:
    """AWS's own service control policy of that name: everything is allowed."""
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    return parse_value({"Version": "2012-10-17", "Statement": [statement]}, Kind.SCP, name=FULL_AWS_ACCESS)
