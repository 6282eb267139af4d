"""POST /oauth2/revoke and /oauth2/introspect from outside: RFC 7009, RFC 7662."""

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import redis as redis_client

from tests.end_to_end.administration import ACCOUNTS, ADMIN, ALICE, AUDITOR, SETTINGS, administer, lives, signed
from tests.end_to_end.world import PROD, role_arn
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, running, write_configuration

DEPLOY = f"arn:aws:iam::{PROD}:role/ci/deploy"
REVOKE, INTROSPECT = "/oauth2/revoke", "/oauth2/introspect"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, server: RedisServer) -> Iterator[Gateway]:
    directory: Path = tmp_path_factory.mktemp("revoke")
    write_configuration(directory, ACCOUNTS, SETTINGS)
    with running(Gateway(directory, store=server.url)) as gateway:
        yield gateway


@pytest.fixture
def held(gateway: Gateway) -> Any:
    """Credentials of a role session."""
    return gateway.client(credentials=ALICE).assume_role(
        RoleArn=DEPLOY, RoleSessionName="holder", SourceIdentity="alice-1", Tags=[{"Key": "team", "Value": "web"}]
    )["Credentials"]


@pytest.fixture
def bearer(gateway: Gateway, held: Any) -> str:
    """A bearer token of the role `other`."""
    status, answer = send(
        gateway,
        "/oauth2/token",
        held,
        grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
        subject_token=held["SessionToken"],
        subject_token_type=ACCESS_TOKEN,
        resource=role_arn("other"),
    )
    assert status == 200
    token: str = answer["access_token"]
    return token


def send(gateway: Gateway, path: str, keys: Mapping[str, str] | None, **parameters: str) -> tuple[int, Any]:
    """Status and JSON of a form, signed where there are keys."""
    body = urlencode(parameters)
    return post(gateway, path, body, FORM if keys is None else signed(gateway, keys, path, body))


def post(gateway: Gateway, path: str, body: str, headers: Mapping[str, str]) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    try:
        connection.request("POST", path, body, dict(headers))
        answer = connection.getresponse()
        assert answer.headers["Cache-Control"] == "no-store"
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def active(gateway: Gateway, token: str) -> bool:
    status, answer = send(gateway, INTROSPECT, ADMIN, token=token)
    assert status == 200
    return bool(answer["active"])


class TestRevocation:
    def test_who_holds_a_bearer_token_ends_it(self, gateway: Gateway, held: Any, bearer: str) -> None:
        assert active(gateway, bearer)
        assert send(gateway, REVOKE, None, token=bearer, token_type_hint="access_token") == (200, {})
        assert not active(gateway, bearer)
        assert lives(gateway, held)
        assert send(gateway, REVOKE, None, token=bearer) == (200, {})

    def test_a_session_signs_the_end_of_itself(self, gateway: Gateway, held: Any, bearer: str) -> None:
        assert send(gateway, REVOKE, held, token=held["SessionToken"]) == (200, {})
        assert not lives(gateway, held)
        assert active(gateway, bearer)

    def test_a_token_bound_to_signatures_ends_nothing_by_itself(self, gateway: Gateway, held: Any) -> None:
        other = gateway.client(credentials=ALICE).assume_role(RoleArn=DEPLOY, RoleSessionName="other")["Credentials"]
        for keys in (None, other, ALICE, ADMIN):
            status, answer = send(gateway, REVOKE, keys, token=held["SessionToken"])
            assert (status, answer["error"]) == (400, "unsupported_token_type")
        assert lives(gateway, held)
        assert lives(gateway, other)

    def test_unknown_tokens_are_answered_alike(self, gateway: Gateway, bearer: str) -> None:
        head, claims, signature = bearer.split(".")
        altered = f"{head}.{claims}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
        for token in ("garbage", altered, f"{head}.{claims}.", "é", "a.b.c"):
            assert send(gateway, REVOKE, None, token=token) == (200, {})
        assert active(gateway, bearer)

    def test_what_is_no_revocation_is_refused(self, gateway: Gateway, bearer: str) -> None:
        assert send(gateway, REVOKE, None)[1]["error"] == "invalid_request"
        assert send(gateway, f"{REVOKE}?token={bearer}", None, token=bearer)[1]["error"] == "invalid_request"
        basic = FORM | {"Authorization": "Basic Y2xpZW50OnNlY3JldA=="}
        status, answer = post(gateway, REVOKE, urlencode({"token": bearer}), basic)
        assert (status, answer["error"]) == (401, "invalid_client")
        status, answer = send(gateway, REVOKE, ALICE | {"SecretAccessKey": "x" * 40}, token=bearer)
        assert (status, answer["error"]) == (401, "invalid_client")
        assert active(gateway, bearer)

    def test_it_is_on_record(self, gateway: Gateway, bearer: str) -> None:
        send(gateway, REVOKE, None, token=bearer)
        event = gateway.audit[-1]
        assert event["eventName"] == "RevokeToken"
        assert event["userIdentity"]["arn"] == f"arn:aws:sts::{PROD}:assumed-role/other/holder"
        assert event["responseElements"]["accessKeyId"].startswith("ASIA")
        assert bearer.rpartition(".")[2] not in json.dumps(gateway.audit) + gateway.log

    def test_what_cannot_be_told_is_not_claimed(self, tmp_path: Path, bearer: str) -> None:
        with RedisServer(tmp_path / "redis") as server:
            write_configuration(tmp_path, ACCOUNTS, SETTINGS)
            with running(Gateway(tmp_path, store=server.url)) as gateway:
                server.pause()
                try:
                    for path, keys in ((REVOKE, None), (INTROSPECT, ADMIN)):
                        status, answer = send(gateway, path, keys, token=bearer)
                        assert (status, answer["error"]) == (503, "temporarily_unavailable")
                finally:
                    server.resume()


class TestIntrospection:
    def test_an_active_token(self, gateway: Gateway, bearer: str) -> None:
        status, answer = send(gateway, INTROSPECT, ADMIN, token=bearer, token_type_hint="access_token")
        assert status == 200
        assert answer.pop("jti").startswith("ASIA")
        assert answer["iat"] <= time.time() < answer["exp"] == answer["iat"] + 3600
        del answer["iat"], answer["exp"]
        assert answer == {
            "active": True,
            "token_type": "Bearer",
            "iss": "http://localhost:8080",
            "aud": "http://localhost:8080",
            "sub": f"arn:aws:sts::{PROD}:assumed-role/other/holder",
            "username": "holder",
            "account": PROD,
            "principal_tags": {},
            "source_identity": "alice-1",
        }

    def test_nothing_is_told_of_others(self, gateway: Gateway, held: Any, bearer: str) -> None:
        for token in ("garbage", held["SessionToken"], bearer[:-2], "é"):
            assert send(gateway, INTROSPECT, ADMIN, token=token) == (200, {"active": False})

    def test_it_ends_with_the_session(self, gateway: Gateway, bearer: str) -> None:
        administer(gateway, ADMIN, "RevokeSessions", RoleArn=role_arn("other"))
        assert send(gateway, INTROSPECT, ADMIN, token=bearer) == (200, {"active": False})

    def test_who_asks_signs_and_is_allowed(self, gateway: Gateway, bearer: str) -> None:
        status, answer = send(gateway, INTROSPECT, None, token=bearer)
        assert (status, answer["error"]) == (401, "invalid_client")
        for keys in (AUDITOR, ALICE):
            for token in (bearer, "garbage"):
                status, answer = send(gateway, INTROSPECT, keys, token=token)
                assert (status, answer["error"]) == (403, "access_denied")
        status, answer = send(gateway, INTROSPECT, ADMIN)
        assert (status, answer["error"]) == (400, "invalid_request")

    def test_it_is_on_record(self, gateway: Gateway, bearer: str) -> None:
        send(gateway, INTROSPECT, ADMIN, token=bearer)
        event = gateway.audit[-1]
        assert event["eventName"] == "IntrospectToken"
        assert event["userIdentity"]["arn"] == f"arn:aws:iam::{PROD}:user/admin"
        assert event["responseElements"]["active"] is True


def test_a_revocation_whose_durability_was_not_told_is_made_sure_of(gateway: Gateway, server: RedisServer) -> None:
    """The first answer may have been lost on its way: asking again is answered when it is durable."""
    held = gateway.client(credentials=ALICE).assume_role(RoleArn=DEPLOY, RoleSessionName="again")["Credentials"]
    store = redis_client.Redis.from_url(server.url)
    key = f"sojourn:session:{held['AccessKeyId']}"
    store.set(key, key.partition(":")[2].encode() + b"\0", keepttl=True)
    store.close()
    barriers = _barriers(server)
    assert send(gateway, REVOKE, None, token=held["SessionToken"]) == (200, {})
    assert _barriers(server) > barriers
    assert send(gateway, REVOKE, None, token="garbage") == (200, {})


def _barriers(server: RedisServer) -> int:
    store = redis_client.Redis.from_url(server.url)
    statistics: Any = store.info("commandstats")
    store.close()
    return int(statistics.get("cmdstat_info", {"calls": 0})["calls"])


def test_the_metadata(gateway: Gateway) -> None:
    with gateway.opener.open(gateway.url + "/.well-known/oauth-authorization-server") as answer:
        document = json.loads(answer.read())
    assert document["revocation_endpoint"] == "http://localhost:8080/oauth2/revoke"
    assert document["introspection_endpoint"] == "http://localhost:8080/oauth2/introspect"
    assert document["revocation_endpoint_auth_methods_supported"] == ["none"]
