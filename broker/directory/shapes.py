"""What may stand in an account file: the property names of CloudFormation's `AWS::IAM::*` resources.

Patterns and limits are IAM's (API reference, "Common types"); policy documents come out compiled.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, StringConstraints, ValidationInfo
from pydantic.alias_generators import to_pascal

from broker.ids import TEMPORARY
from broker.policy import Kind, Policy, PolicyError, parse, parse_value
from broker.policy.faults import parts
from broker.settings.documents import Location
from broker.settings.shape import FaultyPart, Many, Shape
from broker.settings.sources import Sources
from broker.settings.values import AccountId, HasSources

MAX_TAGS = 50
_ARGON2ID = re.compile(
    r"\$argon2id\$v=19\$m=[0-9]{1,8},t=[0-9]{1,4},p=[0-9]{1,3}\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{22,}"
)


class Context(HasSources):
    """Validation context of one entity.

    `policy_name` names a policy of it, given its inline name ("" for others); `source_type` is a simulator's word.
    """

    def __init__(self, sources: Sources, policy_name: Callable[[str], str], source_type: str) -> None:
        super().__init__(sources)
        self.policy_name = policy_name
        self.source_type = source_type


def compiled(kind: Kind) -> Callable[[object, ValidationInfo], Policy]:
    """A validator that compiles a policy document: a mapping, JSON text or URL-encoded JSON text."""

    def validator(value: object, info: ValidationInfo) -> Policy:
        context = info.context
        if not isinstance(context, Context):
            raise ValueError("can only be read as part of a configuration")  # noqa: TRY004
        name = context.policy_name(str(info.data.get("policy_name", "")))
        source_type = context.source_type
        if isinstance(value, str) and value.startswith("${"):
            raise ValueError("nothing is put into policy documents, which have variables of their own; write it here")
        try:
            if isinstance(value, str):
                return parse(_json_text(value), kind, name=name, source_type=source_type)
            return parse_value(value, kind, name=name, source_type=source_type)
        except PolicyError as error:
            if isinstance(value, str):
                raise FaultyPart([((), str(fault)) for fault in error.faults]) from None
            raise FaultyPart([_placed(value, fault.pointer, fault.message) for fault in error.faults]) from None

    return validator


def _json_text(document: str) -> str:
    """The API prints documents URL-encoded (RFC 3986); JSON text never begins with a percent sign."""
    return unquote(document) if document.startswith("%") else document


def _placed(value: object, pointer: str, message: str) -> tuple[Location, str]:
    location: list[str | int] = []
    for key in parts(pointer):
        if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            location.append(int(key))
            value = value[int(key)]
        else:
            location.append(key)
            value = value.get(key) if isinstance(value, dict) else None
    return tuple(location), message


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    faults: list[tuple[Location, str]] = [
        ((i,), "stands here twice") for i, value in enumerate(values) if value in values[:i]
    ]
    if faults:
        raise FaultyPart(faults)
    return values


IdentityPolicy = Annotated[Policy, PlainValidator(compiled(Kind.IDENTITY))]
TrustPolicy = Annotated[Policy, PlainValidator(compiled(Kind.TRUST))]
ServiceControlDocument = Annotated[Policy, PlainValidator(compiled(Kind.SCP))]
ResourceControlDocument = Annotated[Policy, PlainValidator(compiled(Kind.RCP))]

UserName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+=,.@-]{1,64}$")]
RoleName = UserName
LongName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+=,.@-]{1,128}$")]
ProviderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
EntityPath = Annotated[str, StringConstraints(pattern=r"^(/|/[\x21-\x7E]+/)$", max_length=512)]
PolicyPath = Annotated[str, StringConstraints(pattern=r"^((/[A-Za-z0-9.,+@=_-]+)*)/$", max_length=512)]
PolicyArn = Annotated[str, StringConstraints(pattern=r"^arn:[a-z0-9-]+:iam::([0-9]{12}|aws):policy/[\x21-\x7E]+$")]
PolicyArns = Annotated[tuple[PolicyArn, ...], Many, AfterValidator(_distinct)]
Names = Annotated[tuple[LongName, ...], Many, AfterValidator(_distinct)]


class Properties(Shape):
    """A mapping with keys in CloudFormation's spelling."""

    model_config = ConfigDict(alias_generator=to_pascal)


_TAG_TEXT = r"^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$"
TagKey = Annotated[str, StringConstraints(pattern=_TAG_TEXT, min_length=1, max_length=128)]


class Tag(Properties):
    """One tag."""

    key: TagKey
    value: str = Field(pattern=_TAG_TEXT, max_length=256)


def _tags(tags: tuple[Tag, ...]) -> tuple[Tag, ...]:
    faults: list[tuple[Location, str]] = []
    seen: set[str] = set()
    for i, tag in enumerate(tags):
        if tag.key.lower() in seen:
            faults.append(((i,), "the same key stands twice; keys are compared ignoring case"))
        seen.add(tag.key.lower())
    if len(tags) > MAX_TAGS:
        faults.append(((), f"at most {MAX_TAGS} tags"))
    if faults:
        raise FaultyPart(faults)
    return tags


Tags = Annotated[tuple[Tag, ...], Many, AfterValidator(_tags)]


class InlinePolicy(Properties):
    """A policy inside a user, group or role; the name stands first because the document's faults mention it."""

    policy_name: LongName
    policy_document: IdentityPolicy


def _inline(policies: tuple[InlinePolicy, ...]) -> tuple[InlinePolicy, ...]:
    seen: set[str] = set()
    for i, policy in enumerate(policies):
        if policy.policy_name.lower() in seen:
            raise FaultyPart([((i,), "a policy of this name stands here already")])
        seen.add(policy.policy_name.lower())
    return policies


InlinePolicies = Annotated[tuple[InlinePolicy, ...], Many, AfterValidator(_inline)]


def _long_term(access_key_id: str) -> str:
    if access_key_id.startswith(TEMPORARY):
        raise ValueError(f"must not begin with {TEMPORARY}, as the keys of sessions do")
    return access_key_id


class AccessKeyProperties(Properties):
    """A long-term access key."""

    access_key_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{16,128}$"), AfterValidator(_long_term)]
    secret_access_key: str = Field(pattern=r"^[\x21-\x7E]{8,256}$", repr=False)
    status: Literal["Active", "Inactive"] = "Active"


def _argon2id(text: str) -> str:
    if _ARGON2ID.fullmatch(text) is None:
        raise ValueError("must be an argon2id hash; `sojourn generate password-hash` makes one")
    return text


class LoginProfile(Properties):
    """A user's password, hashed."""

    password_hash: Annotated[str, AfterValidator(_argon2id)] = Field(repr=False)


class UserProperties(Properties):
    """`AWS::IAM::User`, its access keys and its password."""

    user_name: UserName
    path: EntityPath = "/"
    groups: Names = ()
    policies: InlinePolicies = ()
    managed_policy_arns: PolicyArns = ()
    permissions_boundary: PolicyArn | None = None
    tags: Tags = ()
    access_keys: Annotated[tuple[AccessKeyProperties, ...], Many] = ()
    login_profile: LoginProfile | None = None


class GroupProperties(Properties):
    """`AWS::IAM::Group`."""

    group_name: LongName
    path: EntityPath = "/"
    policies: InlinePolicies = ()
    managed_policy_arns: PolicyArns = ()


class RoleProperties(Properties):
    """`AWS::IAM::Role`."""

    role_name: RoleName
    path: EntityPath = "/"
    description: str = Field(default="", max_length=1000)
    max_session_duration: int = Field(default=3600, ge=3600, le=43_200)
    assume_role_policy_document: TrustPolicy
    policies: InlinePolicies = ()
    managed_policy_arns: PolicyArns = ()
    permissions_boundary: PolicyArn | None = None
    tags: Tags = ()


class ManagedPolicyProperties(Properties):
    """`AWS::IAM::ManagedPolicy`; `Users`, `Groups` and `Roles` are those it is attached to."""

    managed_policy_name: LongName
    path: PolicyPath = "/"
    description: str = Field(default="", max_length=1000)
    policy_document: IdentityPolicy
    users: Names = ()
    groups: Names = ()
    roles: Names = ()


class ServiceControlPolicyProperties(Properties):
    """A service control policy of this account."""

    name: LongName
    policy_document: ServiceControlDocument


class ResourceControlPolicyProperties(Properties):
    """A resource control policy of this account."""

    name: LongName
    policy_document: ResourceControlDocument


Section = Annotated[tuple[Any, ...], Many]


class AccountFile(Properties):
    """An account file; its lists hold what is checked entity by entity."""

    account: AccountId
    alias: str | None = Field(default=None, min_length=3, max_length=63, pattern=r"^[a-z0-9](-?[a-z0-9])*$")
    users: Section = ()
    groups: Section = ()
    roles: Section = ()
    managed_policies: Section = ()
    virtual_mfa_devices: Section = Field(default=(), alias="VirtualMFADevices")
    oidc_providers: Section = Field(default=(), alias="OIDCProviders")
    saml_providers: Section = Field(default=(), alias="SAMLProviders")
    ldap_providers: Section = Field(default=(), alias="LDAPProviders")
    certificate_providers: Section = ()
    service_control_policies: Section = ()
    resource_control_policies: Section = ()
