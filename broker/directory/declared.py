"""Entities as files declare them, whichever format they came in: valid by themselves, not yet tied to one another."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from broker.directory.printed import AttachedPolicy, GroupDetail, ManagedPolicyDetail, RoleDetail, UserDetail
from broker.directory.shapes import (
    AccessKeyProperties,
    GroupProperties,
    InlinePolicy,
    ManagedPolicyProperties,
    RoleProperties,
    Tag,
    UserProperties,
)
from broker.policy import Policy
from broker.settings.shape import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What every entity has. `place` makes faults of it; the keys say where its format keeps lists."""

    name: str
    path: str
    place: Place
    unique_id: str | None = None
    created: datetime | None = None
    inline: Mapping[str, Policy]
    inline_key: str = "Policies"
    attached: tuple[str, ...] = ()
    attached_key: str = "ManagedPolicyArns"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredUser(Declared):
    """A user."""

    groups: tuple[str, ...]
    groups_key: str = "Groups"
    boundary: str | None
    tags: Mapping[str, str]
    access_keys: tuple[AccessKeyProperties, ...] = ()
    password_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredGroup(Declared):
    """A group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredRole(Declared):
    """A role; `max_session_duration` in seconds."""

    description: str = ""
    max_session_duration: int = 3600
    trust_policy: Policy
    boundary: str | None
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredPolicy:
    """A managed policy and the names of what it is attached to from its side."""

    name: str
    path: str
    place: Place
    unique_id: str | None = None
    created: datetime | None = None
    description: str
    policy: Policy
    default_version: str = "v1"
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()


def tag_mapping(tags: tuple[Tag, ...]) -> Mapping[str, str]:
    """Key to value, in the file's order."""
    return {tag.key: tag.value for tag in tags}


def _inline(policies: tuple[InlinePolicy, ...]) -> Mapping[str, Policy]:
    return {policy.policy_name: policy.policy_document for policy in policies}


def _arns(policies: tuple[AttachedPolicy, ...]) -> tuple[str, ...]:
    return tuple(policy.policy_arn for policy in policies)


def user(shape: UserProperties, place: Place) -> DeclaredUser:
    """From an account file."""
    return DeclaredUser(
        name=shape.user_name,
        path=shape.path,
        place=place,
        inline=_inline(shape.policies),
        attached=shape.managed_policy_arns,
        groups=shape.groups,
        boundary=shape.permissions_boundary,
        tags=tag_mapping(shape.tags),
        access_keys=shape.access_keys,
        password_hash=shape.login_profile.password_hash if shape.login_profile else None,
    )


def group(shape: GroupProperties, place: Place) -> DeclaredGroup:
    """From an account file."""
    return DeclaredGroup(
        name=shape.group_name,
        path=shape.path,
        place=place,
        inline=_inline(shape.policies),
        attached=shape.managed_policy_arns,
    )


def role(shape: RoleProperties, place: Place) -> DeclaredRole:
    """From an account file."""
    return DeclaredRole(
        name=shape.role_name,
        path=shape.path,
        place=place,
        inline=_inline(shape.policies),
        attached=shape.managed_policy_arns,
        description=shape.description,
        max_session_duration=shape.max_session_duration,
        trust_policy=shape.assume_role_policy_document,
        boundary=shape.permissions_boundary,
        tags=tag_mapping(shape.tags),
    )


def managed_policy(shape: ManagedPolicyProperties, place: Place) -> DeclaredPolicy:
    """From an account file."""
    return DeclaredPolicy(
        name=shape.managed_policy_name,
        path=shape.path,
        place=place,
        description=shape.description,
        policy=shape.policy_document,
        users=shape.users,
        groups=shape.groups,
        roles=shape.roles,
    )


def printed_user(shape: UserDetail, place: Place) -> DeclaredUser:
    """From a printed file."""
    return DeclaredUser(
        name=shape.user_name,
        path=shape.path,
        place=place,
        unique_id=shape.user_id,
        created=shape.create_date,
        inline=_inline(shape.user_policy_list),
        inline_key="UserPolicyList",
        attached=_arns(shape.attached_managed_policies),
        attached_key="AttachedManagedPolicies",
        groups=shape.group_list,
        groups_key="GroupList",
        boundary=shape.permissions_boundary.permissions_boundary_arn if shape.permissions_boundary else None,
        tags=tag_mapping(shape.tags),
    )


def printed_group(shape: GroupDetail, place: Place) -> DeclaredGroup:
    """From a printed file."""
    return DeclaredGroup(
        name=shape.group_name,
        path=shape.path,
        place=place,
        unique_id=shape.group_id,
        created=shape.create_date,
        inline=_inline(shape.group_policy_list),
        inline_key="GroupPolicyList",
        attached=_arns(shape.attached_managed_policies),
        attached_key="AttachedManagedPolicies",
    )


def printed_role(shape: RoleDetail, place: Place) -> DeclaredRole:
    """From a printed file, which does not say the longest session: it is IAM's default."""
    return DeclaredRole(
        name=shape.role_name,
        path=shape.path,
        place=place,
        unique_id=shape.role_id,
        created=shape.create_date,
        inline=_inline(shape.role_policy_list),
        inline_key="RolePolicyList",
        attached=_arns(shape.attached_managed_policies),
        attached_key="AttachedManagedPolicies",
        trust_policy=shape.assume_role_policy_document,
        boundary=shape.permissions_boundary.permissions_boundary_arn if shape.permissions_boundary else None,
        tags=tag_mapping(shape.tags),
    )


def printed_policy(shape: ManagedPolicyDetail, place: Place) -> DeclaredPolicy:
    """From a printed file: the default version."""
    version = next(each for each in shape.policy_version_list if each.is_default_version)
    return DeclaredPolicy(
        name=shape.policy_name,
        path=shape.path,
        place=place,
        unique_id=shape.policy_id,
        created=shape.create_date,
        description=shape.description,
        policy=cast("Policy", version.document),
        default_version=version.version_id,
    )
