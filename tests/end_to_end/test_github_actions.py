"""A GitHub Actions job: the calls that aws-actions/configure-aws-credentials makes, and the trust policies for it."""

import http.client
import json
import secrets
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import pytest
from aiohttp import web
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from broker.cli.github_trust import trust_policy
from tests.end_to_end.federated_world import MAIN
from tests.end_to_end.world import PROD, role_arn
from tests.fakes.background import Background
from tests.fakes.issuer import AUDIENCE, FakeIssuer
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, running, write_configuration

USER_AGENT = "aws-sdk-js/3.1111.0 ua/2.1 os/linux lang/js md/nodejs#24.4.1 api/sts#3.1111.0 configure-aws-credentials"


class Runner:
    """The part of a runner that a job asks for ID tokens, by a request token of its own."""

    def __init__(self, issuer: FakeIssuer) -> None:
        self.issuer = issuer
        self.claims: dict[str, Any] = MAIN
        self.request_token = secrets.token_hex(8)
        self._runner: web.AppRunner | None = None
        self.request_url = ""

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_get("/token", self._token)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.request_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/token?api-version=2.0"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _token(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.request_token}":
            return web.Response(status=401)
        audience = request.query.get("audience", f"https://github.com/{self.claims['repository_owner']}")
        token = self.issuer.token(**{**self.claims, "aud": audience, "jti": str(uuid.uuid4())})
        return web.json_response({"count": len(token), "value": token})


class Action:
    """The action in its OIDC mode: what it sends, in its order."""

    def __init__(self, runner: Runner, gateway: Gateway, role: str, *, seconds: int = 3600) -> None:
        self.runner, self.gateway, self.role, self.seconds = runner, gateway, role, seconds

    def run(self, **inputs: str) -> tuple[int, Any]:
        """Status of the last call, and the identity or the error document."""
        token = self.id_token(inputs.pop("audience", AUDIENCE))
        status, answer = self.assume(token, inputs)
        if status != 200:
            return status, answer
        return self.validate(
            {name: self._text(answer, name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")}
        )

    def id_token(self, audience: str) -> str:
        url = urlsplit(f"{self.runner.request_url}&{urlencode({'audience': audience})}")
        connection = http.client.HTTPConnection("127.0.0.1", url.port, timeout=60)
        headers = {"Authorization": f"Bearer {self.runner.request_token}", "Accept": "application/json"}
        connection.request("GET", f"{url.path}?{url.query}", headers=headers)
        value: str = json.load(connection.getresponse())["value"]
        connection.close()
        return value

    def assume(self, token: str, inputs: dict[str, str]) -> tuple[int, Any]:
        form = {
            "RoleArn": self.role,
            "RoleSessionName": "GitHubActions",
            "DurationSeconds": str(self.seconds),
            **inputs,
            "WebIdentityToken": token,
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
        }
        return self._post(urlencode(form), self._headers())

    def validate(self, credentials: dict[str, str]) -> tuple[int, Any]:
        body = "Action=GetCallerIdentity&Version=2011-06-15"
        headers = self._headers()
        keys = Credentials(credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"])
        request = AWSRequest("POST", f"{self.gateway.url}/", data=body, headers=headers)
        SigV4Auth(keys, "sts", "us-east-1").add_auth(request)
        return self._post(body, dict(request.prepare().headers))

    @staticmethod
    def _headers() -> dict[str, str]:
        return {
            "Content-Type": "application/x-www-form-urlencoded",
            "User-Agent": USER_AGENT,
            "x-amz-user-agent": USER_AGENT,
            "amz-sdk-invocation-id": str(uuid.uuid4()),
            "amz-sdk-request": "attempt=1; max=3",
        }

    def _post(self, body: str, headers: dict[str, str]) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=60)
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        document = ET.fromstring(answer.read())
        connection.close()
        return answer.status, document

    @staticmethod
    def _text(document: Any, name: str) -> str:
        text = document.findtext(f".//{{*}}{name}")
        assert isinstance(text, str)
        return text


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    issuer = FakeIssuer(path="/github")
    with Background(issuer), Background(runner := Runner(issuer)):
        yield runner


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, runner: Runner) -> Iterator[Gateway]:
    directory: Path = tmp_path_factory.mktemp("github")
    wanted: dict[str, dict[str, Any]] = {
        "main": {},
        "release": {"ref": "refs/tags/v*"},
        "production": {"environment": "production"},
        "workflow": {"workflow": "acme/shared/.github/workflows/deploy.yml@refs/tags/v1"},
        "by-ids": {"repo_id": "74", "owner_id": "65"},
    }
    roles = [
        {
            "RoleName": name,
            "AssumeRolePolicyDocument": trust_policy("acme/app", (PROD,), issuer=runner.issuer.url, **options),
        }
        for name, options in wanted.items()
    ]
    account = {
        "Account": PROD,
        "OIDCProviders": [{"Url": runner.issuer.url, "ClientIdList": [AUDIENCE], "AllowHttp": True}],
        "Roles": roles,
    }
    write_configuration(directory, {"prod": account})
    with RedisServer(directory / "redis") as server, running(Gateway(directory, store=server.url)) as gateway:
        yield gateway


class TestTheAction:
    def test_leaves_with_working_credentials(self, gateway: Gateway, runner: Runner) -> None:
        runner.claims = MAIN
        status, document = Action(runner, gateway, role_arn("main"), seconds=900).run()
        assert status == 200
        assert document.findtext(".//{*}Arn") == f"arn:aws:sts::{PROD}:assumed-role/main/GitHubActions"
        assert document.findtext(".//{*}Account") == PROD

    def test_with_a_session_policy_and_managed_ones(self, gateway: Gateway, runner: Runner) -> None:
        runner.claims = MAIN
        inputs = {
            "Policy": '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}',
            "PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/ReadOnlyAccess",
        }
        assert Action(runner, gateway, role_arn("main")).run(**inputs)[0] == 200

    def test_is_told_why_not(self, gateway: Gateway, runner: Runner) -> None:
        runner.claims = MAIN
        status, document = Action(runner, gateway, role_arn("main")).run(audience="elsewhere")
        assert status == 400
        assert document.findtext(".//{*}Code") == "InvalidIdentityToken"
        assert document.findtext(".//{*}Message") == "Incorrect token audience: the token is for elsewhere"
        status, document = Action(runner, gateway, role_arn("production")).run()
        assert (status, document.findtext(".//{*}Code")) == (403, "AccessDenied")


PULL_REQUEST = {**MAIN, "event_name": "pull_request", "ref": "refs/pull/7/merge", "sub": "repo:acme/app:pull_request"}
FROM_A_STRANGER = {**MAIN, "event_name": "pull_request_target"}
TAG = {**MAIN, "ref": "refs/tags/v1.2", "ref_type": "tag", "sub": "repo:acme/app:ref:refs/tags/v1.2"}
PRODUCTION = {**MAIN, "environment": "production", "sub": "repo:acme/app:environment:production"}
OTHER = {**MAIN, "repository": "acme/other", "repository_id": "75", "sub": "repo:acme/other:ref:refs/heads/main"}
RECYCLED = {**MAIN, "repository_id": "99", "repository_owner_id": "98"}
WITH_IDS = {**MAIN, "sub": "repo:acme@65/app@74:ref:refs/heads/main"}


@pytest.mark.parametrize(
    ("name", "claims", "admitted"),
    [
        ("main", MAIN, True),
        ("main", WITH_IDS, True),
        ("main", PULL_REQUEST, False),
        ("main", FROM_A_STRANGER, False),
        ("main", TAG, False),
        ("main", OTHER, False),
        ("release", TAG, True),
        ("release", MAIN, False),
        ("production", PRODUCTION, True),
        ("production", MAIN, False),
        ("production", {**PRODUCTION, "environment": "staging"}, False),
        ("workflow", MAIN, True),
        ("workflow", {**MAIN, "job_workflow_ref": "acme/app/.github/workflows/own.yml@refs/heads/main"}, False),
        ("by-ids", MAIN, True),
        ("by-ids", RECYCLED, False),
    ],
)
def test_the_written_trust_policies_admit_what_was_asked_and_no_more(
    gateway: Gateway, runner: Runner, name: str, claims: dict[str, Any], admitted: bool
) -> None:
    runner.claims = claims
    status, _ = Action(runner, gateway, role_arn(name)).run()
    assert status == (200 if admitted else 403)
