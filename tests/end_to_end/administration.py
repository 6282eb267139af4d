"""Three accounts, one of them managing, and calls of the administration API."""

import base64
import http.client
import json
import secrets
import subprocess
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.end_to_end.world import DEV, EVERYTHING, PROD, allow, deny, inline, new_key, role
from tests.gateway import SOJOURN, Gateway, clean_environment

MANAGEMENT = "777788889999"
ALICE, BOB, AUDITOR, ADMIN, NARROW, CHIEF = (
    *(new_key(DEV) for _ in range(2)),
    *(new_key(PROD) for _ in range(3)),
    new_key(MANAGEMENT),
)
SESSION_OF_DEPLOY = f"arn:aws:sts::{PROD}:assumed-role/deploy/*"
FROM_DEV = {"AWS": f"arn:aws:iam::{DEV}:root"}
EVERYBODY = {"AWS": [f"arn:aws:iam::{DEV}:root", f"arn:aws:iam::{PROD}:root"]}

SETTINGS: dict[str, Any] = {
    "server": {"public_url": "http://localhost:8080"},
    "keys": {"master": base64.b64encode(secrets.token_bytes(32)).decode()},
    "organization": {"management_account": MANAGEMENT},
}

ACCOUNTS: dict[str, Any] = {
    "dev": {
        "Account": DEV,
        "Users": [
            {
                "UserName": "alice",
                "AccessKeys": [ALICE],
                "Policies": inline(allow([*EVERYTHING, "sts:GetFederationToken"], "*")),
            },
            {"UserName": "bob", "AccessKeys": [BOB], "Policies": inline(allow([*EVERYTHING, "broker:*"], "*"))},
        ],
        "Roles": [role("home", allow(EVERYTHING, principal=FROM_DEV))],
    },
    "prod": {
        "Account": PROD,
        "Users": [
            {"UserName": "auditor", "AccessKeys": [AUDITOR], "Policies": inline(allow("broker:List*", "*"))},
            {"UserName": "admin", "AccessKeys": [ADMIN], "Policies": inline(allow("broker:*", "*"))},
            {
                "UserName": "narrow",
                "AccessKeys": [NARROW],
                "Policies": inline(
                    allow("broker:*Sessions", SESSION_OF_DEPLOY),
                    deny("broker:*Sessions", f"arn:aws:sts::{PROD}:assumed-role/deploy/secret"),
                ),
            },
        ],
        "Roles": [
            role("deploy", allow(EVERYTHING, principal=EVERYBODY), Path="/ci/", Policies=inline(allow("sts:*", "*"))),
            role("other", allow(EVERYTHING, principal=EVERYBODY)),
        ],
    },
    "management": {
        "Account": MANAGEMENT,
        "Users": [{"UserName": "chief", "AccessKeys": [CHIEF], "Policies": inline(allow("broker:*", "*"))}],
    },
}


class Refused(Exception):
    """The gateway's error: status, code, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message = status, code, message


def signed(gateway: Gateway, keys: Mapping[str, str], path: str, body: str, service: str = "sts") -> dict[str, str]:
    """The headers of a signed form; `keys` is a `Credentials` element."""
    request = AWSRequest("POST", gateway.url + path, data=body)
    request.headers["Content-Type"] = "application/x-www-form-urlencoded"
    given = Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys.get("SessionToken"))
    SigV4Auth(given, service, "us-east-1").add_auth(request)
    return dict(request.headers)


def administer(gateway: Gateway, keys: Mapping[str, str], action: str, **parameters: Any) -> Any:
    """The result of an action, its dots written as `__`. Raises `Refused`."""
    named = {name.replace("__", "."): str(value) for name, value in parameters.items()}
    body = urlencode({"Action": action, "Version": "2026-11-21", **named})
    headers = signed(gateway, keys, "/", body)
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    try:
        connection.request("POST", "/", body, {**headers, "Accept": "application/json"})
        answer = connection.getresponse()
        content = json.loads(answer.read())
    finally:
        connection.close()
    if answer.status != 200:
        raise Refused(answer.status, content["Error"]["Code"], content["Error"].get("Message", ""))
    return content[f"{action}Response"][f"{action}Result"]


def lives(gateway: Gateway, credentials: Any) -> bool:
    """Whether credentials are good; they have been."""
    try:
        gateway.client(credentials=credentials).get_caller_identity()
    except ClientError as error:
        assert error.response["Error"]["Code"] == "InvalidClientTokenId"
        return False
    return True


def sojourn(gateway: Gateway, keys: Any, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of an administrator."""
    environment = clean_environment() | {
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_ENDPOINT_URL_STS": gateway.url,
    }
    return subprocess.run([SOJOURN, *words], capture_output=True, text=True, timeout=120, env=environment)
