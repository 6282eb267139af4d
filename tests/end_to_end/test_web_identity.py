"""AssumeRoleWithWebIdentity from outside: whom a trust policy admits, what is told, and what an outage does."""

import http.client
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
import redis as redis_client
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from minio.credentials.providers import WebIdentityProvider

from tests.end_to_end.federated_world import (
    MAIN,
    OPERATOR,
    SOURCE_IDENTITY,
    STRANGER,
    TAGS,
    provider_arn,
    trusting,
)
from tests.end_to_end.refusals import refused
from tests.end_to_end.world import DEV, PROD, role, role_arn
from tests.fakes.background import Background
from tests.fakes.issuer import AUDIENCE, FakeIssuer, SigningKey
from tests.fakes.oidc_provider import OidcProviderServer
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, clean_environment, running, write_configuration
from tests.waiting import until

AWS = Path(sys.prefix) / "aws-cli" / "bin" / "aws"


@pytest.fixture(scope="module")
def gateway(federated_gateway: Gateway) -> Gateway:
    return federated_gateway


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> Any:
    return unsigned(gateway)


def unsigned(gateway: Gateway) -> Any:
    """An STS client without credentials."""
    config = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}, parameter_validation=False)
    return boto3.client("sts", endpoint_url=gateway.url, region_name="us-east-1", config=config)


def assume(client: Any, name: str, token: str, account: str = PROD, **parameters: Any) -> Any:
    return client.assume_role_with_web_identity(
        **{
            "RoleArn": role_arn(name, account),
            "RoleSessionName": "ci",
            "WebIdentityToken": token,
            **parameters,
        }
    )


def denied(client: Any, name: str, token: str, **parameters: Any) -> str:
    """AWS's sentence of a denial; the encoded message behind it."""
    with pytest.raises(ClientError) as error:
        assume(client, name, token, **parameters)
    assert error.value.response["Error"]["Code"] == "AccessDenied"
    sentence, _, message = error.value.response["Error"]["Message"].partition(
        " Encoded authorization failure message: "
    )
    assert re.fullmatch(r"Not authorized to perform sts:\w+", sentence)
    return str(message)


def last_event(gateway: Gateway) -> Any:
    return gateway.audit[-1]


class TestTheResult:
    def test_has_aws_shape(self, gateway: Gateway, client: Any, github: FakeIssuer) -> None:
        result = assume(client, "organization-main", github.token(**MAIN))
        assert result["SubjectFromWebIdentityToken"] == MAIN["sub"]
        assert result["Provider"] == provider_arn(github.url)
        assert result["Audience"] == AUDIENCE
        assert result["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{PROD}:assumed-role/organization-main/ci"
        assert not {"PackedPolicySize", "SourceIdentity"} & result.keys()
        identity = gateway.client(credentials=result["Credentials"]).get_caller_identity()
        assert identity["Arn"] == result["AssumedRoleUser"]["Arn"]
        assert identity["UserId"] == result["AssumedRoleUser"]["AssumedRoleId"]

    def test_lives_as_long_as_asked_and_not_as_the_token(self, client: Any, github: FakeIssuer) -> None:
        token = github.token(**MAIN)
        for seconds in (900, 7200):
            result = assume(client, "organization-main", token, DurationSeconds=seconds)
            left = result["Credentials"]["Expiration"].timestamp() - time.time()
            assert seconds - 240 < left <= seconds
        with refused("ValidationError", "MaxSessionDuration set for this role"):
            assume(client, "organization-main", token, DurationSeconds=7201)
        with refused("ValidationError", "durationSeconds"):
            assume(client, "organization-main", token, DurationSeconds=899)

    def test_a_token_files_last_line_break_does_no_harm(self, client: Any, github: FakeIssuer) -> None:
        assume(client, "organization-main", f"{github.token(**MAIN)}\n")
        assume(client, "organization-main", f" \r\n{github.token(**MAIN)}\r\n\t ")

    def test_a_session_policy_narrows(self, client: Any, github: FakeIssuer) -> None:
        policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'
        arns = [{"arn": f"arn:aws:iam::{PROD}:policy/reader"}]
        result = assume(client, "organization-main", github.token(**MAIN), Policy=policy, PolicyArns=arns)
        assert 0 < result["PackedPolicySize"] < 100
        with refused("MalformedPolicyDocument"):
            assume(client, "organization-main", github.token(**MAIN), Policy="{}")

    def test_a_second_client_of_the_provider_is_an_audience_too(self, client: Any, github: FakeIssuer) -> None:
        result = assume(client, "organization-main", github.token(**{**MAIN, "aud": "second-client"}))
        assert result["Audience"] == "second-client"
        result = assume(client, "organization-main", github.token(**{**MAIN, "aud": ["other", "second-client"]}))
        assert result["Audience"] == "second-client"


ENVIRONMENT = {**MAIN, "sub": "repo:acme/app:environment:production", "environment": "production"}
WITH_IDS = {**MAIN, "sub": "repo:acme@65/app@74:ref:refs/heads/main"}


@pytest.mark.parametrize(
    ("role_name", "claims", "admitted"),
    [
        ("organization-main", MAIN, True),
        ("organization-main", {**MAIN, "sub": "repo:acme/other:ref:refs/heads/main"}, True),
        ("organization-main", {**MAIN, "sub": "repo:acme/app:ref:refs/heads/dev"}, False),
        ("organization-main", {**MAIN, "sub": "repo:acme/app:ref:refs/heads/main2"}, False),
        ("organization-main", {**MAIN, "sub": "repo:acme-evil/app:ref:refs/heads/main"}, False),
        ("organization-main", {**MAIN, "sub": "repo:Acme/app:ref:refs/heads/main"}, False),
        ("organization-main", {**MAIN, "sub": "repo:acme/app:pull_request"}, False),
        ("organization-main", ENVIRONMENT, False),
        ("environment", ENVIRONMENT, True),
        ("environment", MAIN, False),
        ("environment", {**ENVIRONMENT, "environment": "production-eu"}, False),
        ("environment", {**ENVIRONMENT, "environment": "Production"}, False),
        ("environment", {**ENVIRONMENT, "repository": "evil/app"}, False),
        ("reusable", MAIN, True),
        ("reusable", {**MAIN, "repository_owner": "evil"}, False),
        ("reusable", {**MAIN, "job_workflow_ref": "acme/shared/.github/workflows/deploy.yml@refs/tags/v2"}, False),
        ("reusable", {**MAIN, "job_workflow_ref": None}, False),
        ("ids", {**MAIN, "repository": "renamed/app"}, True),
        ("ids", {**MAIN, "repository_id": "75"}, False),
        ("ids", {**MAIN, "repository_owner_id": "66"}, False),
        ("both-formats", MAIN, True),
        ("both-formats", WITH_IDS, True),
        ("both-formats", {**MAIN, "sub": "repo:acme@66/app@75:ref:refs/heads/main"}, False),
        ("numbers", {"level": 4, "verified": True}, True),
        ("numbers", {"level": 3, "verified": True}, False),
        ("numbers", {"level": 4, "verified": False}, False),
        ("numbers", {"level": 4}, False),
        ("groups", {"groups": ["dev", "ops"]}, True),
        ("groups", {"groups": ["ops"]}, True),
        ("groups", {"groups": ["dev"]}, False),
        ("groups", {}, False),
        ("nested", {"kubernetes.io": {"namespace": "payments"}}, True),
        ("nested", {"kubernetes.io": {"namespace": "default"}}, False),
        ("nested", {"kubernetes.io": "payments"}, False),
        ("session-name", {"actor": "ci"}, True),
        ("session-name", {"actor": "cd"}, False),
        ("from-here", MAIN, True),
        ("from-elsewhere", MAIN, False),
        ("forbidden", MAIN, True),
        ("forbidden", {**MAIN, "event_name": "pull_request"}, False),
    ],
)
def test_the_trust_policy_decides_by_any_claim(
    client: Any, github: FakeIssuer, role_name: str, claims: dict[str, Any], admitted: bool
) -> None:
    token = github.token(**claims)
    if admitted:
        assume(client, role_name, token)
    else:
        denied(client, role_name, token)


class TestTold:
    def test_the_operator_reads_the_condition_that_failed(
        self, gateway: Gateway, client: Any, github: FakeIssuer
    ) -> None:
        message = denied(client, "environment", github.token(**{**ENVIRONMENT, "environment": "staging"}))
        decoded = gateway.client(credentials=OPERATOR).decode_authorization_message(EncodedMessage=message)
        content = json.loads(decoded["DecodedMessage"])
        key = f"{github.url.partition('://')[2]}:environment"
        assert content["allowed"] is False
        assert content["context"]["action"] == "sts:AssumeRoleWithWebIdentity"
        assert content["context"]["resource"] == role_arn("environment")
        assert {"key": key, "values": {"items": [{"value": "staging"}]}} in content["context"]["conditions"]["items"]
        failing = [text for text in _dicts(content["explanation"]) if text.get("key") == key]
        assert any("production" in json.dumps(each) and "staging" in json.dumps(each) for each in failing)

    def test_the_audit_event_names_it_too(self, gateway: Gateway, client: Any, github: FakeIssuer) -> None:
        denied(client, "environment", github.token(**{**ENVIRONMENT, "environment": "staging"}))
        event = last_event(gateway)
        assert event["eventName"] == "AssumeRoleWithWebIdentity"
        assert event["errorCode"] == "AccessDenied"
        assert event["userIdentity"] == {
            "type": "WebIdentityUser",
            "principalId": f"{provider_arn(github.url)}:{AUDIENCE}:{ENVIRONMENT['sub']}",
            "userName": ENVIRONMENT["sub"],
            "identityProvider": provider_arn(github.url),
        }
        text = json.dumps(event["additionalEventData"])
        assert ":environment" in text
        assert "production" in text
        assert "staging" in text

    def test_others_cannot_read_it(self, gateway: Gateway, client: Any, github: FakeIssuer) -> None:
        message = denied(client, "environment", github.token(**MAIN))
        with refused("InvalidAuthorizationMessageException"):
            gateway.client(credentials=STRANGER).decode_authorization_message(EncodedMessage=message)

    def test_a_role_that_does_not_exist_looks_like_one_that_refuses(
        self, gateway: Gateway, client: Any, github: FakeIssuer
    ) -> None:
        message = denied(client, "no-such", github.token(**MAIN))
        decoded = gateway.client(credentials=OPERATOR).decode_authorization_message(EncodedMessage=message)
        assert "does not exist" in decoded["DecodedMessage"]

    @pytest.mark.parametrize(
        ("bend", "code", "text"),
        [
            (
                {"aud": "someone-else"},
                "InvalidIdentityToken",
                "Incorrect token audience: the token is for someone-else",
            ),
            (
                {"azp": "someone-else"},
                "InvalidIdentityToken",
                "Incorrect token audience: the token is for someone-else",
            ),
            (
                {"exp": 1_700_000_000, "iat": 1_699_999_700},
                "ExpiredTokenException",
                r"current date/time \d+ must be before the expiration date/time 1700000000 \(the token expired at 20",
            ),
            ({"iat": 4_000_000_000, "exp": 4_000_000_300}, "InvalidIdentityToken", "not yet valid"),
            ({"iss": "https://evil.test"}, "InvalidIdentityToken", "No OpenIDConnect provider found in your account"),
            ({"sub": None}, "InvalidIdentityToken", "Missing a required claim: sub"),
            ({"Sub": "x"}, "InvalidIdentityToken", "same name"),
        ],
    )
    def test_why_a_token_is_refused(
        self, gateway: Gateway, client: Any, github: FakeIssuer, bend: dict[str, Any], code: str, text: str
    ) -> None:
        with refused(code, text):
            assume(client, "organization-main", github.token(**{**MAIN, **bend}))
        event = last_event(gateway)
        assert event["errorCode"] == code
        assert event["responseElements"] is None

    @pytest.mark.parametrize(
        ("header", "text"),
        [
            ({"alg": "HS256"}, "Its algorithm is HS256"),
            ({"alg": "none"}, "Its algorithm is none"),
            ({"alg": "RS512"}, "Couldn't retrieve verification key|signature"),
            ({"typ": "at+jwt"}, "another kind of token"),
            ({"jwk": {}}, "carries a key"),
            ({"crit": ["b64"]}, "extension"),
            ({"kid": "unknown"}, "Couldn't retrieve verification key from your identity provider,  please reference"),
        ],
    )
    def test_bent_headers(self, client: Any, github: FakeIssuer, header: dict[str, Any], text: str) -> None:
        with refused("InvalidIdentityToken", text):
            assume(client, "organization-main", github.token(header=header, **MAIN))

    def test_another_key_under_a_known_name(self, client: Any, github: FakeIssuer) -> None:
        forged = SigningKey.make(github.key.kid)
        with refused("InvalidIdentityToken", "signature of the ID Token is not valid"):
            assume(client, "organization-main", github.token(key=forged, **MAIN))

    def test_no_token_stands_in_the_log_or_in_the_trail(
        self, gateway: Gateway, client: Any, github: FakeIssuer
    ) -> None:
        good, bad = github.token(**MAIN), github.token(**{**MAIN, "aud": "no"})
        assume(client, "organization-main", good)
        with refused("InvalidIdentityToken"):
            assume(client, "organization-main", bad)
        written = gateway.log + json.dumps(gateway.audit)
        for token in (good, bad):
            assert token.rpartition(".")[2] not in written


class TestOrder:
    """Which fault is told where a request has several: parameters, token, provider, time, audience, trust, duration."""

    def test_a_wrong_arn_is_told_before_the_token_is_looked_at(self, client: Any) -> None:
        with refused("ValidationError", "Request ARN is invalid"):
            assume(client, "x", "no-token", RoleArn=f"arn:aws:iam::{PROD}:user/somebody")

    def test_parameters_before_the_token(self, client: Any) -> None:
        with refused("ValidationError", "roleSessionName"):
            assume(client, "ids", "no-token", RoleSessionName="a b")
        with refused("ValidationError", "'webIdentityToken'"):
            assume(client, "ids", "x" * 20_001)
        with refused("ValidationError", "Parameter 'ProviderId' is not one that this action takes"):
            assume(client, "ids", "no-token", ProviderId="www.amazon.com")

    def test_the_token_s_form_before_the_provider(self, client: Any) -> None:
        with refused("InvalidIdentityToken", "not a valid JWT. \\(You may see this error if you sent an Access Token"):
            assume(client, "no-such", "no.token")

    def test_the_provider_is_the_one_of_the_role_s_account(self, client: Any, github: FakeIssuer) -> None:
        with refused("InvalidIdentityToken", f"No OpenIDConnect provider found in your account for {github.url}"):
            assume(client, "foreign", github.token(**MAIN), account=DEV)

    def test_time_before_audience_and_audience_before_trust(self, client: Any, github: FakeIssuer) -> None:
        old = {"iat": 1_699_999_700, "exp": 1_700_000_000}
        with refused("ExpiredTokenException"):
            assume(client, "no-such", github.token(**MAIN | old | {"aud": "no"}))
        with refused("InvalidIdentityToken", "Incorrect token audience"):
            assume(client, "no-such", github.token(**{**MAIN, "aud": "no"}))

    def test_trust_before_the_roles_limits(self, client: Any, github: FakeIssuer) -> None:
        denied(client, "environment", github.token(**MAIN), DurationSeconds=43_200)


class TestTagsAndSourceIdentity:
    def test_tags_of_the_token(self, gateway: Gateway, client: Any, github: FakeIssuer) -> None:
        claim: dict[str, Any] = {
            TAGS: {"principal_tags": {"Project": ["apollo"], "Cost": ["7"]}, "transitive_tag_keys": ["Project"]}
        }
        token = github.token(**MAIN, **claim)
        result = assume(client, "tagged", token)
        assert result["PackedPolicySize"] >= 1
        payload = _claims(result)
        assert payload["principal_tags"] == {"stage": "prod", "Project": "apollo", "Cost": "7"}
        chained = gateway.client(credentials=result["Credentials"]).assume_role(
            RoleArn=role_arn("next"), RoleSessionName="next"
        )
        assert _claims(chained)["principal_tags"] == {"Project": "apollo"}
        message = denied(client, "untagged", token)
        decoded = gateway.client(credentials=OPERATOR).decode_authorization_message(EncodedMessage=message)
        assert json.loads(decoded["DecodedMessage"])["context"]["action"] == "sts:TagSession"

    def test_tags_that_the_provider_maps(self, client: Any, issuers: dict[str, FakeIssuer]) -> None:
        mapped = issuers["mapped"]
        result = assume(client, "tagged", mapped.token(**MAIN))
        assert _claims(result)["principal_tags"] == {"stage": "prod", "Repository": "acme/app"}
        denied(client, "tagged", mapped.token(**{**MAIN, "repository": "evil/app"}))
        denied(client, "untagged", mapped.token(**MAIN))
        assume(client, "untagged", mapped.token(**{**MAIN, "repository": None}))

    def test_a_claim_that_is_no_tag_value(self, client: Any, issuers: dict[str, FakeIssuer]) -> None:
        with refused("InvalidIdentityToken", "tags?"):
            assume(client, "tagged", issuers["mapped"].token(**{**MAIN, "repository": "a" * 257}))
        with refused("InvalidParameterValue|InvalidIdentityToken"):
            assume(client, "tagged", issuers["mapped"].token(**{**MAIN, "repository": "acme/#%&"}))

    def test_source_identity(self, gateway: Gateway, client: Any, github: FakeIssuer) -> None:
        result = assume(client, "identified", github.token(**MAIN | {SOURCE_IDENTITY: "octocat"}))
        assert result["SourceIdentity"] == "octocat"
        assert _claims(result)["source_identity"] == "octocat"
        assert last_event(gateway)["responseElements"]["sourceIdentity"] == "octocat"
        denied(client, "identified", github.token(**MAIN | {SOURCE_IDENTITY: "dog"}))
        message = denied(client, "untagged", github.token(**MAIN | {SOURCE_IDENTITY: "octocat"}))
        decoded = gateway.client(credentials=OPERATOR).decode_authorization_message(EncodedMessage=message)
        assert json.loads(decoded["DecodedMessage"])["context"]["action"] == "sts:SetSourceIdentity"

    def test_the_provider_stays_with_the_session(self, gateway: Gateway, client: Any, github: FakeIssuer) -> None:
        result = assume(client, "tagged", github.token(**MAIN))
        chained = gateway.client(credentials=result["Credentials"])
        with refused("ValidationError", "1 hour session limit for roles assumed by role chaining"):
            chained.assume_role(RoleArn=role_arn("next"), RoleSessionName="next", DurationSeconds=3601)


class TestSingleUse:
    def test_a_token_opens_once(self, gateway: Gateway, client: Any, issuers: dict[str, FakeIssuer]) -> None:
        for token_id in ("one", None):
            token = issuers["once"].token(jti=token_id)
            assume(client, "once", token)
            with refused("InvalidIdentityToken", "was used before"):
                assume(client, "once", token)
            assert last_event(gateway)["additionalEventData"]["reason"] == "replayed"

    def test_nor_again_where_the_store_forgot_it(self, tmp_path: Path, redis: RedisServer) -> None:
        issuer = FakeIssuer()
        with Background(issuer):
            provider = {"Url": issuer.url, "ClientIdList": [AUDIENCE], "AllowHttp": True, "SingleUse": True}
            account = {"Account": PROD, "OIDCProviders": [provider], "Roles": [role("ci", trusting(issuer.url))]}
            write_configuration(tmp_path, {"prod": account})
            with running(Gateway(tmp_path, store=redis.url)) as gateway:
                client, token = unsigned(gateway), issuer.token()
                assume(client, "ci", token)
                store = redis_client.Redis.from_url(redis.url)
                store.delete(*store.scan_iter("*once:*"))
                store.delete(*store.scan_iter("*epoch*"))
                with refused("InvalidIdentityToken", "used before"):
                    assume(client, "ci", token)

    def test_and_only_so_long(self, client: Any, issuers: dict[str, FakeIssuer]) -> None:
        now = int(time.time())
        with refused("ExpiredTokenException", "too long ago"):
            assume(client, "once", issuers["once"].token(iat=now - 700, exp=now + 700))


class TestOutages:
    """Each with an issuer and a gateway of its own: what is cached must be known."""

    @staticmethod
    def world(directory: Path, url: str) -> None:
        account = {
            "Account": PROD,
            "OIDCProviders": [{"Url": url, "ClientIdList": [AUDIENCE], "AllowHttp": True}],
            "Roles": [role("ci", trusting(url))],
        }
        write_configuration(directory, {"prod": account})

    @staticmethod
    def admitted(client: Any, token: str) -> bool:
        try:
            assume(client, "ci", token)
        except ClientError:
            return False
        return True

    def test_an_issuer_that_starts_late_and_stops_early(self, tmp_path: Path, redis: RedisServer) -> None:
        issuer = FakeIssuer()
        background = Background(issuer)
        with background:
            self.world(tmp_path, issuer.url)
            token = issuer.token()
            background.run(issuer.stop())
            with running(Gateway(tmp_path, store=redis.url)) as gateway:
                client = unsigned(gateway)
                begun = time.monotonic()
                with refused("IDPCommunicationError"):
                    assume(client, "ci", token)
                assert time.monotonic() - begun < 30  # a fetch is given up after five
                background.run(issuer.start())
                until(partial(self.admitted, client, token), every=0.2)
                background.run(issuer.stop())
                for _ in range(5):
                    assume(client, "ci", issuer.token())
                background.run(issuer.start())

    @pytest.mark.parametrize("mode", ["hang", "error500", "garbage", "redirect", "wrong_issuer", "huge"])
    def test_a_sick_issuer_hurts_itself_alone(self, tmp_path: Path, redis: RedisServer, mode: str) -> None:
        sick, sound = FakeIssuer(path="/sick"), FakeIssuer(path="/sound")
        with Background(sick), Background(sound):
            sick.mode = mode
            account = {
                "Account": PROD,
                "OIDCProviders": [
                    {"Url": each.url, "ClientIdList": [AUDIENCE], "AllowHttp": True} for each in (sick, sound)
                ],
                "Roles": [role("ci", trusting(sick.url), trusting(sound.url))],
            }
            write_configuration(tmp_path, {"prod": account})
            with running(Gateway(tmp_path, store=redis.url)) as gateway:
                client = unsigned(gateway)
                failed: list[str] = []

                def fail() -> None:
                    try:
                        assume(unsigned(gateway), "ci", sick.token())
                    except ClientError as error:
                        failed.append(error.response["Error"]["Code"])

                threads = [threading.Thread(target=fail) for _ in range(4)]
                for thread in threads:
                    thread.start()
                assume(client, "ci", sound.token())
                if mode == "hang":
                    assert not failed  # nobody waited for the sick one
                for thread in threads:
                    thread.join()
                assert len(failed) == 4
                assert set(failed) <= {"IDPCommunicationError", "InvalidIdentityToken"}
                assert sick.fetches.total() <= 4

    def test_a_thousand_unknown_keys_cost_a_handful_of_fetches_and_nobody_else(
        self, tmp_path: Path, redis: RedisServer
    ) -> None:
        issuer = FakeIssuer()
        with Background(issuer):
            self.world(tmp_path, issuer.url)
            with running(Gateway(tmp_path, store=redis.url)) as gateway:
                client = unsigned(gateway)
                assume(client, "ci", issuer.token())
                before = issuer.fetches.total()
                forged = [issuer.token(header={"kid": f"made-up-{number}"}) for number in range(1000)]
                good = [issuer.token(jti=str(number)) for number in range(100)]
                quiet = _times(gateway, good[:50])
                refusals: list[int] = []

                def attack(tokens: list[str]) -> None:
                    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=120)
                    for token in tokens:
                        refusals.append(_post(connection, token))
                    connection.close()

                threads = [threading.Thread(target=attack, args=(forged[number::4],)) for number in range(4)]
                begun = time.monotonic()
                for thread in threads:
                    thread.start()
                during = _times(gateway, good[50:])
                for thread in threads:
                    thread.join()
                assert refusals == [400] * 1000
                # Discovery and key set, again every ten seconds.
                assert issuer.fetches.total() - before <= 4 + 2 * (time.monotonic() - begun) / 10
                # Four busy connections share a core or two with the measured one; waiting for the others takes longer.
                assert statistics.median(during) < max(1.0, 10 * statistics.median(quiet))

    def test_a_rotated_key_is_found_at_once(self, tmp_path: Path, redis: RedisServer) -> None:
        issuer = FakeIssuer()
        with Background(issuer):
            self.world(tmp_path, issuer.url)
            with running(Gateway(tmp_path, store=redis.url)) as gateway:
                client = unsigned(gateway)
                assume(client, "ci", issuer.token())
                issuer.rotate("ES256")
                until(lambda: self.admitted(client, issuer.token()), every=0.2)


class TestClients:
    @pytest.fixture
    def variables(self, gateway: Gateway, github: FakeIssuer, tmp_path: Path) -> dict[str, str]:
        (tmp_path / "token").write_text(github.token(**MAIN) + "\n")
        return clean_environment() | {
            "AWS_ROLE_ARN": role_arn("organization-main"),
            "AWS_ROLE_SESSION_NAME": "from-file",
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
            "AWS_ENDPOINT_URL_STS": gateway.url,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    EXPECTED = f"arn:aws:sts::{PROD}:assumed-role/organization-main/from-file"

    def test_boto3_by_its_environment(self, variables: dict[str, str]) -> None:
        program = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
        assert self._run([sys.executable, "-c", program], variables) == self.EXPECTED

    def test_the_aws_command_line(self, variables: dict[str, str]) -> None:
        command = [str(AWS), "sts", "get-caller-identity", "--query", "Arn", "--output", "text"]
        assert self._run(command, variables) == self.EXPECTED

    def test_minio_py(self, gateway: Gateway, github: FakeIssuer) -> None:
        provider = WebIdentityProvider(
            jwt_provider_func=lambda: {"access_token": github.token(**MAIN), "expires_in": "3600"},
            sts_endpoint=gateway.url,
            role_arn=role_arn("organization-main"),
            role_session_name="from-minio",
            duration_seconds=3600,
        )
        found = provider.retrieve()
        credentials = {
            "AccessKeyId": found.access_key,
            "SecretAccessKey": found.secret_key,
            "SessionToken": found.session_token or "",
        }
        identity = gateway.client(credentials=credentials).get_caller_identity()
        assert identity["Arn"].endswith(":assumed-role/organization-main/from-minio")

    @staticmethod
    def _run(command: list[str], environment: dict[str, str]) -> str:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def test_a_certified_provider_s_token_by_a_real_sign_in(tmp_path: Path, redis: RedisServer) -> None:
    server = OidcProviderServer()
    background = Background(server)
    with background:
        account = {
            "Account": PROD,
            "OIDCProviders": [
                {"Url": server.url, "ClientIdList": ["app-RS256", "app-ES256"], "AllowHttp": True},
            ],
            "Roles": [
                role(
                    "oncall",
                    trusting(
                        server.url,
                        {
                            "StringEquals": {"email": "alice@acme.test"},
                            "Bool": {"email_verified": "true"},
                            "ForAnyValue:StringEquals": {"groups": "oncall"},
                        },
                    ),
                )
            ],
        }
        write_configuration(tmp_path, {"prod": account})
        with running(Gateway(tmp_path, store=redis.url)) as gateway:
            client = unsigned(gateway)
            for algorithm in ("RS256", "ES256"):
                result = assume(client, "oncall", background.run(server.sign_in("alice", algorithm=algorithm)))
                assert result["SubjectFromWebIdentityToken"] == "alice"
                gateway.client(credentials=result["Credentials"]).get_caller_identity()
            denied(client, "oncall", background.run(server.sign_in("bob")))
            kept = background.run(server.sign_in("alice"))
            background.run(server.stop())
            assume(client, "oncall", kept)
            background.run(server.start())


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object inside a JSON value."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _dicts(each)


def _claims(result: Any) -> Any:
    import jwt

    return jwt.decode(result["Credentials"]["SessionToken"], options={"verify_signature": False})


def _post(connection: http.client.HTTPConnection, token: str) -> int:
    body = urlencode(
        {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": role_arn("ci"),
            "RoleSessionName": "ci",
            "WebIdentityToken": token,
        }
    )
    connection.request("POST", "/", body, {"Content-Type": "application/x-www-form-urlencoded"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def _times(gateway: Gateway, tokens: list[str]) -> list[float]:
    """Seconds that each good token took."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=120)
    took = []
    for token in tokens:
        begun = time.perf_counter()
        assert _post(connection, token) == 200
        took.append(time.perf_counter() - begun)
    connection.close()
    return took
