"""The wire as clients see it: forms, presigned URLs, errors, headers, JSON, keep-alive."""

import http.client
import json
import re
import socket
import time
import xml.etree.ElementTree as ET
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.end_to_end.world import ALICE, role_arn
from tests.gateway import Gateway

FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
KEYS = Credentials(ALICE["AccessKeyId"], ALICE["SecretAccessKey"])


def send(gateway: Gateway, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Any:
    """One raw request; status, headers, body."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    try:
        connection.request(method, target, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def post(gateway: Gateway, parameters: Any, headers: dict[str, str] | None = None, query: str = "") -> Any:
    """A signed POST of a form."""
    body = urlencode(parameters)
    request = AWSRequest("POST", f"{gateway.url}/{query}", data=body, headers=FORM | (headers or {}))
    SigV4Auth(KEYS, "sts", "us-east-1").add_auth(request)
    return send(gateway, "POST", f"/{query}", body.encode(), dict(request.prepare().headers))


def signature(gateway: Gateway, body: bytes) -> dict[str, str]:
    """The headers that sign a POST of this body."""
    request = AWSRequest("POST", f"{gateway.url}/", data=body, headers=FORM)
    SigV4Auth(KEYS, "sts", "us-east-1").add_auth(request)
    return {name: request.headers[name] for name in ("Authorization", "X-Amz-Date")}


def presigned(gateway: Gateway, action: str = "GetCallerIdentity", expires: int = 60) -> str:
    """A presigned URL's path and query."""
    request = AWSRequest("GET", f"{gateway.url}/?Action={action}&Version=2011-06-15")
    SigV4QueryAuth(KEYS, "sts", "us-east-1", expires=expires).add_auth(request)
    return str(request.url).removeprefix(gateway.url)


def code(body: bytes) -> str:
    """The error code of an error document."""
    found = ET.fromstring(body).find("{*}Error/{*}Code")
    assert found is not None
    return found.text or ""


def test_a_presigned_url_works(gateway: Gateway) -> None:
    status, headers, body = send(gateway, "GET", presigned(gateway))
    assert status == 200
    assert b":user/people/alice</Arn>" in body
    assert headers["Content-Type"] == "text/xml"
    assert headers["x-amzn-RequestId"].encode() in body


def test_one_altered_byte_of_a_presigned_url_fails(gateway: Gateway) -> None:
    target = presigned(gateway)
    for position in range(2, len(target)):
        old = target[position]
        if old in "&=%+":
            continue
        new = "1" if old == "0" else "0" if old.isdigit() else "b" if old == "a" else "a" if old != "A" else "B"
        status, _, body = send(gateway, "GET", target[:position] + new + target[position + 1 :])
        assert status in (400, 403), (target[:position], new)
        assert code(body) in {
            "SignatureDoesNotMatch",
            "InvalidClientTokenId",
            "IncompleteSignature",
            "InvalidAction",
            "MissingAction",
            "MissingAuthenticationToken",
            "MalformedQueryString",
            "ValidationError",
        }


def test_one_altered_byte_of_a_form_fails(gateway: Gateway) -> None:
    body = urlencode(
        {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": role_arn("open"), "RoleSessionName": "s1"}
    )
    request = AWSRequest("POST", f"{gateway.url}/", data=body, headers=FORM)
    SigV4Auth(KEYS, "sts", "us-east-1").add_auth(request)
    headers = dict(request.prepare().headers)
    assert send(gateway, "POST", "/", body.encode(), headers)[0] == 200
    for position in range(0, len(body), 3):
        bent = body[:position] + ("x" if body[position] != "x" else "y") + body[position + 1 :]
        status, _, answer = send(gateway, "POST", "/", bent.encode(), headers)
        assert status in (400, 403)
        assert code(answer) in {"SignatureDoesNotMatch", "InvalidAction", "MissingAction", "MalformedQueryString"}


def test_json_is_answered_where_it_is_asked_for(gateway: Gateway) -> None:
    status, headers, body = post(
        gateway, {"Action": "GetCallerIdentity", "Version": "2011-06-15"}, {"Accept": "application/json"}
    )
    answer = json.loads(body)["GetCallerIdentityResponse"]
    assert status == 200
    assert answer["GetCallerIdentityResult"]["Arn"].endswith("alice")
    assert answer["ResponseMetadata"]["RequestId"] == headers["x-amzn-RequestId"]
    _, _, body = post(
        gateway,
        {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": role_arn("open"), "RoleSessionName": "json"},
        {"Accept": "application/json"},
    )
    assert isinstance(json.loads(body)["AssumeRoleResponse"]["AssumeRoleResult"]["Credentials"]["Expiration"], int)
    _, _, body = post(gateway, {"Action": "AssumeRole", "Version": "2011-06-15"}, {"Accept": "application/json"})
    assert json.loads(body)["Error"]["Code"] == "ValidationError"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"Action": "Nope", "Version": "2011-06-15"}, "Could not find operation Nope for version 2011-06-15"),
        (
            {"Action": "GetCallerIdentity"},
            "Could not find operation GetCallerIdentity for version NO_VERSION_SPECIFIED",
        ),
        (
            {"Action": "GetCallerIdentity", "Version": "2010"},
            "Could not find operation GetCallerIdentity for version 2010",
        ),
        ({"Action": "getcalleridentity", "Version": "2011-06-15"}, "Could not find operation getcalleridentity"),
    ],
)
def test_unknown_actions(gateway: Gateway, parameters: dict[str, str], message: str) -> None:
    status, _, body = post(gateway, parameters)
    assert (status, code(body)) == (400, "InvalidAction")
    assert message in body.decode()
    assert b"http://webservices.amazon.com/AWSFault/2005-15-09" in body


def test_no_action_no_signature_no_form(gateway: Gateway) -> None:
    assert code(send(gateway, "POST", "/", b"Version=2011-06-15", FORM)[2]) == "MissingAction"
    status, _, body = send(gateway, "POST", "/", b"Action=GetCallerIdentity&Version=2011-06-15", FORM)
    assert (status, code(body)) == (403, "MissingAuthenticationToken")
    assert code(send(gateway, "POST", "/", b"{}", {"Content-Type": "application/json"})[2]) == "MalformedInput"
    assert code(send(gateway, "POST", "/", b"Action=x", FORM | {"Content-Encoding": "gzip"})[2]) == "ValidationError"


def test_a_parameter_given_twice_is_refused(gateway: Gateway) -> None:
    pairs = [("Action", "GetCallerIdentity"), ("Version", "2011-06-15")]
    for extra, query in (([("Action", "GetCallerIdentity")], ""), ([], "?Version=2011-06-15")):
        status, _, body = post(gateway, pairs + extra, query=query)
        assert (status, code(body)) == (400, "ValidationError")
        assert "more than once" in body.decode()


def test_parameters_may_stand_in_the_query_of_a_post(gateway: Gateway) -> None:
    assert post(gateway, {}, query="?Action=GetCallerIdentity&Version=2011-06-15")[0] == 200


def test_bodies_are_bounded(gateway: Gateway) -> None:
    status, _, body = send(gateway, "POST", "/", b"A" * 1_000_001, FORM)
    assert (status, body) == (413, b"")
    status, _, body = send(gateway, "POST", "/", b"A" * 10_000_001, FORM | {"Authorization": "AWS4-HMAC-SHA256 x"})
    assert (status, body) == (413, b"")


def test_a_long_form_is_read_for_who_signed_it_alone(gateway: Gateway) -> None:
    long = {"Action": "GetCallerIdentity", "Version": "2011-06-15", "Long": "A" * 1_000_001}
    status, _, body = post(gateway, long)
    assert (status, code(body)) == (400, "ValidationError")
    assert "'Long' is not one that this action takes" in ET.fromstring(body).findtext("{*}Error/{*}Message", "")
    broken = b"%zz" * 400_000
    for headers, refusal in (
        ({"Authorization": "AWS4-HMAC-SHA256 x"}, "IncompleteSignature"),
        (signature(gateway, b"another body"), "SignatureDoesNotMatch"),
        (signature(gateway, broken), "MalformedQueryString"),
    ):
        assert code(send(gateway, "POST", "/", broken, FORM | headers)[2]) == refusal


def test_a_good_request_does_not_open_the_connection_for_a_bad_one(gateway: Gateway) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    target = presigned(gateway)
    statuses = []
    for each in (
        target,
        re.sub("Signature=.", "Signature=z", target),
        target,
        "/?Action=GetCallerIdentity&Version=2011-06-15",
    ):
        connection.request("GET", each)
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.close()
    assert statuses == [200, 403, 200, 403]


def test_answers_are_not_cached_and_dated(gateway: Gateway) -> None:
    _, headers, _ = post(gateway, {"Action": "GetCallerIdentity", "Version": "2011-06-15"})
    assert headers["Cache-Control"] == "no-store"
    assert headers["Date"]


def test_no_version_is_told(gateway: Gateway) -> None:
    for target in ("/", "/login", "/nope", "/health/live"):
        assert send(gateway, "GET", target)[1].get_all("Server") == ["Sojourn"]


def test_any_region_and_only_our_service(gateway: Gateway) -> None:
    for service, region, status in (("sts", "eu-west-1", 200), ("sts", "made-up-9", 200), ("s3", "us-east-1", 403)):
        body = "Action=GetCallerIdentity&Version=2011-06-15"
        request = AWSRequest("POST", f"{gateway.url}/", data=body, headers=FORM)
        SigV4Auth(KEYS, service, region).add_auth(request)
        assert send(gateway, "POST", "/", body.encode(), dict(request.prepare().headers))[0] == status


def test_every_other_path_gives_nothing_away(gateway: Gateway) -> None:
    for target in ("/nope", "/../etc/passwd", "/health", "//", "/.well-known/"):
        assert send(gateway, "GET", target)[0] in (400, 404)
    assert send(gateway, "DELETE", "/")[0] == 405


def test_the_router_never_sees_a_path_of_thousands_of_slashes(gateway: Gateway) -> None:
    assert send(gateway, "GET", "/" * 4096)[0] == 404
    assert send(gateway, "GET", "/" * 4097)[0] == 414
    assert code(send(gateway, "GET", f"/?{'/' * 8000}")[2]) == "ValidationError"


def test_the_eks_form_of_a_presigned_url(gateway: Gateway) -> None:
    request = AWSRequest(
        "GET", f"{gateway.url}/?Action=GetCallerIdentity&Version=2011-06-15", headers={"x-k8s-aws-id": "c1"}
    )
    SigV4QueryAuth(KEYS, "sts", "us-east-1", expires=60).add_auth(request)
    target = str(request.url).removeprefix(gateway.url)
    assert "x-k8s-aws-id" in dict(parse_qsl(urlsplit(target).query))["X-Amz-SignedHeaders"]
    status, _, body = send(gateway, "GET", target, headers={"x-k8s-aws-id": "c1", "Accept": "application/json"})
    assert status == 200
    assert json.loads(body)["GetCallerIdentityResponse"]["GetCallerIdentityResult"]["Account"]
    assert send(gateway, "GET", target, headers={"x-k8s-aws-id": "c2"})[0] == 403


@pytest.mark.parametrize("path", ["/", "/oauth2/revoke", "/authorize", "/auth/request"])
@pytest.mark.parametrize(
    "authorization",
    [
        b"\x80",
        b"AWS4-HMAC-SHA256 Credential=AKIA\xff/DATE/us-east-1/sts/aws4_request, SignedHeaders=host, Signature=0",
        b"AWS4-HMAC-SHA256 Credential=AKIA/\xff/us-east-1/sts/aws4_request, SignedHeaders=host, Signature=0",
        b"AWS4-HMAC-SHA256 Credential=AKIA/DATE/\xff/sts/aws4_request, SignedHeaders=host, Signature=0",
    ],
)
def test_octets_that_are_no_text_are_refused_and_on_record(gateway: Gateway, path: str, authorization: bytes) -> None:
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    original = {f"X-Original-{name}": value for name, value in (("Method", "GET"), ("Host", "a"), ("URI", "/"))}
    status, headers, _ = send(
        gateway,
        "GET" if path == "/auth/request" else "POST",
        path,
        headers=original
        | {"X-Amz-Date": now, "Authorization": authorization.replace(b"DATE", now[:8].encode()).decode("latin-1")},
    )
    assert 400 <= status < 500
    assert gateway.audit[-1]["requestID"] == headers["x-amzn-RequestId"]


def test_the_trail_holds_no_control_characters_of_strangers(gateway: Gateway) -> None:
    """Some readers take U+0085 and U+2028 for line ends, and terminals obey U+009B."""
    query = urlencode(
        {
            "Action": "GetCallerIdentity",
            "Version": "2011-06-15",
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": "AKIA\u0085{}/20260101/\u009b31m\u2028/sts/aws4_request",
            "X-Amz-Date": "20260101T000000Z",
            "X-Amz-SignedHeaders": "host",
            "X-Amz-Signature": "0",
        }
    )
    _, headers, _ = send(gateway, "GET", f"/?{query}")
    record = gateway.audit[-1]
    assert record["requestID"] == headers["x-amzn-RequestId"]
    assert (record["userIdentity"]["accessKeyId"], record["awsRegion"]) == ("AKIA\ufffd{}", "\ufffd31m\ufffd")


@pytest.mark.parametrize(
    ("request_bytes", "kind"),
    [
        (b"GET /?LDAPPassword=S3CRET w0rd HTTP/1.1\r\nHost: x\r\n\r\n", "BadStatusLine"),
        (b"GET /?LDAPPassword=S3CRET\xff HTTP/1.1\r\nHost: x\r\n\r\n", "InvalidURLError"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer S3CRET\x01\r\n\r\n", "BadHttpMessage"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Amz-Security-Token: S3CRET" + b"x" * 20_000 + b"\r\n\r\n", "LineTooLong"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nLDAPPassword=S3CRET\r\n", "BadHttpMessage"),
    ],
)
def test_what_cannot_be_read_is_not_quoted_in_the_log(gateway: Gateway, request_bytes: bytes, kind: str) -> None:
    before = len(gateway.log)
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as connection:
        connection.sendall(request_bytes)
        assert connection.recv(100).startswith(b"HTTP/1.0 400 ")
    logged = gateway.log[before:]
    told = [(line["level"], line["message"]) for line in map(json.loads, logged.splitlines())]
    assert ("info", f"a request could not be read: {kind}") in told
    assert "S3CRET" not in logged and "Traceback" not in logged


def raw(gateway: Gateway, octets: bytes) -> tuple[bytes, bool]:
    """What the gateway answers to these octets, and whether it then ends the connection."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as connection:
        connection.sendall(octets)
        answer = b""
        try:
            while chunk := connection.recv(65_536):
                answer += chunk
        except TimeoutError:
            return answer, False
        return answer, True


POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "octets",
    [
        POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nA=bcd",
        POST + b"Content-Length: 5, 5\r\n\r\nA=bcd",
        POST + b"Content-Length: +5\r\n\r\nA=bcd",
        POST + b"Content-Length : 5\r\n\r\nA=bcd",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
        CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"\r\n-1\r\n",
        CHUNKED + b"\r\nfffffffffffffffff\r\n",
        POST + b"Host: y\r\nContent-Length: 5\r\n\r\nA=bcd",
        b"GET /health/live HTTP/1.1\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-A: b\0c\r\n\r\n",
        b"GET /health/live HTTP/1.1\nHost: x\n\n",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % each for each in range(1000)) + b"\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_two_readers_could_read_differently_ends_the_connection(gateway: Gateway, octets: bytes) -> None:
    answer, ended = raw(gateway, octets)
    assert answer.startswith(b"HTTP/1.0 400 ") and ended
    assert b'"live"' not in answer


def test_old_clients_are_answered(gateway: Gateway) -> None:
    answer, ended = raw(gateway, b"GET /health/live HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 200 ") and answer.endswith(b'{"status": "live"}') and ended


def test_a_body_may_come_in_chunks(gateway: Gateway) -> None:
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    connection.request("POST", "/", iter([body[:7], body[7:]]), FORM | signature(gateway, body), encode_chunked=True)
    answer = connection.getresponse()
    assert (answer.status, b"people/alice" in answer.read()) == (200, True)
    connection.close()


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_do_nothing(gateway: Gateway, method: str) -> None:
    for path, allowed in (("/", "GET,POST"), ("/oauth2/token", "POST"), ("/login", "GET,POST"), ("/authorize", "POST")):
        status, headers, _ = send(gateway, method, path)
        assert (status, headers["Allow"]) == (405, allowed)
