"""Parameters and result elements that several IAM actions share (AWS IAM API Reference)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from broker.api.call import Call
from broker.api.rules import text
from broker.directory.model import Account, Role, User
from broker.errors import NoSuchEntity
from broker.policy import Policy
from broker.sessions.model import SessionKind

CALLERS: Final = (None, SessionKind.ASSUMED_ROLE, SessionKind.USER)
"""Federated users call no IAM action; users' sessions do, where the service's rule about MFA lets them."""

EXISTING_NAME = text(1, 128, r"[\w+=,.@-]+")
ROLE_NAME = text(1, 64, r"[\w+=,.@-]+")
PATH = text(1, 512, r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)")

UNKNOWN_DATE: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""AWS always tells when an entity was created; configuration files seldom do."""


def own_account(call: Call) -> Account:
    """The caller's account as configured. Raises `NoSuchEntity` where a reload took it away meanwhile."""
    account = call.snapshot.account(call.signer.principal.account)
    if account is None:
        raise NoSuchEntity("The account is not configured any more.")
    return account


def entity_arn(call: Call, kind: str, name: str, path: str = "/") -> str:
    """The ARN in the caller's account; that of a name without a path stands for what does not exist."""
    partition = call.snapshot.settings.sts.partition
    return f"arn:{partition}:iam::{call.signer.principal.account}:{kind}{path}{name}"


def encoded(policy: Policy) -> str:
    """A policy document as IAM answers it: URL-encoded (RFC 3986)."""
    return quote(policy.text, safe="")


def tags(entity: User | Role) -> list[Mapping[str, str]] | None:
    """The `Tags` element; absent where there are none."""
    return [{"Key": key, "Value": value} for key, value in entity.tags.items()] or None


def boundary(entity: User | Role) -> Mapping[str, str] | None:
    """The `PermissionsBoundary` element."""
    if entity.boundary_arn is None:
        return None
    return {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": entity.boundary_arn}


def user(entity: User, *, detailed: bool = False) -> Mapping[str, Any]:
    """The `User` element; `detailed` adds what lists leave out."""
    return {
        "Path": entity.path,
        "UserName": entity.name,
        "UserId": entity.unique_id,
        "Arn": entity.arn,
        "CreateDate": entity.created or UNKNOWN_DATE,
        "PermissionsBoundary": boundary(entity) if detailed else None,
        "Tags": tags(entity) if detailed else None,
    }


def role(entity: Role, *, detailed: bool = False) -> Mapping[str, Any]:
    """The `Role` element; `detailed` adds what lists leave out."""
    return {
        "Path": entity.path,
        "RoleName": entity.name,
        "RoleId": entity.unique_id,
        "Arn": entity.arn,
        "CreateDate": entity.created or UNKNOWN_DATE,
        "AssumeRolePolicyDocument": encoded(entity.trust_policy),
        "Description": entity.description or None,
        "MaxSessionDuration": int(entity.max_session_duration.total_seconds()),
        "PermissionsBoundary": boundary(entity) if detailed else None,
        "Tags": tags(entity) if detailed else None,
        "RoleLastUsed": {} if detailed else None,
    }
