"""`/auth/request` and `/auth/ext_authz/…`: the questions of proxies, by hand."""

import hashlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from broker.api.authz.mapping import Asked, Rules
from broker.settings.model import ProxyRule
from broker.sigv4 import HttpRequest
from tests.end_to_end.proxied_world import configure, rules, session
from tests.end_to_end.resource_world import ACCOUNTS, ALICE, bearer, keys_of, presigned, signed
from tests.end_to_end.world import DEV, PROD
from tests.fakes.issuer import FakeIssuer
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, running, write_configuration


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, issuer: FakeIssuer) -> Iterator[Gateway]:
    directory: Path = tmp_path_factory.mktemp("proxied")
    configure(directory, issuer.url)
    with running(Gateway(directory)) as gateway:
        yield gateway


def door(
    gateway: Gateway, headers: dict[str, str], path: str = "/auth/request", method: str = "GET", body: bytes = b""
) -> tuple[int, Any]:
    """A proxy's question: status and headers of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    try:
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers
    finally:
        connection.close()


def originally(request: dict[str, Any], form: str = "X-Original-") -> dict[str, str]:
    """How nginx, or Traefik, names a request."""
    parts = urlsplit(request["url"])
    uri = parts.path + (f"?{parts.query}" if parts.query else "")
    named = {f"{form}Method": request["method"], f"{form}Host": parts.netloc, f"{form}Uri": uri}
    return {name: value for name, value in request["headers"].items() if name != "host"} | named


def test_traefik_names_the_request_in_forwarded_headers(gateway: Gateway) -> None:
    request = signed(ALICE, "PUT", "http://127.0.0.1/b/k", b"x")
    status, headers = door(gateway, originally(request, "X-Forwarded-"))
    assert (status, headers["X-Sojourn-Principal"]) == (200, f"arn:aws:iam::{DEV}:user/alice")
    assert headers["X-Sojourn-Tags"] == "team=web"
    # The client's own X-Original- headers, which Traefik passes on.
    claimed = originally(request) | originally(request, "X-Forwarded-")
    assert door(gateway, claimed)[0] == 403
    for left_out in ("Method", "Host", "Uri"):
        for form in ("X-Forwarded-", "X-Original-"):
            named = originally(request, form)
            del named[form + left_out]
            assert door(gateway, named)[0] == 403, (form, left_out)


def test_a_body_that_traefik_sends_along_is_the_originals(gateway: Gateway) -> None:
    request = signed(ALICE, "POST", "http://reports.internal/reports/1", b"abc", service="reports")
    named = originally(request, "X-Forwarded-") | {"X-Forwarded-For": "10.0.0.7"}
    assert door(gateway, named, body=b"abc")[0] == 200
    assert door(gateway, named, body=b"abd")[0] == 401
    assert door(gateway, named)[0] == 401
    declared = originally(signed(ALICE, "PUT", "http://127.0.0.1/b/k", b"abc"), "X-Forwarded-")
    assert door(gateway, declared)[0] == 200
    assert door(gateway, declared, body=b"abd")[0] == 401
    # Not what some client sends to nginx, which keeps bodies.
    assert door(gateway, originally(request) | {"X-Forwarded-For": "10.0.0.7"}, body=b"abc")[0] == 401


def test_forwarded_headers_count_from_trusted_proxies_alone(tmp_path: Path) -> None:
    write_configuration(tmp_path, ACCOUNTS, {"proxy": {"rules": rules("h")}})
    with running(Gateway(tmp_path)) as gateway:
        request = signed(ALICE, "GET", "http://h/b/k")
        assert door(gateway, originally(request, "X-Forwarded-"))[0] == 403
        assert door(gateway, originally(request))[0] == 200
        report = originally(signed(ALICE, "GET", "http://reports.internal/reports/1", service="reports"))
        # Nobody vouches for the address, and the peer's is not the client's.
        assert door(gateway, report | {"X-Forwarded-For": "10.0.0.7"})[0] == 403


def test_the_clients_address_is_the_one_that_the_proxy_names(gateway: Gateway) -> None:
    report = originally(signed(ALICE, "GET", "http://reports.internal/reports/1", service="reports"))
    assert door(gateway, report | {"X-Forwarded-For": "10.0.0.7"})[0] == 200
    assert door(gateway, report | {"X-Forwarded-For": "10.0.0.7, 192.0.2.1"})[0] == 403
    assert door(gateway, report)[0] == 403


def test_the_proxy_tells_whether_the_client_came_by_tls(gateway: Gateway) -> None:
    secret = originally(signed(ALICE, "GET", "http://reports.internal/secrets/1", service="reports"))
    assert door(gateway, secret | {"X-Forwarded-Proto": "https"})[0] == 200
    assert door(gateway, secret | {"X-Forwarded-Proto": "http"})[0] == 403
    assert door(gateway, secret)[0] == 403


def test_credentials_that_do_not_verify_are_401(gateway: Gateway) -> None:
    request = signed(ALICE, "GET", "http://127.0.0.1/b/k")
    assert door(gateway, originally(request))[0] == 200
    status, headers = door(gateway, originally(request | {"headers": {}}))
    assert (status, headers["WWW-Authenticate"]) == (401, "AWS4-HMAC-SHA256, Bearer")
    assert "X-Sojourn-Principal" not in headers
    assert door(gateway, originally(request | {"url": "http://127.0.0.1/b/l"}))[0] == 401
    assert door(gateway, originally(request | {"method": "HEAD"}))[0] == 401
    assert door(gateway, originally(request | {"url": "http://elsewhere/b/k"}))[0] == 401
    token = session(gateway, "web")["SessionToken"]
    assert door(gateway, originally(request | {"headers": {"authorization": f"Bearer {token}"}}))[0] == 401
    event = gateway.audit[-1]
    assert (event["eventName"], event["errorCode"]) == ("AuthRequest", "InvalidClientTokenId")
    assert token not in json.dumps(gateway.audit)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/b/k", 200),
        ("GET", "/b/deep/k", 200),
        ("GET", "/b/k?x-id=GetObject", 200),
        ("GET", "/b?list-type=2&prefix=k", 200),
        ("POST", "/b/k", 403),
        ("GET", "/", 403),
        ("GET", "/b//k", 403),
        ("GET", "/b/../vault/k", 403),
        ("GET", "/b/x/%2e%2e/k", 403),
        ("GET", "/b/..;a/k", 403),
        ("GET", "/b/x%2Fk", 403),
        ("GET", "/b/x%5Ck", 403),
        ("GET", "/b/x%0Ak", 403),
        ("GET", "/b/x%00k", 403),
        ("GET", "/b/%FF", 403),
        ("GET", "/b/k?acl", 403),
        ("GET", "/b/k?versionId=1", 403),
        ("GET", "/b?policy", 403),
        ("GET", "/b?list-type=2&list-type=1", 403),
        ("GET", "/b?prefix=private", 200),
        ("GET", "/b?prefix=private%2Fk", 403),
        ("GET", "/b?Prefix=public", 403),
        ("PUT", "/b/k?acl", 403),
        ("PUT", "/b/k?uploadId=1&partNumber=1", 200),
    ],
)
def test_only_what_a_rule_means_is_mapped(gateway: Gateway, method: str, path: str, status: int) -> None:
    """The signature is right each time."""
    request = signed(ALICE, method, f"http://127.0.0.1{path}", service="any")
    assert door(gateway, originally(request))[0] == status


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("get", "/b/k", ""),
        ("PUT", "/b/k", "%61cl"),
        ("PUT", "/b/k", "ACL"),
        ("PUT", "/b/k", "x-id=1;acl"),
        ("GET", "b", ""),
        ("GET", "/b", "Prefix=public"),
        ("GET", "/b", "prefix=%ff"),
    ],
)
def test_spellings_do_not_matter(method: str, path: str, query: str) -> None:
    """What SDKs would not even sign."""
    source = [ProxyRule(**rule) for rule in rules("h")]
    assert Rules().asked(source, HttpRequest("GET", "/b/k", "", [("host", "H:80")])) == Asked(
        "s3:GetObject", "arn:aws:s3:::b/k", {}
    )
    spelt = HttpRequest("GET", "/b", "x-id=1&prefi%78=private/%C3%B6+&max-keys=5", [("host", "h")])
    assert Rules().asked(source, spelt) == Asked(
        "s3:ListBucket", "arn:aws:s3:::b", {"s3:prefix": "private/ö ", "s3:max-keys": "5"}
    )
    assert Rules().asked(source, HttpRequest(method, path, query, [("host", "h")])) is None


def test_headers_that_ask_for_more_than_the_action_fit_no_rule(gateway: Gateway) -> None:
    for more in ({"x-amz-copy-source": "/vault/k"}, {"x-amz-acl": "public-read"}, {"x-amz-tagging": "a=b"}):
        assert door(gateway, originally(signed(ALICE, "PUT", "http://127.0.0.1/b/k", headers=more)))[0] == 403


def test_a_path_parameter_stays_in_its_part_of_the_arn(gateway: Gateway) -> None:
    for account, status in ((DEV, 200), ("*", 403), ("a:b", 403)):
        request = signed(ALICE, "GET", f"http://odd.internal/{account}/x", service="any")
        # alice's policy allows objects without an account in their ARN only.
        assert door(gateway, originally(request))[0] == (403 if status == 200 else status)
    events = gateway.audit[-3:]
    assert [each["requestParameters"].get("resource") for each in events] == [f"arn:aws:s3::{DEV}:b/x", None, None]


def test_envoy_sends_the_request_itself(gateway: Gateway) -> None:
    body = b"content"
    request = signed(ALICE, "PUT", "http://127.0.0.1/b/k?x-id=PutObject", body)
    headers = request["headers"] | {"host": "127.0.0.1"}
    path = "/auth/ext_authz/b/k?x-id=PutObject"
    status, answered = door(gateway, headers, path, "PUT", body)
    assert (status, answered["X-Sojourn-Account"]) == (200, DEV)
    assert door(gateway, headers, path, "PUT")[0] == 200
    assert door(gateway, headers, path, "PUT", b"another")[0] == 401
    partial = headers | {"x-envoy-auth-partial-body": "true"}
    assert door(gateway, partial, path, "PUT", b"con")[0] == 200
    assert door(gateway, headers, path, "GET", body)[0] == 401
    assert door(gateway, headers, "/auth/ext_authz/b/l?x-id=PutObject", "PUT", body)[0] == 401
    assert door(gateway, headers, "/auth/%65xt_authz/b/k?x-id=PutObject", "PUT", body)[0] == 403
    vault = signed(ALICE, "GET", "http://127.0.0.1/vault/k")
    assert door(gateway, vault["headers"] | {"host": "127.0.0.1"}, "/auth/ext_authz/vault/k")[0] == 403
    unsigned = signed(ALICE, "POST", "http://reports.internal/reports/1", body, service="reports")
    forwarded = unsigned["headers"] | {"host": "reports.internal", "X-Forwarded-For": "10.0.0.7"}
    assert door(gateway, forwarded, "/auth/ext_authz/reports/1", "POST", body)[0] == 200
    assert door(gateway, forwarded, "/auth/ext_authz/reports/1", "POST")[0] == 401
    assert hashlib.sha256(body).hexdigest() == unsigned["payload_sha256"]


def test_a_signed_content_length_is_told_by_the_proxy(gateway: Gateway) -> None:
    request = signed(ALICE, "PUT", "http://127.0.0.1/b/k", b"abc", headers={"Content-Length": "3"})
    assert "content-length" in request["headers"]["authorization"]
    named = {name: value for name, value in originally(request).items() if name != "content-length"}
    assert door(gateway, named | {"X-Original-Content-Length": "3"})[0] == 200
    assert door(gateway, named | {"X-Original-Content-Length": "4"})[0] == 401
    assert door(gateway, named)[0] == 401


def test_a_bearer_token_opens_what_its_session_may(gateway: Gateway, issuer: FakeIssuer) -> None:
    token = bearer(gateway, issuer, sub="app-1")
    authorized = {"headers": {"authorization": f"bearer {token}"}, "method": "GET"}
    own = authorized | {"url": "http://reports.internal/reports/app-1"}
    status, headers = door(gateway, originally(own))
    assert status == 200
    assert headers["X-Sojourn-Principal"].startswith(f"arn:aws:sts::{PROD}:assumed-role/app/")
    assert door(gateway, originally(own | {"url": "http://reports.internal/reports/app-2"}))[0] == 403
    both = presigned(ALICE, "GET", "http://reports.internal/reports/app-1", service="reports")["url"]
    assert door(gateway, originally(own | {"url": both}))[0] == 401
    asked = {"authorization": f"Bearer {token}", "host": "reports.internal"}
    assert door(gateway, asked, "/auth/ext_authz/reports/app-1")[0] == 200
    assert door(gateway, asked, "/auth/ext_authz/reports/app-2")[0] == 403
    assert token not in json.dumps(gateway.audit)


def test_an_encoded_upload_is_asked_about_by_its_head(gateway: Gateway) -> None:
    chunked = {"Content-Encoding": "aws-chunked", "X-Amz-Content-SHA256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}
    request = AWSRequest("PUT", "http://127.0.0.1/b/k", headers=chunked)
    SigV4Auth(keys_of(ALICE), "s3", "eu-central-1").add_auth(request)
    described = {"method": "PUT", "url": request.url, "headers": dict(request.headers.items())}
    assert door(gateway, originally(described))[0] == 200


def test_an_outage_of_the_store_lets_nobody_in(tmp_path: Path) -> None:
    write_configuration(tmp_path, ACCOUNTS, {"proxy": {"rules": rules("h")}})
    with RedisServer(tmp_path / "redis") as server, running(Gateway(tmp_path, store=server.url)) as gateway:
        request = originally(signed(session(gateway, "web"), "GET", "http://h/data/web/a"))
        assert door(gateway, request)[0] == 200
        server.stop()
        assert door(gateway, request)[0] == 503
