"""What `aws iam get-account-authorization-details` prints (IAM API reference, GetAccountAuthorizationDetails).

Instance profiles, usage counts and dates of last use are known and left aside; so are policy versions that are
not the default one. Access keys, passwords, MFA devices and session lengths are not in such a file.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainValidator, StringConstraints, ValidationInfo, model_validator

from broker.directory.shapes import (
    EntityPath,
    InlinePolicies,
    LongName,
    Names,
    PolicyArn,
    Properties,
    RoleName,
    Section,
    Tags,
    TrustPolicy,
    UserName,
    compiled,
)
from broker.policy import Kind, Policy
from broker.settings.shape import FaultyPart, Many


def _instant(value: object) -> object:
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        instant = None
    if instant is None:
        raise ValueError("must be a time such as 2026-01-02T03:04:05Z")
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


Instant = Annotated[datetime, BeforeValidator(_instant)]
UniqueId = Annotated[str, StringConstraints(pattern=r"^A[A-Z0-9]{15,127}$")]


class AttachedPolicy(Properties):
    """A managed policy attached to an entity."""

    policy_name: LongName
    policy_arn: PolicyArn


class Boundary(Properties):
    """A permissions boundary."""

    permissions_boundary_type: Literal["Policy", "PermissionsBoundaryPolicy"] = "Policy"
    permissions_boundary_arn: PolicyArn


class Detail(Properties):
    """What every printed entity has."""

    arn: str
    create_date: Instant
    path: EntityPath


class UserDetail(Detail):
    """A user."""

    user_name: UserName
    user_id: UniqueId
    user_policy_list: InlinePolicies = ()
    group_list: Names = ()
    attached_managed_policies: Annotated[tuple[AttachedPolicy, ...], Many] = ()
    permissions_boundary: Boundary | None = None
    tags: Tags = ()


class GroupDetail(Detail):
    """A group."""

    group_name: LongName
    group_id: UniqueId
    group_policy_list: InlinePolicies = ()
    attached_managed_policies: Annotated[tuple[AttachedPolicy, ...], Many] = ()


class RoleDetail(Detail):
    """A role."""

    role_name: RoleName
    role_id: UniqueId
    assume_role_policy_document: TrustPolicy
    instance_profile_list: Any = None
    role_policy_list: InlinePolicies = ()
    attached_managed_policies: Annotated[tuple[AttachedPolicy, ...], Many] = ()
    permissions_boundary: Boundary | None = None
    tags: Tags = ()
    role_last_used: Any = None
    source_role_template: Any = None


def _default_document(value: object, info: ValidationInfo) -> Policy | None:
    return compiled(Kind.IDENTITY)(value, info) if info.data.get("is_default_version") else None


class PolicyVersion(Properties):
    """One version of a managed policy; `document` is compiled where it is the default one, else None."""

    version_id: str = Field(pattern=r"^v[1-9][0-9]{0,8}$")
    is_default_version: bool
    document: Annotated[Policy | None, PlainValidator(_default_document)]
    create_date: Instant | None = None


class ManagedPolicyDetail(Detail):
    """A managed policy, the account's own or one of AWS's."""

    policy_name: LongName
    policy_id: UniqueId
    default_version_id: str
    attachment_count: Any = None
    permissions_boundary_usage_count: Any = None
    is_attachable: Any = None
    description: str = ""
    update_date: Any = None
    policy_version_list: Annotated[tuple[PolicyVersion, ...], Many, Field(min_length=1)]

    @model_validator(mode="after")
    def _one_default(self) -> Self:
        defaults = [each.version_id for each in self.policy_version_list if each.is_default_version]
        if defaults != [self.default_version_id]:
            raise FaultyPart([(("PolicyVersionList",), "must hold the default version, once")])
        return self


class Printed(Properties):
    """The whole file; its lists hold what is checked entity by entity."""

    user_detail_list: Section = ()
    group_detail_list: Section = ()
    role_detail_list: Section = ()
    policies: Section = ()
    is_truncated: bool = False
    marker: Any = None
