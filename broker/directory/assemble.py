"""Declared entities to accounts: what they name must exist, and what can be resolved once is resolved here."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from broker.directory.declared import (
    Declared,
    DeclaredGroup,
    DeclaredPolicy,
    DeclaredRole,
    DeclaredUser,
    tag_mapping,
)
from broker.directory.model import (
    AccessKey,
    Account,
    CertificateProvider,
    Group,
    LdapProvider,
    ManagedPolicy,
    OidcProvider,
    Role,
    SamlProvider,
    User,
    VirtualMfaDevice,
)
from broker.directory.provider_shapes import (
    LdapProviderProperties,
    OidcProviderProperties,
    SamlProviderProperties,
    VirtualMfaDeviceProperties,
)
from broker.directory.reading import DeclaredAccount, entity_arn
from broker.ids import unique_id
from broker.policy import Kind, Policy, parse
from broker.settings.documents import Location
from broker.settings.faults import Fault
from broker.settings.shape import Place


def managed_policy(declared: DeclaredPolicy, account: str, partition: str, *, aws_managed: bool) -> ManagedPolicy:
    """The managed policy that `declared` describes; `account` is `aws` for AWS's own."""
    arn = entity_arn(partition, account, "policy", declared.path, declared.name)
    return ManagedPolicy(
        arn=arn,
        account=account,
        name=declared.name,
        path=declared.path,
        unique_id=declared.unique_id or unique_id("ANPA", arn),
        description=declared.description,
        created=declared.created,
        policy=declared.policy,
        text=declared.policy.text,
        default_version=declared.default_version,
        aws_managed=aws_managed,
    )


@dataclass(slots=True)
class Configuration:
    """What the accounts of one configuration share while they are assembled; `faults` and `warnings` grow."""

    partition: str
    aws_policies: Mapping[str, ManagedPolicy]
    complete: bool
    faults: list[Fault]
    warnings: list[Fault]
    access_keys: dict[str, Fault] = field(default_factory=dict)
    boundaries: dict[str, Policy] = field(default_factory=dict)


class AccountAssembler:
    """Makes one account. Names that nothing has are faults, save where a file that may have them was unreadable."""

    def __init__(self, declared: DeclaredAccount, configuration: Configuration) -> None:
        self._declared = declared
        self._shared = configuration
        self._made = [
            (policy, managed_policy(policy, declared.id, configuration.partition, aws_managed=False))
            for policy in declared.policies
        ]
        self._policies = {made.arn: made for _, made in self._made}
        self._attached: dict[tuple[str, str], list[ManagedPolicy]] = {}

    def account(self) -> Account:
        """The account with everything in it."""
        declared = self._declared
        for policy, made in self._made:
            self._attach(policy, made)
        groups = {each.name: self._group(each) for each in declared.groups}
        devices = {
            shape.virtual_mfa_device_name: self._mfa_device(shape, place) for shape, place in declared.mfa_devices
        }
        return Account(
            id=declared.id,
            alias=declared.alias,
            users={each.name: self._user(each, groups, devices.values()) for each in declared.users},
            groups=groups,
            roles={each.name: self._role(each) for each in declared.roles},
            managed_policies={each.name: each for each in self._policies.values()},
            mfa_devices=devices,
            oidc_providers={shape.url: self._oidc_provider(shape, place) for shape, place in declared.oidc_providers},
            saml_providers={shape.name: self._saml_provider(shape) for shape, _ in declared.saml_providers},
            ldap_providers={shape.name: self._ldap_provider(shape) for shape, _ in declared.ldap_providers},
            certificate_providers={
                shape.name: CertificateProvider(
                    arn=self._arn("certificate-provider", "/", shape.name),
                    account=declared.id,
                    name=shape.name,
                    ca_file=shape.ca_file,
                    crl_file=shape.crl_file,
                )
                for shape, _ in declared.certificate_providers
            },
            scps=(tuple(declared.scps),) if declared.scps else (),
            rcps=tuple(declared.rcps),
        )

    def _arn(self, kind: str, path: str, name: str) -> str:
        return entity_arn(self._shared.partition, self._declared.id, kind, path, name)

    def _attach(self, policy: DeclaredPolicy, made: ManagedPolicy) -> None:
        for kind, key, names in (
            ("user", "Users", policy.users),
            ("group", "Groups", policy.groups),
            ("role", "Roles", policy.roles),
        ):
            for i, name in enumerate(names):
                self._exists(kind, name, policy.place, (key, i))
                self._attached.setdefault((kind, name), []).append(made)

    def _exists(self, kind: str, name: str, place: Place, location: Location) -> None:
        known = self._declared.names.get(kind, set())
        if name in known or not self._shared.complete:
            return
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        self._shared.faults.append(place(location, f"there is no {kind} {name} in account {self._declared.id}{hint}"))

    def _policy(self, arn: str, place: Place, location: Location) -> ManagedPolicy | None:
        found = self._policies.get(arn) or self._shared.aws_policies.get(arn)
        if found is None and self._shared.complete and not self._is_faulty(arn):
            near = difflib.get_close_matches(arn, [*self._policies, *self._shared.aws_policies], n=1, cutoff=0.9)
            hint = f"; did you mean {near[0]}?" if near else ""
            self._shared.faults.append(place(location, f"there is no managed policy {arn}{hint}"))
        return found

    def _is_faulty(self, arn: str) -> bool:
        """Whether it is declared, with faults of its own that are reported already."""
        prefix, _, name = arn.rpartition("/")
        names = self._declared.names.get("policy", set())
        return name in names and prefix.startswith(self._arn("policy", "", ""))

    def _attached_to(self, kind: str, declared: Declared) -> tuple[ManagedPolicy, ...]:
        found = [
            self._policy(arn, declared.place, (declared.attached_key, i)) for i, arn in enumerate(declared.attached)
        ]
        attached = [*filter(None, found), *self._attached.get((kind, declared.name), ())]
        return tuple({each.arn: each for each in attached}.values())

    def _boundary(self, arn: str | None, place: Place) -> Policy | None:
        if arn is None:
            return None
        managed = self._policy(arn, place, ("PermissionsBoundary",))
        if managed is None:
            return None
        if arn not in self._shared.boundaries:
            source_type = managed.policy.source_type
            boundary = parse(managed.text, Kind.BOUNDARY, name=arn, source_type=source_type)
            self._shared.boundaries[arn] = boundary
        return self._shared.boundaries[arn]

    def _group(self, declared: DeclaredGroup) -> Group:
        arn = self._arn("group", declared.path, declared.name)
        return Group(
            account=self._declared.id,
            name=declared.name,
            path=declared.path,
            arn=arn,
            unique_id=declared.unique_id or unique_id("AGPA", arn),
            created=declared.created,
            inline_policies=declared.inline,
            attached_policies=self._attached_to("group", declared),
        )

    def _user(self, declared: DeclaredUser, groups: Mapping[str, Group], devices: Iterable[VirtualMfaDevice]) -> User:
        arn = self._arn("user", declared.path, declared.name)
        for i, name in enumerate(declared.groups):
            self._exists("group", name, declared.place, (declared.groups_key, i))
        attached = self._attached_to("user", declared)
        memberships = [groups[name] for name in declared.groups if name in groups]
        managed = {each.arn: each for each in attached}
        for group in memberships:
            managed.update((each.arn, each) for each in group.attached_policies)
        return User(
            account=self._declared.id,
            name=declared.name,
            path=declared.path,
            arn=arn,
            unique_id=declared.unique_id or unique_id("AIDA", arn),
            created=declared.created,
            groups=declared.groups,
            policies=(
                *declared.inline.values(),
                *(policy for group in memberships for policy in group.inline_policies.values()),
                *(each.policy for each in managed.values()),
            ),
            inline_policies=declared.inline,
            attached_policies=attached,
            boundary=self._boundary(declared.boundary, declared.place),
            boundary_arn=declared.boundary,
            tags=declared.tags,
            access_keys=tuple(self._access_key(declared, i, arn) for i in range(len(declared.access_keys))),
            password_hash=declared.password_hash,
            mfa_devices=tuple(device.arn for device in devices if declared.name in device.users),
        )

    def _access_key(self, declared: DeclaredUser, position: int, user_arn: str) -> AccessKey:
        key = declared.access_keys[position]
        here = declared.place(("AccessKeys", position, "AccessKeyId"), "")
        first = self._shared.access_keys.setdefault(key.access_key_id, here)
        if first is not here:
            self._shared.faults.append(
                replace(here, message=f"this access key id stands at {first.file}:{first.line} already")
            )
        return AccessKey(
            access_key_id=key.access_key_id,
            secret=key.secret_access_key,
            active=key.status == "Active",
            user_arn=user_arn,
            account=self._declared.id,
        )

    def _role(self, declared: DeclaredRole) -> Role:
        arn = self._arn("role", declared.path, declared.name)
        attached = self._attached_to("role", declared)
        return Role(
            account=self._declared.id,
            name=declared.name,
            path=declared.path,
            arn=arn,
            unique_id=declared.unique_id or unique_id("AROA", arn),
            description=declared.description,
            created=declared.created,
            max_session_duration=timedelta(seconds=declared.max_session_duration),
            trust_policy=declared.trust_policy,
            policies=(*declared.inline.values(), *(each.policy for each in attached)),
            inline_policies=declared.inline,
            attached_policies=attached,
            boundary=self._boundary(declared.boundary, declared.place),
            boundary_arn=declared.boundary,
            tags=declared.tags,
        )

    def _mfa_device(self, shape: VirtualMfaDeviceProperties, place: Place) -> VirtualMfaDevice:
        for i, name in enumerate(shape.users):
            self._exists("user", name, place, ("Users", i))
        for i, name in enumerate(shape.ldap_users):
            self._exists("ldap-provider", name.partition("/")[0], place, ("LdapUsers", i))
        return VirtualMfaDevice(
            arn=self._arn("mfa", shape.path, shape.virtual_mfa_device_name),
            account=self._declared.id,
            name=shape.virtual_mfa_device_name,
            path=shape.path,
            seed=shape.base32_string_seed,
            users=shape.users,
            ldap_users=shape.ldap_users,
        )

    def _oidc_provider(self, shape: OidcProviderProperties, place: Place) -> OidcProvider:
        if shape.thumbprint_list:
            message = "ThumbprintList is not used: the issuer's certificate chain is checked, against CaFile if given"
            self._shared.warnings.append(place(("ThumbprintList",), message))
        return OidcProvider(
            arn=self._arn("oidc-provider", "/", shape.url.partition("://")[2]),
            account=self._declared.id,
            url=shape.url,
            client_ids=shape.client_id_list,
            jwks_file=shape.jwks_file,
            ca_file=shape.ca_file,
            allow_http=shape.allow_http,
            session_tags=shape.session_tags,
            max_token_age=_seconds(shape.max_token_age_seconds),
            single_use=shape.single_use,
            tags=tag_mapping(shape.tags),
        )

    def _saml_provider(self, shape: SamlProviderProperties) -> SamlProvider:
        return SamlProvider(
            arn=self._arn("saml-provider", "/", shape.name),
            account=self._declared.id,
            name=shape.name,
            metadata=shape.saml_metadata_document,
            metadata_url=shape.metadata_url,
            metadata_certificate_file=shape.metadata_certificate_file,
            allow_idp_initiated=shape.allow_idp_initiated,
            tags=tag_mapping(shape.tags),
        )

    def _ldap_provider(self, shape: LdapProviderProperties) -> LdapProvider:
        return LdapProvider(
            arn=self._arn("ldap-provider", "/", shape.name),
            account=self._declared.id,
            name=shape.name,
            urls=shape.urls,
            start_tls=shape.start_tls,
            allow_plaintext=shape.allow_plaintext,
            ca_file=shape.ca_file,
            bind_dn=shape.bind_dn,
            bind_password=shape.bind_password,
            user_search_base=shape.user_search_base,
            user_search_filter=shape.user_search_filter,
            group_search_base=shape.group_search_base,
            group_search_filter=shape.group_search_filter,
            group_name_attribute=shape.group_name_attribute,
            session_tags=shape.session_tags,
            timeout=timedelta(seconds=shape.timeout_seconds),
            nested_groups=shape.nested_groups,
            recheck=_seconds(shape.recheck_seconds),
            enroll_security_keys=shape.enroll_security_keys,
        )


def _seconds(value: int | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)
