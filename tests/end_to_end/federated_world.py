"""An account that trusts an OpenID issuer, with a role for each way of saying whom; claims as GitHub makes them."""

from typing import Any

from tests.end_to_end.world import DEV, PROD, allow, deny, inline, new_key, role
from tests.fakes.issuer import AUDIENCE
from tests.providers.oidc.test_shapes import GITHUB

ALICE, OPERATOR, STRANGER = new_key(DEV), new_key(PROD), new_key(DEV)
WEB = "sts:AssumeRoleWithWebIdentity"
MAIN: dict[str, Any] = {**GITHUB, "sub": "repo:acme/app:ref:refs/heads/main", "environment": None, "jti": None}
"""The claims of a push to the main branch, with no environment."""

TAGS = "https://aws.amazon.com/tags"
SOURCE_IDENTITY = "https://aws.amazon.com/source_identity"


def provider_arn(url: str, account: str = PROD) -> str:
    """The ARN of an issuer's provider."""
    return f"arn:aws:iam::{account}:oidc-provider/{url.partition('://')[2]}"


def trusting(url: str, condition: Any = None, *actions: str, account: str = PROD) -> dict[str, Any]:
    """A statement that admits the issuer's identities on a condition; claim names stand without their prefix."""
    prefix = url.partition("://")[2]
    named = {
        operator: {name if ":" in name else f"{prefix}:{name}": values for name, values in tests.items()}
        for operator, tests in (condition or {}).items()
    }
    return allow([WEB, *actions], principal={"Federated": provider_arn(url, account)}, condition=named or None)


def accounts(github: str, mapped: str, once: str) -> dict[str, Any]:
    """Three issuers: as it comes, with a claim as session tag, and with single use."""
    dev = {
        "Account": DEV,
        "Users": [
            {
                "UserName": "alice",
                "AccessKeys": [ALICE],
                "Policies": inline(allow(["sts:AssumeRole", "sts:TagSession", "sts:GetFederationToken"], "*")),
            },
            {
                "UserName": "stranger",
                "AccessKeys": [STRANGER],
                "Policies": inline(allow("sts:DecodeAuthorizationMessage", "*")),
            },
        ],
        "OIDCProviders": [{"Url": mapped, "ClientIdList": ["another-client"], "AllowHttp": True}],
        "Roles": [role("foreign", trusting(github))],
    }
    prod = {
        "Account": PROD,
        "Users": [
            {
                "UserName": "operator",
                "AccessKeys": [OPERATOR],
                "Policies": inline(allow("sts:DecodeAuthorizationMessage", "*")),
            }
        ],
        "OIDCProviders": [
            {"Url": github, "ClientIdList": [AUDIENCE, "second-client"], "AllowHttp": True},
            {
                "Url": mapped,
                "ClientIdList": [AUDIENCE],
                "AllowHttp": True,
                "SessionTags": {"Repository": "repository", "Team": "team"},
            },
            {
                "Url": once,
                "ClientIdList": [AUDIENCE],
                "AllowHttp": True,
                "SingleUse": True,
                "MaxTokenAgeSeconds": 600,
            },
        ],
        "Roles": [
            role(
                "organization-main",
                trusting(github, {"StringLike": {"sub": "repo:acme/*:ref:refs/heads/main"}}),
                MaxSessionDuration=7200,
            ),
            role(
                "environment",
                trusting(github, {"StringEquals": {"repository": "acme/app", "environment": "production"}}),
            ),
            role(
                "reusable",
                trusting(
                    github,
                    {
                        "StringEquals": {
                            "repository_owner": "acme",
                            "job_workflow_ref": "acme/shared/.github/workflows/deploy.yml@refs/tags/v1",
                        }
                    },
                ),
            ),
            role("ids", trusting(github, {"StringEquals": {"repository_id": "74", "repository_owner_id": "65"}})),
            role(
                "both-formats",
                trusting(
                    github,
                    {
                        "StringEquals": {
                            "sub": [
                                "repo:acme/app:ref:refs/heads/main",
                                "repo:acme@65/app@74:ref:refs/heads/main",
                            ]
                        }
                    },
                ),
            ),
            role("numbers", trusting(github, {"NumericGreaterThan": {"level": "3"}, "Bool": {"verified": "true"}})),
            role("groups", trusting(github, {"ForAnyValue:StringEquals": {"groups": "ops"}})),
            role("nested", trusting(github, {"StringEquals": {"kubernetes.io/namespace": "payments"}})),
            role(
                "session-name", trusting(github, {"StringEquals": {"sts:RoleSessionName": f"${{{_p(github)}:actor}}"}})
            ),
            role("from-here", trusting(github, {"IpAddress": {"aws:SourceIp": "127.0.0.1"}})),
            role("from-elsewhere", trusting(github, {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})),
            role(
                "forbidden",
                trusting(github),
                deny(
                    WEB,
                    principal={"Federated": provider_arn(github)},
                    condition={"StringEquals": {f"{_p(github)}:event_name": "pull_request"}},
                ),
            ),
            role(
                "tagged",
                trusting(github, None, "sts:TagSession"),
                trusting(mapped, {"StringLike": {"aws:RequestTag/Repository": "acme/*"}}, "sts:TagSession"),
                Policies=inline(allow(["sts:AssumeRole", "sts:TagSession"], "*"), allow("s3:*", "*")),
                Tags=[{"Key": "stage", "Value": "prod"}],
                MaxSessionDuration=43200,
            ),
            role("untagged", trusting(github), trusting(mapped)),
            role(
                "identified",
                trusting(github, {"StringLike": {"sts:SourceIdentity": "octo*"}}, "sts:SetSourceIdentity"),
            ),
            role("once", trusting(once)),
            role("users", allow("sts:AssumeRole", principal={"AWS": f"arn:aws:iam::{DEV}:root"})),
            role(
                "next",
                allow(
                    ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
                    principal={"AWS": f"arn:aws:iam::{PROD}:role/tagged"},
                ),
                MaxSessionDuration=43200,
            ),
        ],
        "ManagedPolicies": [
            {
                "ManagedPolicyName": "reader",
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
                },
            }
        ],
    }
    return {"dev": dev, "prod": prod}


def _p(url: str) -> str:
    return url.partition("://")[2]
