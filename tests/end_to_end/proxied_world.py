"""What the reverse-proxy doors know of an object service and a web service, and clients of the former."""

from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.end_to_end.resource_world import ALICE, with_issuer
from tests.end_to_end.world import role_arn
from tests.gateway import Gateway, write_configuration

S3 = "arn:aws:s3:::{bucket}/{key}"


def rules(host: str) -> list[dict[str, Any]]:
    """The example's rules and one of a small web service."""

    def rule(methods: list[str], path: str, action: str, resource: str) -> dict[str, Any]:
        return {"host": host, "methods": methods, "path": path, "action": action, "resource": resource}

    return [
        rule(["GET", "HEAD"], "/{bucket}/{key+}", "s3:GetObject", S3),
        rule(["PUT"], "/{bucket}/{key+}", "s3:PutObject", S3),
        rule(["DELETE"], "/{bucket}/{key+}", "s3:DeleteObject", S3),
        rule(["GET"], "/{bucket}", "s3:ListBucket", "arn:aws:s3:::{bucket}"),
        {
            "host": "reports.internal",
            "methods": ["GET", "POST"],
            "path": "/reports/{id}",
            "action": "reports:GetReport",
            "resource": "arn:aws:reports:::report/{id}",
        },
        {
            "host": "reports.internal",
            "methods": ["GET"],
            "path": "/secrets/{id}",
            "action": "reports:GetSecret",
            "resource": "arn:aws:reports:::secret/{id}",
        },
        {
            "host": "odd.internal",
            "methods": ["GET"],
            "path": "/{account}/x",
            "action": "s3:GetObject",
            "resource": "arn:aws:s3::{account}:b/x",
        },
    ]


def configure(directory: Path, issuer: str) -> None:
    """Write a gateway's configuration: resource servers' world, whose proxies and object service are on loopback."""
    settings = {"proxy": {"rules": rules("127.0.0.1")}, "server": {"trusted_proxies": ["127.0.0.0/8"]}}
    write_configuration(directory, with_issuer(issuer), settings)


def session(gateway: Gateway, team: str) -> dict[str, str]:
    """Credentials of a session of the role `team`."""
    client = gateway.client(credentials=ALICE)
    tags = [{"Key": "team", "Value": team}, {"Key": "cost center", "Value": "ä+="}]
    answer = client.assume_role(RoleArn=role_arn("team"), RoleSessionName="job", Tags=tags)["Credentials"]
    return {name: answer[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")}


def s3(url: str, credentials: dict[str, str]) -> Any:
    """An unmodified boto3 client."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="eu-central-1",
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials.get("SessionToken"),
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


def forbidden() -> Any:
    """Expect a refusal by the proxy."""
    return pytest.raises(ClientError, match=r"403|AccessDenied")
