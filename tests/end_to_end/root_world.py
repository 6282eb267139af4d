"""A management account, accounts whose root it may become, and what stands in its way."""

import base64
import secrets
from typing import Any

from tests.end_to_end.federated_world import trusting
from tests.end_to_end.world import DEV, EVERYTHING, PROD, allow, deny, document, inline, new_key, role, role_arn
from tests.fakes.issuer import AUDIENCE

MANAGEMENT, CAPPED = "777788889999", "999900001111"
TASKS = "arn:aws:iam::aws:policy/root-task/"
AUDIT, UNLOCK_BUCKET, UNLOCK_QUEUE = (
    TASKS + name for name in ("IAMAuditRootUserCredentials", "S3UnlockBucketPolicy", "SQSUnlockQueuePolicy")
)
CHIEF, AUDITOR, DEV_ONLY, DENIED, NOBODY, BOUNDED = (new_key(MANAGEMENT) for _ in range(6))
OUTSIDER, STORAGE = (new_key(DEV) for _ in range(2))
ADMIN = new_key(PROD)
OPERATOR, ON_CALL = (role_arn(name, MANAGEMENT) for name in ("operator", "on-call"))


def root_arn(account: str = PROD) -> str:
    """The ARN of an account's root user."""
    return f"arn:aws:iam::{account}:root"


SETTINGS: dict[str, Any] = {
    "keys": {"master": base64.b64encode(secrets.token_bytes(32)).decode()},
    "organization": {"management_account": MANAGEMENT},
}
ANY_ROOT = allow("sts:AssumeRoot", "arn:aws:iam::*:root")

ACCOUNTS: dict[str, Any] = {
    "management": {
        "Account": MANAGEMENT,
        "Users": [
            {
                "UserName": "chief",
                "AccessKeys": [CHIEF],
                "Policies": inline(ANY_ROOT, allow([*EVERYTHING, "sts:GetFederationToken", "broker:*"], "*")),
            },
            {
                "UserName": "auditor",
                "AccessKeys": [AUDITOR],
                "Policies": inline(
                    allow("sts:AssumeRoot", "*", condition={"ArnEquals": {"sts:TaskPolicyArn": AUDIT}}),
                ),
            },
            {"UserName": "dev-only", "AccessKeys": [DEV_ONLY], "Policies": inline(allow("sts:*", root_arn(DEV)))},
            {
                "UserName": "denied",
                "AccessKeys": [DENIED],
                "Policies": inline(allow("*", "*"), deny("sts:AssumeRoot", root_arn(PROD))),
            },
            {"UserName": "nobody", "AccessKeys": [NOBODY]},
            {
                "UserName": "bounded",
                "AccessKeys": [BOUNDED],
                "PermissionsBoundary": f"arn:aws:iam::{MANAGEMENT}:policy/no-roots",
                "Policies": inline(ANY_ROOT),
            },
        ],
        "Roles": [
            role(
                "operator",
                allow(EVERYTHING, principal={"AWS": MANAGEMENT}),
                Policies=inline(ANY_ROOT, allow(EVERYTHING, "*")),
            )
        ],
        "ManagedPolicies": [
            {"ManagedPolicyName": "no-roots", "PolicyDocument": document(allow("sts:AssumeRole", "*"))},
        ],
        # The management account is never capped.
        "ServiceControlPolicies": [{"Name": "none", "PolicyDocument": document(deny("sts:AssumeRoot", "*"))}],
    },
    "dev": {
        "Account": DEV,
        "Users": [
            {"UserName": "outsider", "AccessKeys": [OUTSIDER], "Policies": inline(allow("*", "*"))},
            {"UserName": "storage", "AccessKeys": [STORAGE], "Policies": inline(allow("broker:Authorize", "*"))},
        ],
    },
    "prod": {
        "Account": PROD,
        "Users": [{"UserName": "admin", "AccessKeys": [ADMIN], "Policies": inline(allow("broker:*", "*"))}],
        "Roles": [role("open", allow("sts:AssumeRole", principal={"AWS": PROD}))],
        "ServiceControlPolicies": [
            "FullAWSAccess",
            {
                "Name": "no-root-user-but-tasks",
                "PolicyDocument": document(
                    deny(
                        "*",
                        "*",
                        condition={
                            "ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:root"},
                            "Null": {"aws:AssumedRoot": "true"},
                        },
                    ),
                    deny("s3:*", "arn:aws:s3:::sealed"),
                ),
            },
        ],
    },
    "capped": {
        "Account": CAPPED,
        "ResourceControlPolicies": [
            {"Name": "no-roots", "PolicyDocument": document(deny("sts:AssumeRoot", "*", principal="*"))}
        ],
    },
}


def with_issuer(url: str) -> dict[str, Any]:
    """The world with a role of the management account for an issuer's tokens."""
    management = ACCOUNTS["management"]
    on_call = role("on-call", trusting(url, account=MANAGEMENT), Policies=inline(ANY_ROOT))
    provider = {"Url": url, "ClientIdList": [AUDIENCE], "AllowHttp": True}
    federated = {"Roles": [*management["Roles"], on_call], "OIDCProviders": [provider]}
    return ACCOUNTS | {"management": management | federated}
