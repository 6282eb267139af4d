"""POST /oauth2/token from outside: RFC 8693's exchange, its errors, and that bearer and signing tokens stay apart."""

import base64
import http.client
import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import msgspec
import pytest
import redis as redis_client
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from broker.sealing import MasterKeys, parse_master_key
from broker.sessions.model import Session
from tests.end_to_end.federated_world import ALICE, MAIN, OPERATOR, SOURCE_IDENTITY, TAGS, accounts, provider_arn
from tests.end_to_end.refusals import refused
from tests.end_to_end.world import PROD, role_arn
from tests.fakes.background import Background
from tests.fakes.issuer import FakeIssuer
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, running, write_configuration

TYPE = "urn:ietf:params:oauth:token-type:"
AWS_CREDENTIALS = "urn:sojourn:params:oauth:token-type:aws-credentials"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def gateway(federated_gateway: Gateway) -> Gateway:
    return federated_gateway


class Answer:
    """Status, headers and JSON of an answer."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status, self.headers = answer.status, answer.headers
        body = answer.read()
        self.json: Any = json.loads(body) if self.headers.get("Content-Type", "").startswith("application/json") else {}

    @property
    def error(self) -> tuple[int, Any]:
        return self.status, self.json.get("error")


def send(
    gateway: Gateway, body: str | bytes, headers: Mapping[str, str] | None = None, target: str = "/oauth2/token"
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    try:
        connection.request("POST", target, body, {"Content-Type": FORM, **(headers or {})})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def form(token: str, name: str, kind: str = "id_token", **more: str | None) -> dict[str, str]:
    whole = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": token,
        "subject_token_type": TYPE + kind,
        "resource": role_arn(name),
        **more,
    }
    return {key: value for key, value in whole.items() if value is not None}


def exchange(gateway: Gateway, token: str, name: str, kind: str = "id_token", **more: str | None) -> Answer:
    return send(gateway, urlencode(form(token, name, kind, **more)))


def signed(gateway: Gateway, credentials: Mapping[str, str], token: str, name: str, **more: str) -> Answer:
    """The exchange of a session token, signed with `credentials`."""
    body = urlencode(form(token, name, "access_token", **more))
    request = AWSRequest("POST", f"{gateway.url}/oauth2/token", data=body, headers={"Content-Type": FORM})
    SigV4Auth(_keys(credentials), "sts", "us-east-1").add_auth(request)
    return send(gateway, body, dict(request.prepare().headers))


def _keys(credentials: Mapping[str, str]) -> Credentials:
    return Credentials(credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials.get("SessionToken"))


def derive(gateway: Gateway, key_id: str) -> str:
    """The secret of a session, from its record and the master key as the gateway derives it."""
    store = redis_client.Redis.from_url(gateway._arguments[-1])
    (key,) = store.scan_iter(f"*session:{key_id}*")
    record = store.get(key)
    assert isinstance(record, bytes)
    masters = MasterKeys([parse_master_key((gateway.state / "master-key").read_text())], secrets.token_bytes)
    opened = masters.open("session record", record.partition(b"\0")[2], bound_to=key_id.encode())
    session = msgspec.msgpack.decode(opened, type=Session)
    mac = masters.mac("secret access key", session.nonce + key_id.encode(), master_id=session.master_id)
    return base64.b64encode(mac[:30]).decode()


def claims_of(token: str) -> Any:
    return jwt.decode(token, options={"verify_signature": False})


class TestIdTokens:
    @pytest.mark.parametrize("kind", ["id_token", "jwt"])
    def test_become_a_bearer_token(self, gateway: Gateway, github: FakeIssuer, kind: str) -> None:
        answer = exchange(gateway, github.token(**MAIN), "organization-main", kind)
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Pragma"] == "no-cache"
        assert answer.headers["Content-Type"].startswith("application/json")
        assert answer.json.keys() == {"access_token", "issued_token_type", "token_type", "expires_in"}
        assert answer.json["issued_token_type"] == TYPE + "access_token"
        assert answer.json["token_type"] == "Bearer"
        assert answer.json["expires_in"] == 3600
        claims = claims_of(answer.json["access_token"])
        assert claims["use"] == "bearer"
        assert claims["sub"] == (
            f"arn:aws:sts::{PROD}:assumed-role/organization-main/repo-acme-app-ref-refs-heads-main"
        )
        assert claims["exp"] - claims["iat"] == 3600

    def test_with_a_name_a_duration_and_a_policy(self, gateway: Gateway, github: FakeIssuer) -> None:
        policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}'
        narrow = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'
        for document, expected in ((policy, 200), (narrow, 400)):
            answer = exchange(
                gateway,
                github.token(**MAIN),
                "tagged",
                sojourn_session_name="build-7",
                sojourn_duration="900",
                sojourn_policy=document,
            )
            assert answer.json["expires_in"] == 900
            token = answer.json["access_token"]
            assert claims_of(token)["sub"].endswith(":assumed-role/tagged/build-7")
            assert exchange(gateway, token, "next", "access_token").status == expected

    def test_tags_and_source_identity_as_in_sts(self, gateway: Gateway, github: FakeIssuer) -> None:
        tags = {TAGS: {"principal_tags": {"Project": ["apollo"]}, "transitive_tag_keys": ["Project"]}}
        answer = exchange(gateway, github.token(**MAIN | tags), "tagged")
        assert claims_of(answer.json["access_token"])["principal_tags"] == {"stage": "prod", "Project": "apollo"}
        assert exchange(gateway, github.token(**MAIN | tags), "untagged").error == (400, "access_denied")
        answer = exchange(gateway, github.token(**MAIN | {SOURCE_IDENTITY: "octocat"}), "identified")
        assert claims_of(answer.json["access_token"])["source_identity"] == "octocat"

    def test_with_credentials_for_aws_tools(self, gateway: Gateway, github: FakeIssuer) -> None:
        answer = exchange(gateway, github.token(**MAIN), "organization-main", requested_token_type=AWS_CREDENTIALS)
        assert answer.status == 200
        assert answer.json["issued_token_type"] == AWS_CREDENTIALS
        credentials = answer.json["aws_credentials"]
        assert credentials.keys() == {"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
        identity = gateway.client(credentials=credentials).get_caller_identity()
        assert ":assumed-role/organization-main/" in identity["Arn"]
        assert claims_of(credentials["SessionToken"])["use"] == "sigv4"
        assert claims_of(answer.json["access_token"])["use"] == "bearer"

    def test_single_use_counts_both_doors(self, gateway: Gateway, issuers: dict[str, FakeIssuer]) -> None:
        client = gateway.client(credentials=ALICE)
        for requested in (TYPE + "access_token", AWS_CREDENTIALS):
            token = issuers["once"].token(jti=requested)
            assert exchange(gateway, token, "once", requested_token_type=requested).status == 200
            answer = exchange(gateway, token, "once")
            assert answer.error == (400, "invalid_grant")
            assert "used before" in answer.json["error_description"]
            with refused("InvalidIdentityToken", "used before"):
                client.assume_role_with_web_identity(
                    RoleArn=role_arn("once"), RoleSessionName="again", WebIdentityToken=token
                )

    def test_the_trust_policy_decides_as_in_sts(self, gateway: Gateway, github: FakeIssuer) -> None:
        answer = exchange(gateway, github.token(**MAIN), "environment")
        assert answer.error == (400, "access_denied")
        sentence, _, message = answer.json["error_description"].partition(" Encoded authorization failure message: ")
        assert sentence == "Not authorized to perform sts:AssumeRoleWithWebIdentity"
        decoded = gateway.client(credentials=OPERATOR).decode_authorization_message(EncodedMessage=message)
        assert ":environment" in decoded["DecodedMessage"]

    @pytest.mark.parametrize(
        ("bend", "text"),
        [
            ({"aud": "no"}, "Incorrect token audience: the token is for no"),
            ({"iat": 1_699_999_700, "exp": 1_700_000_000}, "Token expired"),
            ({"iss": "https://evil.test"}, "No OpenIDConnect provider found"),
        ],
    )
    def test_bent_tokens(self, gateway: Gateway, github: FakeIssuer, bend: dict[str, Any], text: str) -> None:
        answer = exchange(gateway, github.token(**MAIN | bend), "organization-main")
        assert answer.error == (400, "invalid_grant")
        assert text in answer.json["error_description"]

    def test_a_session_token_is_no_id_token(self, gateway: Gateway, github: FakeIssuer) -> None:
        bearer = exchange(gateway, github.token(**MAIN), "tagged").json["access_token"]
        for kind in ("id_token", "jwt"):
            assert exchange(gateway, bearer, "tagged", kind).error == (400, "invalid_grant")


class TestBearerTokens:
    @pytest.fixture
    def bearer(self, gateway: Gateway, github: FakeIssuer) -> str:
        tags = {TAGS: {"principal_tags": {"Project": ["apollo"], "x": ["y"]}, "transitive_tag_keys": ["Project"]}}
        token: str = exchange(gateway, github.token(**MAIN | tags), "tagged", sojourn_duration="43200").json[
            "access_token"
        ]
        return token

    def test_chain_to_the_next_role(self, gateway: Gateway, bearer: str) -> None:
        answer = exchange(gateway, bearer, "next", "access_token")
        assert answer.status == 200
        claims = claims_of(answer.json["access_token"])
        assert claims["sub"].startswith(f"arn:aws:sts::{PROD}:assumed-role/next/")
        assert claims["principal_tags"] == {"Project": "apollo"}
        event = gateway.audit[-1]
        assert event["userIdentity"]["type"] == "AssumedRole"
        assert event["userIdentity"]["accessKeyId"] == claims_of(bearer)["jti"]

    def test_for_an_hour_at_most(self, gateway: Gateway, bearer: str) -> None:
        assert exchange(gateway, bearer, "next", "access_token", sojourn_duration="3600").status == 200
        answer = exchange(gateway, bearer, "next", "access_token", sojourn_duration="3601")
        assert answer.error == (400, "invalid_request")
        assert "1 hour session limit" in answer.json["error_description"]

    def test_need_the_policies_of_both_sides(self, gateway: Gateway, bearer: str) -> None:
        answer = exchange(gateway, bearer, "users", "access_token")
        assert answer.error == (400, "access_denied")
        assert "is not authorized to perform: sts:AssumeRole" in answer.json["error_description"]

    def test_bent_ones_are_refused(self, gateway: Gateway, bearer: str) -> None:
        head, payload, signature = bearer.split(".")
        other = "A" if signature[5] != "A" else "B"
        bent = [
            f"{head}.{payload}.{signature[:5]}{other}{signature[6:]}",
            f"{head}.{payload}.",
            f"{head}.{payload}",
            f"{bearer}.x",
            f"{bearer[:-1]}",
            "garbage-token",
            "x" * 9000,
            payload,
        ]
        for token in bent:
            answer = exchange(gateway, token, "next", "access_token")
            assert answer.error == (400, "invalid_grant"), token
        assert exchange(gateway, bearer, "next", "access_token").status == 200

    def test_sign_nothing(self, gateway: Gateway, github: FakeIssuer) -> None:
        """Not even with their secret, which only the gateway can derive."""
        whole = exchange(gateway, github.token(**MAIN), "tagged", requested_token_type=AWS_CREDENTIALS).json
        for token, works in ((whole["aws_credentials"]["SessionToken"], True), (whole["access_token"], False)):
            key_id = claims_of(token)["jti"]
            derived = {"AccessKeyId": key_id, "SecretAccessKey": derive(gateway, key_id), "SessionToken": token}
            client = gateway.client(credentials=derived)
            if works:
                client.get_caller_identity()
            else:
                with refused("InvalidClientTokenId"):
                    client.get_caller_identity()


class TestSigningTokens:
    @pytest.fixture
    def credentials(self, gateway: Gateway) -> Any:
        alice = gateway.client(credentials=ALICE)
        return alice.assume_role(RoleArn=role_arn("users"), RoleSessionName="alice")["Credentials"]

    def test_alone_prove_nothing(self, gateway: Gateway, credentials: Any) -> None:
        answer = exchange(gateway, credentials["SessionToken"], "users", "access_token")
        assert answer.error == (400, "invalid_grant")
        assert "sign the request with its credentials" in answer.json["error_description"]

    def test_are_taken_from_who_signs_with_their_credentials(self, gateway: Gateway, github: FakeIssuer) -> None:
        credentials = exchange(gateway, github.token(**MAIN), "tagged", requested_token_type=AWS_CREDENTIALS).json[
            "aws_credentials"
        ]
        answer = signed(gateway, credentials, credentials["SessionToken"], "next")
        assert answer.status == 200
        assert claims_of(answer.json["access_token"])["use"] == "bearer"

    def test_of_a_user_s_session(self, gateway: Gateway) -> None:
        credentials = gateway.client(credentials=ALICE).get_session_token()["Credentials"]
        answer = signed(gateway, credentials, credentials["SessionToken"], "users")
        assert answer.status == 200

    def test_of_a_federated_user_may_not(self, gateway: Gateway) -> None:
        credentials = gateway.client(credentials=ALICE).get_federation_token(Name="fed")["Credentials"]
        answer = signed(gateway, credentials, credentials["SessionToken"], "users")
        assert answer.error == (400, "access_denied")
        assert "credentials of this kind" in answer.json["error_description"]

    def test_are_not_taken_from_others(self, gateway: Gateway, credentials: Any, github: FakeIssuer) -> None:
        alice = gateway.client(credentials=ALICE)
        others = alice.assume_role(RoleArn=role_arn("users"), RoleSessionName="other")["Credentials"]
        bearer = exchange(gateway, github.token(**MAIN), "tagged").json["access_token"]
        for signer in (others, ALICE):
            for token in (credentials["SessionToken"], bearer):
                answer = signed(gateway, signer, token, "users")
                assert answer.error == (400, "invalid_grant")

    def test_with_a_wrong_signature(self, gateway: Gateway, credentials: Any) -> None:
        bent = {**credentials, "SecretAccessKey": "x" * 40}
        answer = signed(gateway, bent, credentials["SessionToken"], "users")
        assert answer.error == (401, "invalid_client")
        assert answer.headers["WWW-Authenticate"] == "AWS4-HMAC-SHA256"


class TestRequests:
    @pytest.mark.parametrize(
        ("more", "error", "text"),
        [
            ({"grant_type": None}, "invalid_request", "grant_type"),
            ({"grant_type": "client_credentials"}, "unsupported_grant_type", "token-exchange"),
            ({"subject_token": None}, "invalid_request", "subject_token"),
            ({"subject_token": ""}, "invalid_request", "subject_token"),
            ({"subject_token": "x" * 20_001}, "invalid_request", "longer than 20000"),
            ({"subject_token": "x" * 100_001}, "invalid_request", "'****'"),
            ({"subject_token_type": None}, "invalid_request", "subject_token_type"),
            ({"subject_token_type": TYPE + "saml1"}, "invalid_request", "subject_token_type must be one of"),
            ({"subject_token_type": TYPE + "refresh_token"}, "invalid_request", "subject_token_type must be one of"),
            ({"requested_token_type": TYPE + "refresh_token"}, "invalid_request", "requested_token_type"),
            ({"resource": None}, "invalid_target", "ARN of the role"),
            ({"resource": "https://api.test"}, "invalid_target", "ARN of the role"),
            ({"resource": f"arn:aws:iam::{PROD}:user/x"}, "invalid_target", "ARN of the role"),
            ({"audience": "somebody"}, "invalid_request", "audience"),
            ({"actor_token": "x"}, "invalid_request", "actor_token"),
            ({"sojourn_polcy": "{}"}, "invalid_request", "sojourn_polcy"),
            ({"sojourn_policy": "{}"}, "invalid_request", "Statement"),
            ({"sojourn_policy": ""}, "invalid_request", "sojourn_policy"),
            ({"sojourn_duration": "899"}, "invalid_request", "sojourn_duration"),
            ({"sojourn_duration": "soon"}, "invalid_request", ""),
            ({"sojourn_duration": "7201"}, "invalid_request", "MaxSessionDuration"),
            ({"sojourn_session_name": "a b"}, "invalid_request", "sojourn_session_name"),
        ],
    )
    def test_faults(
        self, gateway: Gateway, github: FakeIssuer, more: dict[str, str | None], error: str, text: str
    ) -> None:
        whole: dict[str, Any] = {"subject_token": github.token(**MAIN), **more}
        answer = exchange(gateway, whole.pop("subject_token"), "organization-main", **whole)
        assert answer.error == (400, error)
        assert text in answer.json.get("error_description", "")
        assert answer.headers["Cache-Control"] == "no-store"

    def test_unknown_parameters_are_ignored(self, gateway: Gateway, github: FakeIssuer) -> None:
        answer = exchange(
            gateway, github.token(**MAIN), "organization-main", scope="", client_id="app", audience="", foo="bar"
        )
        assert answer.status == 200

    def test_a_parameter_twice(self, gateway: Gateway, github: FakeIssuer) -> None:
        body = urlencode(form(github.token(**MAIN), "organization-main"))
        again = urlencode({"resource": role_arn("ids")})
        assert send(gateway, f"{body}&{again}").error == (400, "invalid_request")

    def test_parameters_in_the_url(self, gateway: Gateway, github: FakeIssuer) -> None:
        query = urlencode(form(github.token(**MAIN), "organization-main"))
        answer = send(gateway, b"", target=f"/oauth2/token?{query}")
        assert answer.error == (400, "invalid_request")
        assert "into its body" in answer.json["error_description"]
        body = urlencode(form(github.token(**MAIN), "organization-main"))
        assert send(gateway, body, target="/oauth2/token?X-Amz-Algorithm=x").error == (400, "invalid_request")

    def test_other_bodies(self, gateway: Gateway, github: FakeIssuer) -> None:
        whole = form(github.token(**MAIN), "organization-main")
        answer = send(gateway, json.dumps(whole), {"Content-Type": "application/json"})
        assert answer.error == (400, "invalid_request")
        assert send(gateway, b"").error == (400, "invalid_request")
        assert send(gateway, b"grant_type=%zz").error == (400, "invalid_request")
        assert send(gateway, urlencode(whole), {"Content-Encoding": "identity"}).error == (400, "invalid_request")
        assert send(gateway, "a=" + "x" * 1_000_001).error == (413, "invalid_request")

    @pytest.mark.parametrize("header", ["Basic YTpi", "Bearer abc", "DPoP x"])
    def test_client_authentication_is_not_ignored(self, gateway: Gateway, github: FakeIssuer, header: str) -> None:
        body = urlencode(form(github.token(**MAIN), "organization-main"))
        answer = send(gateway, body, {"Authorization": header})
        assert answer.error == (401, "invalid_client")
        assert "WWW-Authenticate" in answer.headers

    def test_descriptions_keep_to_their_characters(self, gateway: Gateway, github: FakeIssuer) -> None:
        answer = exchange(gateway, github.token(**MAIN), "organization-main", sojourn_session_name='a"\\\u00e9')
        assert answer.error == (400, "invalid_request")
        description = answer.json["error_description"]
        assert all(" " <= character <= "~" and character not in '"\\' for character in description)

    def test_get_is_not_for_tokens(self, gateway: Gateway) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
        connection.request("GET", "/oauth2/token")
        assert connection.getresponse().status == 405
        connection.close()


class TestOnRecord:
    def test_every_exchange_is_one_event(self, gateway: Gateway, github: FakeIssuer) -> None:
        token = github.token(**MAIN)
        answer = exchange(gateway, token, "organization-main", requested_token_type=AWS_CREDENTIALS)
        event = gateway.audit[-1]
        assert event["requestID"] == answer.headers["x-amzn-RequestId"]
        assert event["eventName"] == "ExchangeToken"
        assert event["userIdentity"]["type"] == "WebIdentityUser"
        assert event["userIdentity"]["identityProvider"] == provider_arn(github.url)
        assert event["requestParameters"]["resource"] == role_arn("organization-main")
        assert event["recipientAccountId"] == PROD
        response = event["responseElements"]
        assert response["credentials"]["accessKeyId"] == claims_of(answer.json["access_token"])["jti"]
        assert response["awsCredentials"]["accessKeyId"] == answer.json["aws_credentials"]["AccessKeyId"]
        written = json.dumps(gateway.audit) + gateway.log
        assert token.rpartition(".")[2] not in written
        assert answer.json["aws_credentials"]["SecretAccessKey"] not in written
        assert answer.json["access_token"].rpartition(".")[2] not in written

    def test_a_refusal_too(self, gateway: Gateway, github: FakeIssuer) -> None:
        exchange(gateway, github.token(**MAIN | {"aud": "no"}), "organization-main")
        event = gateway.audit[-1]
        assert event["errorCode"] == "InvalidIdentityToken"
        assert event["additionalEventData"]["reason"] == "audience"
        exchange(gateway, "garbage-token", "organization-main", "access_token")
        assert gateway.audit[-1]["errorCode"] == "InvalidSubjectToken"

    def test_it_is_counted(self, gateway: Gateway, github: FakeIssuer) -> None:
        exchange(gateway, github.token(**MAIN), "organization-main")
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        assert 'sojourn_requests_total{action="token",code="-",face="oauth"}' in text


def test_nothing_stays_minted_where_the_audit_trail_fails(tmp_path: Path, redis: RedisServer) -> None:
    issuer = FakeIssuer()
    with Background(issuer):
        world = accounts(issuer.url, "http://127.0.0.1:1/a", "http://127.0.0.1:1/b")
        write_configuration(tmp_path, world, {"audit": {"path": "/dev/full"}})
        with running(Gateway(tmp_path, store=redis.url)) as gateway:
            for requested in (TYPE + "access_token", AWS_CREDENTIALS):
                answer = exchange(gateway, issuer.token(**MAIN), "organization-main", requested_token_type=requested)
                assert answer.error == (503, "temporarily_unavailable")
                assert answer.headers["Retry-After"] == "1"
            assert list(redis_client.Redis.from_url(redis.url).scan_iter("*session:ASIA*")) == []


def test_a_store_that_is_down(tmp_path: Path) -> None:
    issuer = FakeIssuer()
    with Background(issuer):
        write_configuration(tmp_path, accounts(issuer.url, "http://127.0.0.1:1/a", "http://127.0.0.1:1/b"))
        with RedisServer(tmp_path / "redis") as server, running(Gateway(tmp_path, store=server.url)) as gateway:
            token = exchange(gateway, issuer.token(**MAIN), "tagged").json["access_token"]
            server.kill()
            begun = time.monotonic()
            assert exchange(gateway, issuer.token(**MAIN), "tagged").error == (503, "temporarily_unavailable")
            assert exchange(gateway, token, "next", "access_token").error == (503, "temporarily_unavailable")
            assert time.monotonic() - begun < 30  # what waits until the operating system gives up takes longer


def test_the_metadata(gateway: Gateway) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    connection.request("GET", "/.well-known/oauth-authorization-server")
    document = Answer(connection.getresponse()).json
    connection.close()
    issuer = f"http://localhost:{gateway.port}"
    assert document["issuer"] == issuer
    assert document["token_endpoint"] == f"{issuer}/oauth2/token"
    assert document["jwks_uri"] == f"{issuer}/.well-known/jwks.json"
    assert document["grant_types_supported"] == ["urn:ietf:params:oauth:grant-type:token-exchange"]
    assert document["response_types_supported"] == []
    assert document["token_endpoint_auth_methods_supported"] == ["none"]
