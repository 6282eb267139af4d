"""A service behind a guard, on both servers: who is let in, as whom, and what everybody else is told."""

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from broker.client import (
    Authorized,
    Authorizer,
    Context,
    Guard,
    Incoming,
    Public,
    SigningCredentials,
    Verifier,
    peer_context,
)
from broker.client.refusal import Refusal
from tests.client.services import RULES, SERVICES
from tests.end_to_end.resource_world import (
    ALICE,
    NOBODY,
    REPORTS,
    TABLES,
    bearer,
    keys_of,
    presigned,
    signed,
    with_issuer,
)
from tests.end_to_end.world import DEV, PROD, role_arn
from tests.fakes.background import Background
from tests.fakes.issuer import FakeIssuer
from tests.gateway import Gateway, running, write_configuration

ALICE_ARN = f"arn:aws:iam::{DEV}:user/alice"
OWN = SigningCredentials(REPORTS["AccessKeyId"], REPORTS["SecretAccessKey"])


def guarded(gateway: Gateway, *, own: SigningCredentials = OWN, **options: Any) -> Guard:
    """The guard of the service; its callers connect to it themselves."""
    given: dict[str, Any] = {
        "verifier": Verifier(f"http://localhost:{gateway.port}"),
        "authorizer": Authorizer(gateway.url, own),
        "hosts": ["127.0.0.1"],
        "context": peer_context,
    }
    return Guard(RULES, **given | options)


@pytest.fixture(scope="module", params=SERVICES)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def url(kind: str, gateway: Gateway) -> Iterator[str]:
    service = SERVICES[kind](guarded(gateway))
    with Background(service):
        yield service.url


@pytest.fixture(scope="module")
def token(gateway: Gateway, issuer: FakeIssuer) -> str:
    """A bearer token whose holder may read the report `mine`."""
    return bearer(gateway, issuer, sub="mine")


class Answer:
    """Status, headers and body of an answer."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = answer.status, answer.headers, answer.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def refusal(self) -> tuple[int, str]:
        """Status and code."""
        assert self.headers["Content-Type"] == "application/json"
        assert self.headers["Cache-Control"] == "no-store"
        assert set(self.json["error"]) == {"code", "message"}
        return self.status, self.json["error"]["code"]


def send(
    url: str,
    target: str,
    headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
    method: str = "GET",
    body: bytes = b"",
) -> Answer:
    """Headers and target go out exactly as given."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    given = list(headers.items()) if isinstance(headers, Mapping) else headers or []
    try:
        connection.putrequest(method, target, skip_host=any(name.lower() == "host" for name, _ in given))
        for name, value in given:
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def sent(url: str, keys: dict[str, str], method: str, target: str, body: bytes = b"", **options: Any) -> Answer:
    """A request that an SDK signed."""
    request = signed(keys, method, url + target, body, **options)
    return send(url, target, request["headers"], method, body)


def with_token(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class TestRules:
    def test_public_routes_ask_for_nothing(self, url: str) -> None:
        assert send(url, "/health").body == b"well"
        assert send(url, "/health", with_token("nonsense")).status == 200

    @pytest.mark.parametrize(
        ("method", "target"),
        [
            ("GET", "/open"),
            ("GET", "/nowhere"),
            ("HEAD", "/health"),
            ("POST", "/me"),
            ("get", "/me"),
            ("GET", "/me/"),
            ("GET", "//me"),
            ("GET", "/ME"),
            ("GET", "/reports/"),
            ("GET", "/reports/mine/more"),
            ("GET", "/reports/a%2Fb"),
            ("GET", "/reports/%2e%2e"),
            ("GET", "/reports/.."),
            ("GET", "/reports/x/../mine"),
            ("GET", "/reports/a%00b"),
            ("GET", "/reports/%ff"),
            ("GET", "/reports/a%5cb"),
            ("GET", "/reports/..;/mine"),
            ("GET", "http://127.0.0.1/reports/mine"),
        ],
    )
    def test_what_no_rule_knows_is_refused(self, url: str, token: str, method: str, target: str) -> None:
        answer = send(url, target, with_token(token), method)
        if method == "HEAD":
            assert (answer.status, answer.body) == (403, b"")
        elif answer.status != 400:  # what the server itself takes for no request
            assert answer.refusal == (403, "AccessDenied")

    def test_the_rule_and_the_handler_read_the_same_path(self, kind: str, gateway: Gateway, token: str) -> None:
        """Else one resource would be decided about, and another served."""
        read: list[str] = []

        def noting(incoming: Incoming) -> Context:
            read.append(incoming.values["id"])
            return {}

        odd = [chr(code) for code in range(0x21, 0x7F) if chr(code) != "?"]
        odd += [f"%{code:02x}" for code in range(256)] + [f"%{code:02X}" for code in range(0x20, 0x7F)]
        odd += ["%2561", "%25252f", "%c3%b6", "%C3%B6", "%E2%80%A8", "+", "%2B", "a;b", "a%3Bb=c", "%", "%4", "%u0041"]
        service = SERVICES[kind](guarded(gateway, context=noting))
        with Background(service):
            let_in = 0
            for each in odd:
                answer = send(service.url, f"/things/x{each}y", with_token(token))
                if answer.status != 200:
                    assert answer.status in (400, 403), each
                elif isinstance(answer.json, str):  # aiohttp gives braces to no such route
                    let_in += 1
                    assert answer.json == read[-1], each
            assert let_in > 150

    def test_a_rule_that_could_let_nobody_in_is_none(self, gateway: Gateway) -> None:
        verifier = Verifier(f"http://localhost:{gateway.port}")
        authorizer = Authorizer(gateway.url, OWN)
        for options in (
            {},
            {"authorizer": authorizer},
            {"verifier": verifier},
            {"authorizer": authorizer, "hosts": ["h"]},
            {"verifier": verifier, "hosts": ["h"]},
        ):
            with pytest.raises(ValueError, match="need"):
                Guard(RULES, **options)
        Guard([Public("GET", "/")], verifier=verifier)
        bad: list[tuple[Any, str]] = [
            ("get", "/"),
            ([], "/"),
            ("GET", "x"),
            ("GET", "/{a}/{a}"),
            ("GET", "/{a+}/b"),
            ("GET", "/x{a}"),
        ]
        for rule in bad:
            with pytest.raises(ValueError, match=r"methods|path"):
                Public(*rule)
        with pytest.raises(ValueError, match="resource"):
            Authorized("GET", "/{a}", "s3:GetObject", "arn:aws:s3:::{b}")


class TestBearer:
    def test_a_token_tells_who(self, url: str, token: str) -> None:
        answer = send(url, "/me", with_token(token))
        assert answer.status == 200
        assert answer.json["arn"].startswith(f"arn:aws:sts::{PROD}:assumed-role/app/")
        assert answer.json["tags"] == {}
        assert send(url, "/me", {"authorization": f"bearer  {token}"}).status == 200

    def test_the_gateway_decides_what_it_may_and_tells_the_rest(self, url: str, token: str) -> None:
        assert send(url, "/me", with_token(token)).json["id"] is None
        assert send(url, "/reports/mine", with_token(token)).json["id"].startswith("AROA")
        answer = send(url, "/reports/yours", with_token(token))
        assert answer.refusal == (403, "AccessDenied")
        assert answer.json["error"]["message"].endswith(
            "is not authorized to perform: reports:GetReport on resource: arn:aws:reports:::report/yours"
        )
        assert send(url, "/reports/%6dine", with_token(token)).status == 200

    def test_the_handler_asks_for_more(self, url: str, token: str) -> None:
        assert send(url, "/mine", with_token(token)).json == ["mine"]

    def test_a_failure_after_the_answer_began_breaks_it_off(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname or "", parts.port or 80), 10) as connection:
            connection.sendall(f"GET /late HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            received = b""
            while chunk := connection.recv(65_536):
                received += chunk
        assert received.count(b"HTTP/1.1 ") == 1
        assert b"begun" in received
        assert not received.endswith(b"0\r\n\r\n")

    def test_its_body_is_left_to_the_handler(self, url: str, token: str) -> None:
        body = b"x" * 100_000
        answer = send(url, "/objects/b/k", with_token(token), "PUT", body)
        assert answer.refusal == (403, "AccessDenied")

    def test_nothing_presented(self, url: str, gateway: Gateway) -> None:
        for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": ""}):
            answer = send(url, "/me", headers)
            assert answer.refusal == (401, "MissingAuthenticationToken")
            assert answer.headers.get_all("WWW-Authenticate") == [
                f'Bearer realm="http://localhost:{gateway.port}"',
                "AWS4-HMAC-SHA256",
            ]

    def test_what_does_not_verify(self, url: str, gateway: Gateway, token: str) -> None:
        bound = gateway.client(credentials=ALICE).get_session_token()["Credentials"]["SessionToken"]
        head, claims, signature = token.split(".")
        for bad in (bound, f"{head}.{claims}.{signature[::-1]}", "nonsense", "x" * 7000):
            for target in ("/me", "/reports/mine"):
                answer = send(url, target, with_token(bad))
                assert answer.refusal == (401, "InvalidClientTokenId")
                challenge = answer.headers.get_all("WWW-Authenticate", [])[0]
                assert (
                    f'realm="http://localhost:{gateway.port}", error="invalid_token", error_description="' in challenge
                )

    def test_one_credential_in_one_place(self, url: str, token: str) -> None:
        both = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
        link = presigned(ALICE, "GET", f"{url}/reports/mine")["url"].removeprefix(url)
        headers = signed(ALICE, "GET", f"{url}/reports/mine")["headers"]
        for target, given in (
            ("/me", both),
            ("/me", [both[0], ("Authorization", "Basic eDp5")]),
            ("/me", [("Authorization", f"Bearer {token}, Bearer {token}")]),
            ("/me", [("Authorization", "Bearer")]),
            ("/me?access_token=" + token, []),
            ("/me?x=1&access_token=" + token, both[:1]),
            ("/me?%61ccess_token=x", both[:1]),
            ("/me?%ff=1", both[:1]),
            ("/me?x=%zz", both[:1]),
            (link, both[:1]),
            ("/reports/mine", [*headers.items(), both[0]]),
        ):
            answer = send(url, target, given)
            assert answer.refusal == (400, "ValidationError")
            assert 'error="invalid_request"' in answer.headers.get_all("WWW-Authenticate", [])[0]
        assert send(url, link, headers).refusal == (401, "SignatureDoesNotMatch")

    def test_a_revoked_session_is_refused_where_the_gateway_is_asked(
        self, url: str, kind: str, gateway: Gateway, issuer: FakeIssuer
    ) -> None:
        held = bearer(gateway, issuer, sub="mine")
        assert send(url, "/reports/mine", with_token(held)).status == 200
        form = urlencode({"token": held}).encode()
        assert gateway.opener.open(f"{gateway.url}/oauth2/revoke", form, timeout=60).status == 200
        assert send(url, "/reports/mine", with_token(held)).refusal == (401, "InvalidClientTokenId")
        # Starlette itself answers what handlers raise.
        assert send(url, "/mine", with_token(held)).status == {"aiohttp": 401, "asgi": 500}[kind]
        assert send(url, "/me", with_token(held)).status == 200  # as is documented

    def test_a_service_of_tokens_alone(self, kind: str, gateway: Gateway, token: str) -> None:
        guard = guarded(gateway, hosts=())
        service = SERVICES[kind](guard)
        with Background(service):
            assert send(service.url, "/reports/mine", with_token(token)).status == 200
            answer = sent(service.url, ALICE, "GET", "/objects/b/k")
            assert answer.refusal == (401, "MissingAuthenticationToken")
            assert "AWS4" not in str(answer.headers.get_all("WWW-Authenticate"))


class TestSigned:
    def test_a_request_is_let_in_as_its_signer(self, url: str) -> None:
        answer = sent(url, ALICE, "PUT", "/objects/b/k%20%C3%B6", b"content")
        assert answer.status == 200
        assert (answer.json["arn"], answer.json["tags"]) == (ALICE_ARN, {"team": "web"})
        assert answer.json["body"] == "content"
        assert sent(url, ALICE, "PUT", "/objects/vault/k", b"content").refusal == (403, "AccessDenied")
        assert sent(url, ALICE, "GET", "/objects/b/k?x-id=GetObject").status == 200
        # A policy denies lists of private/*.
        assert sent(url, ALICE, "GET", "/objects/b?prefix=public%2F").status == 200
        assert sent(url, ALICE, "GET", "/objects/b?prefix=private%2F").refusal == (403, "AccessDenied")

    def test_the_context_is_the_peers(self, url: str, kind: str, gateway: Gateway) -> None:
        """Alice's policy wants an address of 127.0.0.0/8."""
        assert sent(url, ALICE, "GET", "/reports/any", service="reports").status == 200
        service = SERVICES[kind](
            Guard(
                RULES,
                verifier=Verifier("http://localhost"),
                authorizer=Authorizer(gateway.url, OWN),
                hosts=["127.0.0.1"],
            )
        )
        with Background(service):
            answer = sent(service.url, ALICE, "GET", "/reports/any", service="reports")
            assert answer.refusal == (403, "AccessDenied")

    def test_sessions_and_presigned_requests(self, url: str, gateway: Gateway) -> None:
        tags = [{"Key": "team", "Value": "web"}]
        session = gateway.client(credentials=ALICE).assume_role(
            RoleArn=role_arn("team"), RoleSessionName="job", Tags=tags
        )
        keys = session["Credentials"]
        answer = sent(url, keys, "GET", "/objects/data/web/a")
        assert answer.json["arn"] == f"arn:aws:sts::{PROD}:assumed-role/team/job"
        link = presigned(keys, "GET", f"{url}/objects/data/web/a")["url"].removeprefix(url)
        assert send(url, link).status == 200
        assert send(url, link.replace("/web/", "/ops/")).refusal == (401, "SignatureDoesNotMatch")

    def test_the_body_is_the_one_that_was_signed(self, url: str) -> None:
        for body in (b"content", b"c" * 600_000):
            request = signed(ALICE, "PUT", f"{url}/objects/b/k", body)
            assert send(url, "/objects/b/k", request["headers"], "PUT", body).json["body"] == body.decode()
            for other in (body[:-1], body[:-1] + b"x", body + b"x", b""):
                answer = send(url, "/objects/b/k", request["headers"], "PUT", other)
                assert answer.refusal == (401, "SignatureDoesNotMatch")

    def test_functions_name_action_and_resource(self, url: str, gateway: Gateway, issuer: FakeIssuer) -> None:
        def call(target: str, body: bytes = b'{"TableName": "t"}') -> Answer:
            return sent(url, TABLES, "POST", "/", body, service="dynamodb", headers={"X-Amz-Target": target})

        assert call("Get").json["body"] == '{"TableName": "t"}'
        assert call("Put").refusal == (403, "AccessDenied")
        assert call("Get", b"{}").refusal == (403, "AccessDenied")
        assert call("Get", json.dumps({"TableName": "t" * 2048}).encode()).refusal == (400, "ValidationError")
        held = with_token(bearer(gateway, issuer)) | {"X-Amz-Target": "Get"}
        answer = send(url, "/", held, "POST", b'{"TableName": "mine"}')
        assert answer.json["error"]["message"].endswith(f"dynamodb:eu-central-1:{DEV}:table/mine")
        assert send(url, "/", held, "POST", b" " * ((1 << 20) + 1)).refusal == (413, "RequestEntityTooLarge")

    def test_the_body_counts_where_no_header_declares_its_hash(self, url: str) -> None:
        body, headers = b'{"TableName": "t"}', {"X-Amz-Target": "Get"}
        request = signed(TABLES, "POST", f"{url}/", body, service="dynamodb", headers=headers)
        assert "x-amz-content-sha256" not in request["headers"]
        assert send(url, "/", request["headers"], "POST", body).status == 200
        answer = send(url, "/", request["headers"], "POST", b'{"TableName": "u"}')
        assert answer.refusal == (401, "SignatureDoesNotMatch")

    def test_every_altered_part_is_refused(self, url: str) -> None:
        request = signed(ALICE, "PUT", f"{url}/objects/b/k?x-id=1", b"content", headers={"Content-Type": "text/plain"})
        headers = request["headers"]
        assert send(url, "/objects/b/k?x-id=1", headers, "PUT", b"content").status == 200
        for target, method in (
            ("/objects/b/k?x-id=2", "PUT"),
            ("/objects/b/j?x-id=1", "PUT"),
            ("/objects/b/k?x-id=1", "GET"),
        ):
            answer = send(url, target, headers, method, b"content")
            assert answer.refusal == (401, "SignatureDoesNotMatch")
        for name, value in headers.items():
            for bent in (value + "0", value[:-1] + ("0" if value[-1] != "0" else "1")):
                answer = send(url, "/objects/b/k?x-id=1", headers | {name: bent}, "PUT", b"content")
                assert answer.status in (400, 401), name
            without = {other: text for other, text in headers.items() if other != name}
            assert send(url, "/objects/b/k?x-id=1", without, "PUT", b"content").status in (400, 401), name
        added = headers | {"X-Amz-Acl": "public-read"}
        assert send(url, "/objects/b/k?x-id=1", added, "PUT", b"content").refusal[0] in (401, 403)

    def test_it_must_be_for_this_host(self, url: str) -> None:
        """What another service was sent cannot be shown here."""
        elsewhere = signed(ALICE, "GET", "http://other.internal/objects/b/k")
        headers = elsewhere["headers"] | {"host": "other.internal"}
        assert send(url, "/objects/b/k", headers).refusal == (403, "AccessDenied")

    def test_further_operations_of_s3_are_not_meant(self, url: str) -> None:
        for target in ("/objects/b/k?acl", "/objects/b/k?versionId=1"):
            assert sent(url, ALICE, "GET", target).refusal == (403, "AccessDenied")
        copied = {"X-Amz-Copy-Source": "/vault/k"}
        assert sent(url, ALICE, "PUT", "/objects/b/k", headers=copied).refusal == (403, "AccessDenied")

    def test_bodies_that_are_not_signed(self, url: str, kind: str, gateway: Gateway) -> None:
        def upload(url: str, body: bytes) -> Answer:
            request = AWSRequest("PUT", f"{url}/objects/b/k", headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
            SigV4Auth(keys_of(ALICE), "s3", "eu-central-1").add_auth(request)
            return send(url, "/objects/b/k", dict(request.headers.items()), "PUT", body)

        assert upload(url, b"").status == 200
        answer = upload(url, b"content")
        assert answer.refusal == (403, "AccessDenied")
        assert "body" in answer.json["error"]["message"]
        service = SERVICES[kind](guarded(gateway, unsigned_bodies=True))
        with Background(service):
            assert upload(service.url, b"content").json["body"] == "content"

    def test_a_compressed_body_is_hashed_as_it_came(self, url: str) -> None:
        answer = sent(url, ALICE, "PUT", "/objects/b/k", b"content", headers={"Content-Encoding": "gzip"})
        assert answer.json["body"] == "content"

    def test_a_large_body_is_refused(self, url: str) -> None:
        answer = sent(url, ALICE, "PUT", "/objects/b/k", b"c" * ((1 << 20) + 1))
        assert answer.refusal == (413, "RequestEntityTooLarge")

    def test_routes_that_only_ask_who(self, url: str) -> None:
        assert sent(url, ALICE, "GET", "/me").refusal == (401, "MissingAuthenticationToken")

    def test_malformed_signatures(self, url: str) -> None:
        for authorization, code in (
            ("AWS4-HMAC-SHA256", "IncompleteSignature"),
            ("AWS4-HMAC-SHA256 Credential=x", "IncompleteSignature"),
            ("AWS4-ECDSA-P256-SHA256 Credential=x", "IncompleteSignature"),
        ):
            assert send(url, "/objects/b/k", {"Authorization": authorization}).refusal == (401, code)
        assert send(url, "/objects/b/k?X-Amz-Signature=0").refusal == (401, "MissingAuthenticationToken")


class TestOutages:
    def test_a_gateway_that_is_gone(self, tmp_path: Path, kind: str, issuer: FakeIssuer) -> None:
        write_configuration(tmp_path, with_issuer(issuer.url))
        with running(Gateway(tmp_path)) as gateway:
            held = bearer(gateway, issuer, sub="mine")
            service = SERVICES[kind](guarded(gateway))
            with Background(service):
                assert send(service.url, "/me", with_token(held)).status == 200
                gateway.kill()
                assert send(service.url, "/me", with_token(held)).status == 200
                answer = send(service.url, "/reports/mine", with_token(held))
                assert answer.refusal == (503, "ServiceUnavailable")
                assert answer.headers["Retry-After"] == "1"
                assert sent(service.url, ALICE, "GET", "/objects/b/k").refusal == (503, "ServiceUnavailable")
                assert send(service.url, "/me", with_token(held + "x")).status == 401
                begun_without_keys = SERVICES[kind](guarded(gateway))
                with Background(begun_without_keys):
                    answer = send(begun_without_keys.url, "/me", with_token(held))
                    assert answer.refusal == (503, "ServiceUnavailable")
                    assert send(begun_without_keys.url, "/health").status == 200
                gateway.start()
                assert send(service.url, "/reports/mine", with_token(held)).status == 200

    def test_a_service_that_may_not_ask(self, kind: str, gateway: Gateway, token: str) -> None:
        own = SigningCredentials(NOBODY["AccessKeyId"], NOBODY["SecretAccessKey"])
        service = SERVICES[kind](guarded(gateway, own=own))
        with Background(service):
            assert send(service.url, "/reports/mine", with_token(token)).refusal == (503, "ServiceUnavailable")
            assert send(service.url, "/me", with_token(token)).status == 200


class TestWebSockets:
    HANDSHAKE: ClassVar = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }

    def test_they_are_guarded_as_requests_are(self, gateway: Gateway, token: str) -> None:
        service = SERVICES["asgi"](guarded(gateway))
        with Background(service):
            assert self.status(service.url, "/live", {}) == 401
            assert self.status(service.url, "/live", with_token("nonsense")) == 401
            assert self.status(service.url, "/open", with_token(token)) == 403
            assert self.status(service.url, "/reports/yours", with_token(token)) == 403
            assert self.status(service.url, "/live", with_token(token)) == 101
            for target, status in (("/objects/b/k", 101), ("/objects/vault/k", 403)):
                headers = signed(ALICE, "GET", service.url + target)["headers"]
                assert self.status(service.url, target, headers) == status

    def status(self, url: str, target: str, headers: Mapping[str, str]) -> int:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        try:
            connection.request("GET", target, headers={**self.HANDSHAKE, **headers})
            return connection.getresponse().status
        finally:
            connection.close()


def test_a_challenge_cannot_be_broken_out_of() -> None:
    from broker.client.refusal import challenges

    found = challenges("https://h", signed=False, error="invalid_token", message='a"b\\c\r\nd é')
    assert found == ['Bearer realm="https://h", error="invalid_token", error_description="a?b?c??d ?"']
    assert Refusal(401, "c", "m").body == b'{"error": {"code": "c", "message": "m"}}'
