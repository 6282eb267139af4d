"""Accounts whose principals use resource servers, the resource servers' own users, and requests as SDKs sign them."""

import hashlib
import http.client
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.end_to_end.world import DEV, FROM_DEV, PROD, allow, deny, document, inline, new_key, role, role_arn
from tests.fakes.issuer import AUDIENCE, FakeIssuer
from tests.gateway import Gateway

SERVERS = "777788889999"
ALICE, BOUNDED, TABLES = (new_key(DEV) for _ in range(3))
STORAGE, REPORTS, NOBODY = (new_key(SERVERS) for _ in range(3))
OWN = "arn:aws:s3:::data/${aws:PrincipalTag/team}/*"

ACCOUNTS: dict[str, Any] = {
    "dev": {
        "Account": DEV,
        "Users": [
            {
                "UserName": "alice",
                "AccessKeys": [ALICE],
                "Tags": [{"Key": "team", "Value": "web"}],
                "Policies": inline(
                    allow(["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"], "*"),
                    allow("s3:*", "arn:aws:s3:::*") | {"Sid": "AllObjects"},
                    deny("s3:*", "arn:aws:s3:::vault/*") | {"Sid": "NoVault"},
                    deny("s3:ListBucket", "*", condition={"StringLike": {"s3:prefix": "private/*"}}),
                    allow(
                        "reports:GetReport",
                        "*",
                        condition={"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "127.0.0.0/8"]}},
                    ),
                    allow("reports:GetSecret", "*", condition={"Bool": {"aws:SecureTransport": "true"}}),
                ),
            },
            {
                "UserName": "bounded",
                "AccessKeys": [BOUNDED],
                "PermissionsBoundary": f"arn:aws:iam::{DEV}:policy/reading",
                "Policies": inline(allow("s3:*", "*")),
            },
            {"UserName": "tables", "AccessKeys": [TABLES], "Policies": inline(allow("dynamodb:GetItem", "*"))},
        ],
        "ManagedPolicies": [
            {"ManagedPolicyName": "reading", "PolicyDocument": document(allow("s3:Get*", "*"))},
        ],
    },
    "prod": {
        "Account": PROD,
        "Roles": [
            role(
                "team",
                allow(["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"], principal=FROM_DEV),
                Policies=inline(allow(["s3:GetObject", "s3:PutObject"], OWN)),
            ),
        ],
        "ServiceControlPolicies": [
            {"Name": "all", "PolicyDocument": document(allow("*", "*"))},
            {"Name": "no-web-secrets", "PolicyDocument": document(deny("s3:*", "arn:aws:s3:::data/web/secret"))},
        ],
        "ResourceControlPolicies": [
            {
                "Name": "no-deleting",
                "PolicyDocument": document(deny("s3:DeleteObject", "*", principal="*")),
            }
        ],
    },
    "servers": {
        "Account": SERVERS,
        "Users": [
            {
                "UserName": "storage",
                "AccessKeys": [STORAGE],
                "Policies": inline(allow("broker:Authorize", ["arn:aws:s3:::*", "arn:aws:dynamodb:*:*:*"])),
            },
            {
                "UserName": "reports",
                "AccessKeys": [REPORTS],
                "Policies": inline(allow(["broker:Authorize", "broker:AuthorizeBearer"], "*")),
            },
            {"UserName": "nobody", "AccessKeys": [NOBODY]},
        ],
    },
}


def with_issuer(url: str) -> dict[str, Any]:
    """The world with a role for an issuer's tokens, each of which may read the report that is named as its subject."""
    host = url.partition("://")[2]
    provider = f"arn:aws:iam::{PROD}:oidc-provider/{host}"
    app = role(
        "app",
        allow("sts:AssumeRoleWithWebIdentity", principal={"Federated": provider}),
        Policies=inline(allow("reports:GetReport", f"arn:aws:reports:::report/${{{host}:sub}}")),
    )
    prod = ACCOUNTS["prod"]
    providers = [
        {"Url": url, "ClientIdList": [AUDIENCE], "AllowHttp": True},
        {"Url": "https://keycloak", "ClientIdList": [AUDIENCE]},
    ]
    return ACCOUNTS | {"prod": prod | {"Roles": [*prod["Roles"], app], "OIDCProviders": providers}}


def keys_of(credentials: dict[str, str]) -> Credentials:
    """As botocore's signers take them."""
    return Credentials(
        credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials.get("SessionToken") or None
    )


def signed(
    credentials: dict[str, str],
    method: str,
    url: str,
    body: bytes = b"",
    *,
    service: str = "s3",
    headers: dict[str, str] | None = None,
    region: str = "eu-central-1",
) -> dict[str, Any]:
    """A request's description, its headers signed as an SDK of that service does."""
    request = AWSRequest(method, url, data=body, headers=headers or {})
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    signer(keys_of(credentials), service, region).add_auth(request)
    return {
        "method": method,
        "url": url,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "payload_sha256": hashlib.sha256(body).hexdigest(),
    }


class _Dated:
    """Signs as of some seconds ago."""

    age = 0

    def _modify_request_before_signing(self, request: Any) -> None:
        at = datetime.now(UTC) - timedelta(seconds=self.age)
        request.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
        super()._modify_request_before_signing(request)  # type: ignore[misc]


def presigned(
    credentials: dict[str, str], method: str, url: str, *, expires: int = 3600, service: str = "s3", age: int = 0
) -> dict[str, Any]:
    """A presigned request's description; `age`: seconds since it was signed."""
    request = AWSRequest(method, url)
    kind = S3SigV4QueryAuth if service == "s3" else SigV4QueryAuth
    signer: Any = type("Signer", (_Dated, kind), {"age": age})
    signer(keys_of(credentials), service, "eu-central-1", expires=expires).add_auth(request)
    return {"method": method, "url": request.url, "headers": {}}


def ask(gateway: Gateway, server: dict[str, str], question: Any) -> tuple[int, Any]:
    """One question, signed by the resource server: status and answer."""
    body = question if isinstance(question, bytes) else json.dumps(question).encode()
    request = AWSRequest("POST", f"{gateway.url}/authorize", data=body, headers={"Content-Type": "application/json"})
    SigV4Auth(keys_of(server), "sts", "us-east-1").add_auth(request)
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    try:
        connection.request("POST", "/authorize", body, dict(request.prepare().headers))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def bearer(gateway: Gateway, issuer: FakeIssuer, **claims: Any) -> str:
    """A bearer token of the role `app`."""
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": issuer.token(**claims),
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        "resource": role_arn("app"),
    }
    with gateway.opener.open(f"{gateway.url}/oauth2/token", urlencode(form).encode(), timeout=60) as answer:
        return str(json.load(answer)["access_token"])
