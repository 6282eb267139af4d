"""Two accounts with a role for each rule, as configuration."""

import secrets
from typing import Any

from broker import ids

DEV, PROD = "111122223333", "444455556666"


def new_key(account: str) -> dict[str, str]:
    """A long-term key pair of an account."""
    return {
        "AccessKeyId": ids.access_key_id(ids.LONG_TERM, account, secrets.token_bytes),
        "SecretAccessKey": ids.secret_access_key(secrets.token_bytes),
    }


ALICE, BOB, CAROL, DAVE = (new_key(DEV) for _ in range(4))


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    """A policy document of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(action: Any, resource: Any = None, principal: Any = None, condition: Any = None) -> dict[str, Any]:
    """An Allow statement."""
    statement = {"Effect": "Allow", "Action": action}
    for name, value in (("Resource", resource), ("Principal", principal), ("Condition", condition)):
        if value is not None:
            statement[name] = value
    return statement


def deny(action: Any, resource: Any = None, **more: Any) -> dict[str, Any]:
    """A Deny statement."""
    return {**allow(action, resource, more.get("principal"), more.get("condition")), "Effect": "Deny"}


def role_arn(name: str, account: str = PROD) -> str:
    """A role's ARN."""
    return f"arn:aws:iam::{account}:role/{name}"


def role(name: str, *trust: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A role with this trust policy."""
    return {"RoleName": name, "AssumeRolePolicyDocument": document(*trust), **more}


def inline(*statements: dict[str, Any]) -> list[dict[str, Any]]:
    """An inline policy."""
    return [{"PolicyName": "p", "PolicyDocument": document(*statements)}]


FROM_DEV = {"AWS": f"arn:aws:iam::{DEV}:root"}
EVERYTHING = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]

ACCOUNTS: dict[str, Any] = {
    "dev": {
        "Account": DEV,
        "Users": [
            {
                "UserName": "alice",
                "Path": "/people/",
                "Tags": [{"Key": "team", "Value": "web"}],
                "AccessKeys": [ALICE],
                "Policies": inline(
                    allow([*EVERYTHING, "sts:DecodeAuthorizationMessage", "sts:GetAccessKeyInfo"], "*"),
                    allow("iam:*", "*"),
                    allow(["sts:GetFederationToken"], f"arn:aws:sts::{DEV}:federated-user/*"),
                    allow("s3:*", "*"),
                ),
            },
            {"UserName": "bob", "AccessKeys": [BOB]},
            {"UserName": "carol", "AccessKeys": [CAROL | {"Status": "Inactive"}]},
            {
                "UserName": "dave",
                "AccessKeys": [DAVE],
                "Policies": inline(allow("sts:*", "*"), deny("sts:AssumeRole", role_arn("denied"))),
            },
        ],
        "Roles": [
            role("delegated", allow(EVERYTHING, principal={"AWS": DEV})),
            role("named", allow("sts:AssumeRole", principal={"AWS": f"arn:aws:iam::{DEV}:user/bob"})),
            role("nobody", allow("sts:AssumeRole", principal={"AWS": f"arn:aws:iam::{PROD}:root"})),
        ],
    },
    "prod": {
        "Account": PROD,
        "Roles": [
            role(
                "external",
                allow(EVERYTHING, principal=FROM_DEV, condition={"StringEquals": {"sts:ExternalId": "right-1"}}),
                Path="/partners/",
                MaxSessionDuration=7200,
            ),
            role(
                "open",
                allow(EVERYTHING, principal=FROM_DEV),
                MaxSessionDuration=43200,
                Tags=[{"Key": "Team", "Value": "ops"}, {"Key": "stage", "Value": "prod"}],
                Policies=inline(allow("s3:*", "*"), allow(EVERYTHING, "*")),
            ),
            role("plain", allow("sts:AssumeRole", principal=FROM_DEV), Policies=inline(allow("sts:*", "*"))),
            role("names-bob", allow("sts:AssumeRole", principal={"AWS": f"arn:aws:iam::{DEV}:user/bob"})),
            role("denied", allow("sts:AssumeRole", principal=FROM_DEV)),
            role(
                "next",
                allow(EVERYTHING, principal={"AWS": [role_arn("open"), role_arn("plain"), role_arn("middle")]}),
                MaxSessionDuration=43200,
            ),
            role(
                "middle",
                allow(EVERYTHING, principal={"AWS": role_arn("open")}),
                Policies=inline(allow(EVERYTHING, "*")),
            ),
            role(
                "tagged",
                allow(
                    ["sts:AssumeRole", "sts:TagSession"],
                    principal=FROM_DEV,
                    condition={"StringEquals": {"aws:RequestTag/team": "${aws:PrincipalTag/team}"}},
                ),
                Tags=[{"Key": "stage", "Value": "prod"}],
            ),
            role(
                "identified",
                allow(
                    ["sts:AssumeRole", "sts:SetSourceIdentity"],
                    principal=FROM_DEV,
                    condition={"StringLike": {"sts:SourceIdentity": "alice*"}},
                ),
            ),
        ],
        "ManagedPolicies": [
            {"ManagedPolicyName": "reader", "PolicyDocument": document(allow("s3:GetObject", "*"))},
        ],
    },
}
