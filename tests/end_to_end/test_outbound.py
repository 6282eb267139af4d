"""GetWebIdentityToken: tokens for other relying parties, verified the way those do."""

import json
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.end_to_end.refusals import refused
from tests.end_to_end.world import (
    DEV,
    EVERYTHING,
    FROM_DEV,
    PROD,
    allow,
    deny,
    inline,
    new_key,
    role,
    role_arn,
)
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, running, write_configuration

ALICE, BOB, CAROL, DAVE = (new_key(DEV) for _ in range(4))
AUDIENCE = "https://api.partner.test"
NAMESPACE = "https://sts.amazonaws.com/"
TOKENS = ["sts:GetWebIdentityToken", "sts:TagGetWebIdentityToken"]

ACCOUNTS: dict[str, Any] = {
    "dev": {
        "Account": DEV,
        "Users": [
            {
                "UserName": "alice",
                "Tags": [{"Key": "team", "Value": "web"}],
                "AccessKeys": [ALICE],
                "Policies": inline(allow([*EVERYTHING, *TOKENS], "*")),
            },
            {"UserName": "bob", "AccessKeys": [BOB], "Policies": inline(allow("sts:AssumeRole", "*"))},
            {
                "UserName": "carol",
                "AccessKeys": [CAROL],
                "Policies": inline(
                    allow(
                        "sts:GetWebIdentityToken",
                        "*",
                        condition={
                            "ForAllValues:StringEquals": {"sts:IdentityTokenAudience": [AUDIENCE]},
                            "Null": {"sts:IdentityTokenAudience": "false"},
                            "NumericLessThanEquals": {"sts:DurationSeconds": "300"},
                            "StringEquals": {"sts:SigningAlgorithm": "ES384"},
                        },
                    )
                ),
            },
            {
                "UserName": "dave",
                "AccessKeys": [DAVE],
                "Policies": inline(
                    allow(TOKENS, "*"),
                    deny(
                        "sts:TagGetWebIdentityToken",
                        "*",
                        condition={"StringEquals": {"aws:RequestTag/stage": "prod"}},
                    ),
                ),
            },
        ],
    },
    "prod": {
        "Account": PROD,
        "Roles": [
            role(
                "worker",
                allow(EVERYTHING, principal=FROM_DEV),
                Path="/jobs/",
                Tags=[{"Key": "stage", "Value": "prod"}, {"Key": "team", "Value": "ops"}],
                Policies=inline(allow(TOKENS, "*")),
            )
        ],
    },
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory: Path = tmp_path_factory.mktemp("outbound")
    write_configuration(directory, ACCOUNTS)
    with RedisServer(directory / "redis") as server, running(Gateway(directory, store=server.url)) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def alice(gateway: Gateway) -> Any:
    return gateway.client(credentials=ALICE)


def issue(client: Any, **parameters: Any) -> Any:
    return client.get_web_identity_token(**{"Audience": [AUDIENCE], "SigningAlgorithm": "RS256", **parameters})


def issuer_of(gateway: Gateway) -> str:
    return f"http://localhost:{gateway.port}"


def verified(gateway: Gateway, token: str, audience: str = AUDIENCE) -> Any:
    """The claims, by discovery and key set alone, as a relying party reads them."""

    def get(url: str) -> Any:
        with urllib.request.urlopen(url.replace("//localhost:", "//127.0.0.1:"), timeout=60) as answer:
            return json.load(answer)

    document = get(f"{issuer_of(gateway)}/.well-known/openid-configuration")
    keys = jwt.PyJWKSet.from_dict(get(document["jwks_uri"]))
    header = jwt.get_unverified_header(token)
    assert header["alg"] in document["id_token_signing_alg_values_supported"]
    return jwt.decode(
        token,
        keys[header["kid"]],
        algorithms=["RS256", "ES384"],
        audience=audience,
        issuer=document["issuer"],
        options={"require": ["iss", "aud", "sub", "iat", "exp", "jti"]},
    )


class TestTheToken:
    @pytest.mark.parametrize("algorithm", ["RS256", "ES384"])
    def test_is_verified_by_discovery_alone(self, gateway: Gateway, alice: Any, algorithm: str) -> None:
        result = issue(alice, SigningAlgorithm=algorithm)
        header = jwt.get_unverified_header(result["WebIdentityToken"])
        assert (header["alg"], header["typ"]) == (algorithm, "JWT")
        claims = verified(gateway, result["WebIdentityToken"])
        assert claims["iss"] == issuer_of(gateway)
        assert claims["aud"] == AUDIENCE
        assert claims["sub"] == f"arn:aws:iam::{DEV}:user/alice"
        assert claims["exp"] - claims["iat"] == 300
        assert result["Expiration"] == datetime.fromtimestamp(claims["exp"], UTC)
        assert claims[NAMESPACE] == {
            "aws_account": DEV,
            "source_region": "us-east-1",
            "principal_tags": {"team": "web"},
        }

    def test_of_a_role_session_names_the_role_and_its_tags(self, gateway: Gateway, alice: Any) -> None:
        session = alice.assume_role(
            RoleArn=role_arn("jobs/worker"), RoleSessionName="run-1", Tags=[{"Key": "Team", "Value": "web"}]
        )
        client = gateway.client(credentials=session["Credentials"], region="eu-central-1")
        claims = verified(gateway, issue(client)["WebIdentityToken"])
        assert claims["sub"] == role_arn("jobs/worker")
        assert claims[NAMESPACE] == {
            "aws_account": PROD,
            "source_region": "eu-central-1",
            "principal_tags": {"stage": "prod", "Team": "web"},
        }

    def test_several_audiences_and_tags(self, gateway: Gateway, alice: Any) -> None:
        other = "api://azure-token-exchange"
        result = issue(alice, Audience=[AUDIENCE, other], Tags=[{"Key": "job", "Value": "7"}], DurationSeconds=3600)
        claims = verified(gateway, result["WebIdentityToken"])
        assert verified(gateway, result["WebIdentityToken"], other) == claims
        assert claims["aud"] == [AUDIENCE, other]
        assert claims[NAMESPACE]["request_tags"] == {"job": "7"}
        assert claims["exp"] - claims["iat"] == 3600
        with pytest.raises(jwt.InvalidAudienceError):
            verified(gateway, result["WebIdentityToken"], "https://someone.else.test")

    def test_each_has_an_id_of_its_own_which_leads_to_its_audit_event(self, gateway: Gateway, alice: Any) -> None:
        claims = [verified(gateway, issue(alice)["WebIdentityToken"]) for _ in range(2)]
        assert claims[0]["jti"] != claims[1]["jti"]
        event = next(event for event in gateway.audit if event["requestID"] == claims[1]["jti"])
        assert event["eventName"] == "GetWebIdentityToken"
        assert event["requestParameters"] == {"audience.member.1": AUDIENCE, "signingAlgorithm": "RS256"}

    def test_proves_nothing_to_the_gateway_itself(self, gateway: Gateway, alice: Any) -> None:
        token = issue(alice)["WebIdentityToken"]
        with refused("InvalidClientTokenId"):
            gateway.client(credentials=ALICE | {"SessionToken": token}).get_caller_identity()


class TestWhoMay:
    def test_it_needs_its_permission(self, gateway: Gateway) -> None:
        with refused("AccessDenied", "not authorized to perform: sts:GetWebIdentityToken on resource: \\*"):
            issue(gateway.client(credentials=BOB))

    @pytest.mark.parametrize(
        ("parameters", "admitted"),
        [
            ({}, True),
            ({"Audience": ["https://evil.test"]}, False),
            ({"Audience": [AUDIENCE, "https://evil.test"]}, False),
            ({"DurationSeconds": 301}, False),
            ({"SigningAlgorithm": "RS256"}, False),
        ],
    )
    def test_its_condition_keys_decide(self, gateway: Gateway, parameters: Any, admitted: bool) -> None:
        carol = gateway.client(credentials=CAROL)
        asked = {"SigningAlgorithm": "ES384", **parameters}
        if admitted:
            issue(carol, **asked)
        else:
            with refused("AccessDenied", "sts:GetWebIdentityToken"):
                issue(carol, **asked)

    def test_tags_need_a_permission_of_their_own(self, gateway: Gateway) -> None:
        with refused("AccessDenied", "sts:TagGetWebIdentityToken"):
            issue(gateway.client(credentials=CAROL), SigningAlgorithm="ES384", Tags=[{"Key": "a", "Value": "b"}])
        dave = gateway.client(credentials=DAVE)
        issue(dave, Tags=[{"Key": "stage", "Value": "test"}])
        with refused("AccessDenied", "sts:TagGetWebIdentityToken"):
            issue(dave, Tags=[{"Key": "stage", "Value": "prod"}])

    def test_credentials_of_get_session_token_may_not(self, gateway: Gateway, alice: Any) -> None:
        credentials = alice.get_session_token()["Credentials"]
        with refused("AccessDenied", "credentials of this kind"):
            issue(gateway.client(credentials=credentials))


class TestLimits:
    @pytest.mark.parametrize(
        ("parameters", "text"),
        [
            ({"Audience": []}, "audience"),
            ({"Audience": [""]}, "audience"),
            ({"Audience": ["a" * 1001]}, "audience"),
            ({"Audience": [f"https://{number}.test" for number in range(11)]}, "audience"),
            ({"SigningAlgorithm": "ES256"}, r"enum value set: \[RS256, ES384\]"),
            ({"SigningAlgorithm": "HS256"}, "signingAlgorithm"),
            ({"SigningAlgorithm": "none"}, "signingAlgorithm"),
            ({"DurationSeconds": 59}, "durationSeconds"),
            ({"DurationSeconds": 3601}, "durationSeconds"),
        ],
    )
    def test_bad_parameters(self, alice: Any, parameters: Any, text: str) -> None:
        with refused("ValidationError", text):
            issue(alice, **parameters)

    @pytest.mark.parametrize("spelling", ["{}", "{}/", " {}", "HTTP://LOCALHOST:{port}"])
    def test_the_gateway_itself_is_no_audience(self, gateway: Gateway, alice: Any, spelling: str) -> None:
        own = spelling.format(issuer_of(gateway), port=gateway.port)
        with refused("ValidationError", "is this gateway and cannot be an audience"):
            issue(alice, Audience=[AUDIENCE, own])

    def test_no_token_outlives_the_session(self, gateway: Gateway, alice: Any) -> None:
        session = alice.assume_role(RoleArn=role_arn("jobs/worker"), RoleSessionName="short", DurationSeconds=900)
        client = gateway.client(credentials=session["Credentials"])
        with refused("SessionDurationEscalationException", "beyond its original expiration time"):
            issue(client, DurationSeconds=901)
        result = issue(client, DurationSeconds=890)
        assert result["Expiration"] <= session["Credentials"]["Expiration"]
        assert result["Expiration"] > datetime.now(UTC) + timedelta(seconds=600)

    def test_a_payload_that_grows_too_large(self, alice: Any) -> None:
        tags = [{"Key": f"key-{number:03}", "Value": "v" * 250} for number in range(50)]
        with refused("JWTPayloadSizeExceededException"):
            issue(alice, Tags=tags)
        issue(alice, Tags=tags[:25])

    def test_a_tag_twice(self, alice: Any) -> None:
        with refused("InvalidParameterValue", "case insensitive"):
            issue(alice, Tags=[{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}])


def test_the_published_documents_are_what_relying_parties_ask_for(gateway: Gateway) -> None:
    with urllib.request.urlopen(f"{gateway.url}/.well-known/openid-configuration", timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("application/json")
        document = json.load(answer)
    # AWS (CreateOpenIDConnectProvider) and OpenID Connect Discovery 1.0 §3; RS256 must be among the algorithms.
    assert {
        "issuer",
        "jwks_uri",
        "response_types_supported",
        "subject_types_supported",
        "id_token_signing_alg_values_supported",
        "claims_supported",
    } <= document.keys()
    assert {"RS256", "ES384"} <= set(document["id_token_signing_alg_values_supported"])
    with urllib.request.urlopen(f"{gateway.url}/.well-known/jwks.json", timeout=60) as answer:
        keys = json.load(answer)["keys"]
    assert {key["alg"]: (key["kty"], key.get("crv")) for key in keys} == {
        "ES256": ("EC", "P-256"),
        "RS256": ("RSA", None),
        "ES384": ("EC", "P-384"),
    }
    for key in keys:
        assert key["use"] == "sig"
        assert not key.keys() & {"d", "p", "q", "k"}
