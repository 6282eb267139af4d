"""IAM GetAccountAuthorizationDetails: every user, group, role and policy of the caller's account.

What it prints loads as an account file.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from broker.api.call import Call
from broker.api.iam.paging import Paged, page
from broker.api.iam.shapes import CALLERS, UNKNOWN_DATE, boundary, encoded, own_account, tags
from broker.api.params import many, param
from broker.api.query import Action, Result
from broker.api.rules import choice
from broker.directory.model import Account, Group, ManagedPolicy, Role, Snapshot, User
from broker.policy import Policy

_FILTERS = ("User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy")
_LISTS = ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Paged):
    """The parameters of GetAccountAuthorizationDetails."""

    filters: tuple[str, ...] = param("Filter", many(choice(*_FILTERS)), default=())


@dataclass(frozen=True, slots=True)
class _Item:
    """An entity as one of the four lists has it; its element is made only for the page that shows it."""

    list_name: str
    key: str
    element: Callable[[], Mapping[str, Any]]


async def run(call: Call, request: Request) -> Result:
    """One page across the four lists together, put together off the event loop: an account may be large."""
    return await asyncio.to_thread(_page, call.snapshot, own_account(call), request)


def _page(snapshot: Snapshot, account: Account, request: Request) -> Result:
    wanted = request.filters or _FILTERS
    items = sorted(_items(snapshot, account, wanted), key=lambda item: item.key)
    shown, rest = page(items, lambda item: item.key, request, of="GetAccountAuthorizationDetails")
    lists = {name: [item.element() for item in shown if item.list_name == name] for name in _LISTS}
    return {**lists, **rest}


def _items(snapshot: Snapshot, account: Account, wanted: Iterable[str]) -> Iterator[_Item]:
    if "User" in wanted:
        yield from (_item(0, user.name, _user, user) for user in account.users.values())
    if "Group" in wanted:
        yield from (_item(1, group.name, _group, group) for group in account.groups.values())
    if "Role" in wanted:
        yield from (_item(2, role.name, _role, role) for role in account.roles.values())
    uses = _Uses(account)
    if "LocalManagedPolicy" in wanted:
        yield from (_item(3, policy.arn, uses.policy, policy) for policy in account.managed_policies.values())
    if "AWSManagedPolicy" in wanted:
        used = (policy for arn, policy in snapshot.aws_managed_policies.items() if uses.of(arn))
        yield from (_item(3, policy.arn, uses.policy, policy) for policy in used)


def _item(position: int, name: str, element: Callable[[Any], Mapping[str, Any]], entity: object) -> _Item:
    return _Item(_LISTS[position], f"{position}{name.lower()}", lambda: element(entity))


def _user(user: User) -> Mapping[str, Any]:
    return {
        "Path": user.path,
        "UserName": user.name,
        "UserId": user.unique_id,
        "Arn": user.arn,
        "CreateDate": user.created or UNKNOWN_DATE,
        "UserPolicyList": _inline(user.inline_policies) or None,
        "GroupList": list(user.groups),
        "AttachedManagedPolicies": _attached(user),
        "PermissionsBoundary": boundary(user),
        "Tags": tags(user),
    }


def _group(group: Group) -> Mapping[str, Any]:
    return {
        "Path": group.path,
        "GroupName": group.name,
        "GroupId": group.unique_id,
        "Arn": group.arn,
        "CreateDate": group.created or UNKNOWN_DATE,
        "GroupPolicyList": _inline(group.inline_policies),
        "AttachedManagedPolicies": _attached(group),
    }


def _role(role: Role) -> Mapping[str, Any]:
    return {
        "Path": role.path,
        "RoleName": role.name,
        "RoleId": role.unique_id,
        "Arn": role.arn,
        "CreateDate": role.created or UNKNOWN_DATE,
        "AssumeRolePolicyDocument": encoded(role.trust_policy),
        "InstanceProfileList": [],
        "RolePolicyList": _inline(role.inline_policies),
        "AttachedManagedPolicies": _attached(role),
        "PermissionsBoundary": boundary(role),
        "Tags": tags(role),
        "RoleLastUsed": {},
    }


class _Uses:
    """How often managed policies are attached, and serve as a boundary, in one account."""

    def __init__(self, account: Account) -> None:
        bounded: list[User | Role] = [*account.users.values(), *account.roles.values()]
        entities: list[User | Role | Group] = [*bounded, *account.groups.values()]
        self._attached = Counter(policy.arn for entity in entities for policy in entity.attached_policies)
        self._boundaries = Counter(entity.boundary_arn for entity in bounded)

    def of(self, arn: str) -> int:
        """All uses together."""
        return self._attached[arn] + self._boundaries[arn]

    def policy(self, policy: ManagedPolicy) -> Mapping[str, Any]:
        """The policy's element."""
        created = policy.created or UNKNOWN_DATE
        version = {
            "VersionId": policy.default_version,
            "IsDefaultVersion": True,
            "CreateDate": created,
            "Document": encoded(policy.policy),
        }
        return {
            "PolicyName": policy.name,
            "PolicyId": policy.unique_id,
            "Arn": policy.arn,
            "Path": policy.path,
            "DefaultVersionId": policy.default_version,
            "AttachmentCount": self._attached[policy.arn],
            "PermissionsBoundaryUsageCount": self._boundaries[policy.arn],
            "IsAttachable": True,
            "Description": policy.description or None,
            "CreateDate": created,
            "UpdateDate": created,
            "PolicyVersionList": [version],
        }


def _inline(policies: Mapping[str, Policy]) -> list[Mapping[str, str]]:
    return [{"PolicyName": name, "PolicyDocument": encoded(policy)} for name, policy in policies.items()]


def _attached(entity: User | Group | Role) -> list[Mapping[str, str]]:
    return [{"PolicyName": policy.name, "PolicyArn": policy.arn} for policy in entity.attached_policies]


ACTION = Action(
    request=Request,
    run=run,
    permission="iam:GetAccountAuthorizationDetails",
    callers=CALLERS,
    audited=("Filter", "MaxItems"),
    bulky=True,
)
