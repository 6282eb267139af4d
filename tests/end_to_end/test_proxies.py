"""The real nginx, Traefik and Envoy with the files of `deploy/` before an object service: the same for all three."""

import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

import pytest
from botocore.exceptions import ClientError

from tests.end_to_end.proxied_world import configure, forbidden, s3, session
from tests.end_to_end.proxies import PROXIES
from tests.end_to_end.resource_world import ALICE, BOUNDED, bearer, presigned, signed
from tests.end_to_end.world import DEV, PROD
from tests.fakes.issuer import FakeIssuer
from tests.fakes.objects import ObjectService
from tests.gateway import Gateway, free_port, running

REFUSED = (401, 403)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, issuer: FakeIssuer) -> Iterator[Gateway]:
    directory: Path = tmp_path_factory.mktemp("proxied")
    configure(directory, issuer.url)
    with running(Gateway(directory)) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def service() -> Iterator[ObjectService]:
    with ObjectService() as service:
        yield service


@pytest.fixture(scope="module", params=PROXIES)
def proxy(
    request: pytest.FixtureRequest, gateway: Gateway, service: ObjectService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of each proxy in turn."""
    with PROXIES[request.param](tmp_path_factory.mktemp(request.param), gateway.port, service.port) as url:
        yield url


def send(proxy: str, request: dict[str, Any], body: bytes = b"", *more: tuple[str, str]) -> int:
    """The status of a request as it was described (`resource_world.signed`), unchanged on its way to the proxy.

    `more`: further header lines.
    """
    parts = urlsplit(request["url"])
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(proxy).port or 0, timeout=60)
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.putrequest(request["method"], path, skip_host=True, skip_accept_encoding=True)
        headers = {"host": parts.netloc, "content-length": str(len(body))} | request["headers"]
        for name, value in [*headers.items(), *more]:
            connection.putheader(name, value)
        connection.endheaders(body)
        return connection.getresponse().status
    finally:
        connection.close()


def test_boto3_gets_through_as_the_policies_say(gateway: Gateway, proxy: str, service: ObjectService) -> None:
    web = s3(proxy, session(gateway, "web"))
    key = "web/a b/ü+%2F;(!'*)~,@&=$:?#[]{}.txt"
    web.put_object(Bucket="data", Key=key, Body=b"hello")
    assert service.objects[f"/data/{key}"] == b"hello"
    _, _, told = service.seen[-1]
    assert told["x-sojourn-principal"] == f"arn:aws:sts::{PROD}:assumed-role/team/job"
    assert told["x-sojourn-account"] == PROD
    assert told["x-sojourn-tags"] == "cost%20center=%C3%A4%2B%3D&team=web"
    assert web.get_object(Bucket="data", Key=key)["Body"].read() == b"hello"
    assert web.head_object(Bucket="data", Key=key)["ContentLength"] == 5
    served = len(service.seen)
    with forbidden():
        web.put_object(Bucket="data", Key="ops/x", Body=b"")
    with forbidden():
        web.get_object(Bucket="data", Key="web/secret")
    with forbidden():
        web.delete_object(Bucket="data", Key=key)
    with forbidden():
        web.list_objects_v2(Bucket="data")
    with forbidden():
        s3(proxy, session(gateway, "ops")).get_object(Bucket="data", Key="web/a")
    assert len(service.seen) == served


def test_long_term_keys_lists_and_presigned_urls(proxy: str, service: ObjectService) -> None:
    alice = s3(proxy, ALICE)
    alice.put_object(Bucket="listed", Key="k", Body=b"1")
    assert [each["Key"] for each in alice.list_objects_v2(Bucket="listed", Prefix="k")["Contents"]] == ["k"]
    alice.delete_object(Bucket="listed", Key="k")
    with forbidden():
        alice.get_object(Bucket="vault", Key="k")
    with forbidden():
        s3(proxy, BOUNDED).put_object(Bucket="b", Key="k", Body=b"1")
    service.objects["/b/k"] = b"2"
    with urlopen(alice.generate_presigned_url("get_object", {"Bucket": "b", "Key": "k"}), timeout=60) as answer:
        assert answer.read() == b"2"
    with pytest.raises(ClientError, match=r"401|AccessDenied"):  # the example for nginx answers 403 to both
        s3(proxy, ALICE | {"SecretAccessKey": "x"}).get_object(Bucket="b", Key="k")


def test_what_was_altered_or_not_signed_is_not_served(proxy: str, service: ObjectService) -> None:
    service.objects |= {"/b/k": b"2", "/b/l": b"3"}
    request = signed(ALICE, "GET", "http://127.0.0.1/b/k?x-id=GetObject")
    assert send(proxy, request) == 200
    served = len(service.seen)
    alterations: list[dict[str, Any]] = [
        {"url": "http://127.0.0.1/b/l?x-id=GetObject"},
        {"url": "http://127.0.0.1/b/k?x-id=GetObject2"},
        {"url": "http://127.0.0.1:80/b/k?x-id=GetObject"},
        {"method": "DELETE"},
        {"headers": request["headers"] | {"x-amz-date": "20260101T000000Z"}},
        {"headers": {}},
        {"headers": {"authorization": "Bearer x"}},
        {"headers": {"authorization": "Basic YWxpY2U6eA=="}},
    ]
    for altered in alterations:
        assert send(proxy, request | altered) in REFUSED, altered
    assert send(proxy, request, b"", ("x-amz-copy-source", "/vault/k")) in REFUSED
    assert len(service.seen) == served


def test_clients_may_sign_the_length(proxy: str, service: ObjectService) -> None:
    request = signed(ALICE, "PUT", "http://127.0.0.1/b/length", b"abc", headers={"Content-Length": "3"})
    assert "content-length" in request["headers"]["authorization"]
    assert send(proxy, request, b"abc") == 200
    assert service.objects["/b/length"] == b"abc"
    assert send(proxy, request | {"headers": request["headers"] | {"content-length": "4"}}, b"abcd") in REFUSED
    assert service.objects["/b/length"] == b"abc"


def test_a_bearer_token_opens_what_its_session_may(
    gateway: Gateway, issuer: FakeIssuer, proxy: str, service: ObjectService
) -> None:
    service.objects |= {"/reports/app-1": b"1", "/reports/app-2": b"2"}
    token = {"method": "GET", "headers": {"authorization": f"Bearer {bearer(gateway, issuer, sub='app-1')}"}}
    assert send(proxy, token | {"url": "http://reports.internal/reports/app-1"}) == 200
    assert service.seen[-1][2]["x-sojourn-principal"].startswith(f"arn:aws:sts::{PROD}:assumed-role/app/")
    assert send(proxy, token | {"url": "http://reports.internal/reports/app-2"}) == 403


def test_a_client_cannot_speak_for_the_proxy(gateway: Gateway, proxy: str, service: ObjectService) -> None:
    """What it sends under the proxy's names, or names that some services take for them, arrives nowhere."""
    service.objects["/b/k"] = b"2"
    request = presigned(ALICE, "GET", "http://127.0.0.1/b/k")
    claimed = {
        "X-Sojourn-Principal": "forged",
        "X-Original-URI": "/b/other",
        "X-Original-Method": "PUT",
        "X-Original-Host": "elsewhere",
        "X-Original-Content-Length": "7",
        "X-Forwarded-Uri": "/b/other",
        "X-Forwarded-Method": "PUT",
        "X-Forwarded-Host": "elsewhere",
        "X-Forwarded-For": "198.51.100.7",
        "X-Envoy-Auth-Partial-Body": "true",
    }
    assert send(proxy, request, b"", *claimed.items(), ("x-sojourn-principal", "forged")) == 200
    assert service.seen[-1][2]["x-sojourn-principal"] == f"arn:aws:iam::{DEV}:user/alice"
    assert gateway.audit[-1]["sourceIPAddress"] != "198.51.100.7"
    secret = signed(ALICE, "GET", "http://reports.internal/secrets/1", service="reports")
    assert send(proxy, secret, b"", ("X-Forwarded-Proto", "https")) == 403
    for first in "-_":
        for second in "-_":
            for name in ("principal", "account", "tags"):
                if send(proxy, request, b"", (f"x{first}sojourn{second}{name}", "forged")) == 200:
                    told = service.seen[-1][2]
                    assert "forged" not in [told[each] for each in told if "sojourn" in each]


def test_a_client_cannot_have_the_proxys_headers_dropped(gateway: Gateway, proxy: str, service: ObjectService) -> None:
    """`Connection` names headers that end at the next hop (RFC 9110 §7.6.1)."""
    request = presigned(ALICE, "GET", "http://127.0.0.1/b/k")
    dropped = "X-Sojourn-Principal, X-Forwarded-For, X-Forwarded-Uri, X-Original-URI"
    for nominated in (dropped, f"close, {dropped}", "X-Sojourn-Principal"):
        served = len(service.seen)
        send(proxy, request, b"", ("Connection", nominated))
        for _, _, told in service.seen[served:]:
            assert told["x-sojourn-principal"] == f"arn:aws:iam::{DEV}:user/alice"


@pytest.mark.parametrize(
    "path",
    [
        "/vault/k",
        "/vault//k",
        "//vault/k",
        "/vault/./k",
        "/b/../vault/k",
        "/b/%2e%2e/vault/k",
        "/b/..%2fvault/k",
        "/b/..;/vault/k",
        "/b%2f..%2f..%2fvault/k",
        "/%76ault/k",
        "/b/..%5cvault/k",
    ],
)
def test_no_spelling_of_a_path_leads_past_the_decision(proxy: str, service: ObjectService, path: str) -> None:
    """alice may read every bucket but one."""
    for signing in ("s3", "any"):
        served = len(service.seen)
        send(proxy, signed(ALICE, "GET", f"http://127.0.0.1{path}", service=signing))
        assert [each for _, each, _ in service.seen[served:] if "vault" in unquote(each)] == []


@pytest.mark.parametrize("name", PROXIES)
def test_without_the_gateway_nobody_is_let_in(name: str, tmp_path: Path, service: ObjectService) -> None:
    request = signed(ALICE, "GET", "http://127.0.0.1/b/k")
    served = len(service.seen)
    with PROXIES[name](tmp_path, free_port(), service.port) as url:
        assert send(url, request) >= 500
    assert len(service.seen) == served
