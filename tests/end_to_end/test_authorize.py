"""`POST /authorize`: requests as botocore signs them, shown by a resource server of its own account."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from tests.end_to_end.resource_world import (
    ACCOUNTS,
    ALICE,
    BOUNDED,
    NOBODY,
    REPORTS,
    SERVERS,
    STORAGE,
    TABLES,
    ask,
    bearer,
    keys_of,
    presigned,
    signed,
    with_issuer,
)
from tests.end_to_end.world import DEV, PROD, allow, deny, document, role_arn
from tests.fakes.issuer import FakeIssuer
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, running, write_configuration

URL = "http://s3.internal"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, issuer: FakeIssuer) -> Iterator[Gateway]:
    directory: Path = tmp_path_factory.mktemp("resource-servers")
    write_configuration(directory, with_issuer(issuer.url))
    with running(Gateway(directory)) as gateway:
        yield gateway


def session(gateway: Gateway, **parameters: Any) -> dict[str, str]:
    """Credentials of a session of the role `team`."""
    request = {"RoleArn": role_arn("team"), "RoleSessionName": "job", **parameters}
    credentials: dict[str, str] = gateway.client(credentials=ALICE).assume_role(**request)["Credentials"]
    return {name: credentials[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")}


def tagged(team: str) -> dict[str, Any]:
    """Parameters that give a session its team."""
    return {"Tags": [{"Key": "team", "Value": team}]}


def get(
    gateway: Gateway,
    credentials: dict[str, str],
    key: str,
    *,
    action: str = "s3:GetObject",
    server: dict[str, str] = STORAGE,
    **more: Any,
) -> Any:
    """The answer about one object; the request must verify."""
    request = signed(credentials, "GET", f"{URL}/{quote(key)}")
    status, answer = ask(
        gateway, server, {"request": request, "action": action, "resource": f"arn:aws:s3:::{key}", **more}
    )
    assert status == 200, answer
    return answer


def test_a_users_request_is_allowed_and_the_statement_named(gateway: Gateway) -> None:
    answer = get(gateway, ALICE, "bucket/a key/ö")
    assert answer == {
        "decision": "allow",
        "principal": {
            "arn": f"arn:aws:iam::{DEV}:user/alice",
            "account": DEV,
            "user_id": answer["principal"]["user_id"],
            "tags": {"team": "web"},
            "source_identity": None,
        },
        "expires_at": None,
        "matched": [{"policy": answer["matched"][0]["policy"], "sid": "AllObjects", "effect": "Allow"}],
        "missing_context": [],
        "payload": "signed",
    }
    denied = get(gateway, ALICE, "vault/x")
    assert denied["decision"] == "explicitDeny"
    assert [(each["sid"], each["effect"]) for each in denied["matched"]] == [("NoVault", "Deny")]
    assert get(gateway, BOUNDED, "b/k", action="sqs:SendMessage")["decision"] == "implicitDeny"


def test_a_session_tag_fills_the_resource_pattern(gateway: Gateway) -> None:
    web = session(gateway, SourceIdentity="alice@acme", **tagged("web"))
    answer = get(gateway, web, "data/web/report")
    assert answer["decision"] == "allow"
    assert answer["principal"]["arn"] == f"arn:aws:sts::{PROD}:assumed-role/team/job"
    assert answer["principal"]["tags"] == {"team": "web"}
    assert answer["principal"]["source_identity"] == "alice@acme"
    assert isinstance(answer["expires_at"], int)
    assert get(gateway, web, "data/ops/report")["decision"] == "implicitDeny"
    untagged = get(gateway, session(gateway), "data/web/report")
    assert (untagged["decision"], untagged["missing_context"]) == ("implicitDeny", ["aws:PrincipalTag/team"])


def test_a_session_policy_narrows(gateway: Gateway) -> None:
    policy = json.dumps(document(allow("s3:GetObject", "*")))
    narrow = session(gateway, Policy=policy, **tagged("web"))
    assert get(gateway, narrow, "data/web/a")["decision"] == "allow"
    assert get(gateway, narrow, "data/web/a", action="s3:PutObject")["decision"] == "implicitDeny"
    assert get(gateway, session(gateway, **tagged("web")), "data/web/a", action="s3:PutObject")["decision"] == "allow"


def test_a_boundary_limits(gateway: Gateway) -> None:
    assert get(gateway, BOUNDED, "b/k")["decision"] == "allow"
    assert get(gateway, BOUNDED, "b/k", action="s3:PutObject")["decision"] == "implicitDeny"


def test_organisation_policies_cap_the_caller_and_the_resource(gateway: Gateway) -> None:
    web = session(gateway, **tagged("web"))
    assert get(gateway, web, "data/web/secret")["decision"] == "explicitDeny"
    policy = document(allow("s3:*", "*", principal={"AWS": DEV}))
    there: dict[str, Any] = {"resource_account": PROD, "resource_policy": policy}
    assert get(gateway, ALICE, "b/k", action="s3:PutObject", **there)["decision"] == "allow"
    assert get(gateway, ALICE, "b/k", action="s3:DeleteObject", **there)["decision"] == "explicitDeny"


def test_across_accounts_both_sides_must_allow(gateway: Gateway) -> None:
    theirs: dict[str, Any] = {"resource_account": SERVERS}
    assert get(gateway, ALICE, "b/k")["decision"] == "allow"
    assert get(gateway, ALICE, "b/k", **theirs)["decision"] == "implicitDeny"
    policy = document(allow("s3:GetObject", "arn:aws:s3:::b/*", principal={"AWS": f"arn:aws:iam::{DEV}:root"}))
    assert get(gateway, ALICE, "b/k", resource_policy=policy, **theirs)["decision"] == "allow"
    assert get(gateway, ALICE, "b/k", resource_policy=json.dumps(policy), **theirs)["decision"] == "allow"
    assert get(gateway, ALICE, "other/k", resource_policy=policy, **theirs)["decision"] == "implicitDeny"
    assert get(gateway, session(gateway), "b/k", resource_policy=policy, **theirs)["decision"] == "implicitDeny"
    # Within one account a resource policy that names the caller suffices.
    named = document(allow("s3:GetObject", "*", principal={"AWS": f"arn:aws:sts::{PROD}:assumed-role/team/job"}))
    assert get(gateway, session(gateway), "b/k", resource_policy=named)["decision"] == "allow"
    refusing = document(deny("s3:*", "*", principal="*"))
    assert get(gateway, ALICE, "b/k", resource_policy=refusing)["decision"] == "explicitDeny"


def test_several_questions_at_once(gateway: Gateway) -> None:
    request = signed(ALICE, "POST", f"{URL}/b?delete")
    asked = [
        {"action": "s3:DeleteObject", "resource": "arn:aws:s3:::b/1"},
        {"action": "s3:DeleteObject", "resource": "arn:aws:s3:::vault/2"},
        *({"action": "s3:GetObject", "resource": f"arn:aws:s3:::b/{number}"} for number in range(98)),
    ]
    status, answer = ask(gateway, STORAGE, {"request": request, "requests": asked})
    assert status == 200
    assert [each["decision"] for each in answer["decisions"]] == ["allow", "explicitDeny", *["allow"] * 98]
    assert answer["principal"]["account"] == DEV
    assert "decision" not in answer
    asked.append(asked[0])
    assert ask(gateway, STORAGE, {"request": request, "requests": asked})[0] == 400


def test_the_context_decides_and_what_is_known_cannot_be_given(gateway: Gateway, issuer: FakeIssuer) -> None:
    host = issuer.url.partition("://")[2]
    request = signed(ALICE, "GET", "http://reports/1", service="reports")
    question = {"request": request, "action": "reports:GetReport", "resource": "arn:aws:reports:::report/1"}
    for address, decision in (("10.0.0.7", "allow"), ("192.0.2.7", "implicitDeny")):
        _, answer = ask(gateway, REPORTS, question | {"context": {"aws:SourceIp": [address]}})
        assert answer["decision"] == decision
    _, answer = ask(gateway, REPORTS, question)
    assert (answer["decision"], answer["missing_context"]) == ("implicitDeny", ["aws:SourceIp"])
    for known in (
        "aws:PrincipalArn",
        "AWS:principaltag/team",
        "aws:PrincipalOrgID",
        "aws:userid",
        "aws:username",
        "aws:TokenIssueTime",
        "aws:MultiFactorAuthPresent",
        "aws:MultiFactorAuthAge",
        "aws:SourceIdentity",
        "aws:FederatedProvider",
        "aws:CurrentTime",
        "aws:ResourceAccount",
        "saml:sub",
        f"{host}:sub",
        f"{host}:anything",
        "KeyCloak:sub",
        "keycloak:sub",
        "ldap:groups",
        "token.actions.githubusercontent.com:sub",
        "nothing",
    ):
        status, answer = ask(gateway, REPORTS, question | {"context": {known: ["x"]}})
        assert (status, answer["error"]["code"]) == (400, "ValidationError"), known
    doubled = {"aws:SourceIp": ["10.0.0.7"], "aws:sourceip": ["192.0.2.7"]}
    assert ask(gateway, REPORTS, question | {"context": doubled})[0] == 400
    assert ask(gateway, REPORTS, question | {"context": {"aws:SourceIp": ["10.0.0.7", "10.0.0.8"]}})[0] == 400


def test_requests_of_other_services(gateway: Gateway) -> None:
    body = b'{"TableName":"t","Key":{"id":{"S":"1"}}}'
    headers = {"X-Amz-Target": "DynamoDB_20120810.GetItem", "Content-Type": "application/x-amz-json-1.0"}
    request = signed(TABLES, "POST", "http://db.internal/", body, service="dynamodb", headers=headers)
    table = f"arn:aws:dynamodb:eu-central-1:{DEV}:table/t"
    question = {"request": request, "action": "dynamodb:GetItem", "resource": table}
    status, answer = ask(gateway, STORAGE, question)
    assert (status, answer["decision"], answer["payload"]) == (200, "allow", "signed")
    assert ask(gateway, STORAGE, question | {"action": "dynamodb:PutItem"})[1]["decision"] == "implicitDeny"
    other = signed(TABLES, "POST", "http://db.internal/", b"{}", service="dynamodb", headers=headers)
    replaced = request | {"payload_sha256": other["payload_sha256"]}
    status, answer = ask(gateway, STORAGE, question | {"request": replaced})
    assert (status, answer["error"]["code"]) == (401, "SignatureDoesNotMatch")


def test_unsigned_payloads_are_s3s_alone_and_told(gateway: Gateway) -> None:
    for declared in ("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"):
        for service, status in (("s3", 200), ("dynamodb", 401)):
            request = streaming(declared, service)
            question = {"request": request, "action": "s3:PutObject", "resource": "arn:aws:s3:::b/k"}
            answered, answer = ask(gateway, STORAGE, question)
            assert answered == status, (declared, service)
            if status == 200:
                assert (answer["decision"], answer["payload"]) == ("allow", "unsigned")


def streaming(declared: str, service: str) -> dict[str, Any]:
    """A request whose payload hash says that the payload is not signed."""
    request = AWSRequest("PUT", f"{URL}/b/k", headers={"X-Amz-Content-SHA256": declared})
    SigV4Auth(keys_of(ALICE), service, "eu-central-1").add_auth(request)
    return {"method": "PUT", "url": f"{URL}/b/k", "headers": dict(request.headers.items())}


def test_presigned_requests_live_as_long_as_they_say(gateway: Gateway) -> None:
    web = session(gateway, **tagged("web"))
    question = {"action": "s3:GetObject", "resource": "arn:aws:s3:::data/web/a"}
    status, answer = ask(gateway, STORAGE, question | {"request": presigned(web, "GET", f"{URL}/data/web/a")})
    assert (status, answer["decision"], answer["payload"]) == (200, "allow", "unsigned")
    denied = {"request": presigned(web, "GET", f"{URL}/data/ops/a"), "resource": "arn:aws:s3:::data/ops/a"}
    assert ask(gateway, STORAGE, question | denied)[1]["decision"] == "implicitDeny"
    for expires, code in ((604_800, None), (604_801, "IncompleteSignature"), (0, "IncompleteSignature")):
        request = presigned(ALICE, "GET", f"{URL}/b/k", expires=expires)
        status, answer = ask(gateway, STORAGE, question | {"request": request})
        assert (status, answer.get("error", {}).get("code")) == (200 if code is None else 401, code)
    for service, age, expires, verifies in (
        ("s3", 3600, 7200, True),
        ("s3", 3600, 3000, False),
        ("dynamodb", 3600, 7200, True),
        ("sts", 3600, 7200, False),
        ("sts", 600, 60, True),
    ):
        request = presigned(ALICE, "GET", f"{URL}/b/k", expires=expires, age=age, service=service)
        status, answer = ask(gateway, STORAGE, question | {"request": request})
        assert status == (200 if verifies else 401), (service, age)
    other = presigned(ALICE, "GET", "http://db.internal/?x=1", service="dynamodb")
    assert ask(gateway, STORAGE, question | {"request": other})[1]["payload"] == "signed"


def test_every_altered_byte_is_refused(gateway: Gateway) -> None:
    web = session(gateway, **tagged("web"))
    request = signed(web, "PUT", f"{URL}/data/web/a?x=1", b"content", headers={"Content-Type": "text/plain"})
    question = {"action": "s3:PutObject", "resource": "arn:aws:s3:::data/web/a"}
    assert ask(gateway, STORAGE, question | {"request": request})[1]["decision"] == "allow"

    def refused(bent: dict[str, Any]) -> None:
        status, answer = ask(gateway, STORAGE, question | {"request": bent})
        assert status in (400, 401), bent
        assert set(answer) == {"error"}

    def bend(text: str, at: int) -> str:
        new = "0" if text[at] != "0" else "1"
        return text[:at] + new + text[at + 1 :]

    for at in range(len("PUT")):
        refused(request | {"method": bend("PUT", at).replace("0", "X")})
    for at in range(len(request["url"])):
        refused(request | {"url": bend(request["url"], at)})
    for at in range(64):
        refused(request | {"payload_sha256": bend(request["payload_sha256"], at)})
    for name, value in request["headers"].items():
        for at in range(len(value)):
            refused(request | {"headers": request["headers"] | {name: bend(value, at)}})
        refused(request | {"headers": {other: text for other, text in request["headers"].items() if other != name}})
    refused(request | {"headers": request["headers"] | {"x-amz-acl": "public-read"}})
    url = presigned(web, "GET", f"{URL}/data/web/a?x=1")["url"]
    for at in range(len(url)):
        refused({"method": "GET", "url": bend(url, at), "headers": {}})


def test_what_does_not_verify_is_401_with_awss_code(gateway: Gateway) -> None:
    question = {"action": "s3:GetObject", "resource": "arn:aws:s3:::b/k"}
    known = signed(ALICE, "GET", f"{URL}/b/k")
    unknown = signed({"AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "x"}, "GET", f"{URL}/b/k")
    wrong = signed(ALICE | {"SecretAccessKey": "x"}, "GET", f"{URL}/b/k")
    web = session(gateway)
    untokened = signed({name: web[name] for name in ("AccessKeyId", "SecretAccessKey")}, "GET", f"{URL}/b/k")
    bare = known | {"headers": {}}
    for request, code in (
        (unknown, "InvalidClientTokenId"),
        (wrong, "SignatureDoesNotMatch"),
        (untokened, "InvalidClientTokenId"),
        (bare, "MissingAuthenticationToken"),
    ):
        status, answer = ask(gateway, STORAGE, question | {"request": request})
        assert (status, answer["error"]["code"]) == (401, code)
    event = gateway.audit[-1]
    assert (event["eventName"], event["errorCode"]) == ("Authorize", "MissingAuthenticationToken")


def test_a_bearer_token_is_judged_by_the_permissions_of_its_session(gateway: Gateway, issuer: FakeIssuer) -> None:
    token = bearer(gateway, issuer, sub="app-1")
    question = {"token": token, "action": "reports:GetReport", "resource": "arn:aws:reports:::report/app-1"}
    status, answer = ask(gateway, REPORTS, question)
    assert (status, answer["decision"], answer["payload"]) == (200, "allow", "unsigned")
    assert answer["principal"]["arn"].startswith(f"arn:aws:sts::{PROD}:assumed-role/app/")
    other = question | {"resource": "arn:aws:reports:::report/app-2"}
    assert ask(gateway, REPORTS, other)[1]["decision"] == "implicitDeny"
    spoofed = other | {"context": {f"{issuer.url.partition('://')[2]}:sub": ["app-2"]}}
    assert ask(gateway, REPORTS, spoofed)[0] == 400
    assert ask(gateway, STORAGE, question)[0] == 403
    for at in range(len(token)):
        bent = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        status, answer = ask(gateway, REPORTS, question | {"token": bent})
        assert (status, answer["error"]["code"]) == (401, "InvalidClientTokenId"), at
    recorded = json.dumps(gateway.audit)
    assert token not in recorded
    both = {"request": signed(ALICE, "GET", f"{URL}/b/k"), **question}
    assert ask(gateway, REPORTS, both)[0] == 400


def test_a_sigv4_session_token_alone_authorises_nothing(gateway: Gateway) -> None:
    token = session(gateway)["SessionToken"]
    question = {"token": token, "action": "reports:GetReport", "resource": "arn:aws:reports:::report/1"}
    status, answer = ask(gateway, REPORTS, question)
    assert (status, answer["error"]["code"]) == (401, "InvalidClientTokenId")
    status, answer = ask(gateway, REPORTS, question | {"token": "x.y.z"})
    assert (status, answer["error"]["code"]) == (401, "InvalidClientTokenId")


def test_the_resource_server_needs_permission_for_what_it_asks(gateway: Gateway) -> None:
    request = signed(ALICE, "GET", f"{URL}/b/k")
    question = {"request": request, "action": "s3:GetObject", "resource": "arn:aws:s3:::b/k"}
    status, answer = ask(gateway, NOBODY, question)
    assert (status, answer["error"]["code"]) == (403, "AccessDenied")
    assert "broker:Authorize on resource: arn:aws:s3:::b/k" in answer["error"]["message"]
    assert ask(gateway, STORAGE, question | {"resource": "arn:aws:sqs:::b"})[0] == 403
    mixed = [{"action": "s3:GetObject", "resource": each} for each in ("arn:aws:s3:::b/k", "arn:aws:sqs:::q")]
    assert ask(gateway, STORAGE, {"request": request, "requests": mixed})[0] == 403
    bearer = {"token": "x.y.z", "action": "s3:GetObject", "resource": "arn:aws:s3:::b/k"}
    status, answer = ask(gateway, STORAGE, bearer)
    assert status == 403
    assert "broker:AuthorizeBearer" in answer["error"]["message"]
    wrong = STORAGE | {"SecretAccessKey": "x"}
    status, answer = ask(gateway, wrong, question)
    assert (status, answer["error"]["code"]) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    "bend",
    [
        {"resource": "b/k"},
        {"resource": "arn:aws:s3:::b/\n"},
        {"resource": None},
        {"action": "s3:*"},
        {"action": "GetObject"},
        {"requests": [{"action": "s3:GetObject", "resource": "*"}]},
        {"requests": []},
        {"token": "x.y.z"},
        {"request": None},
        {"request": {"method": "GET", "url": "/b/k", "headers": {}}},
        {"request": {"method": "GET", "url": "http://u@h/b/k", "headers": {}}},
        {"request": {"method": "GET", "url": "http://h/b#k", "headers": {}}},
        {"request": {"method": "GET", "url": "http://h/b k", "headers": {}}},
        {"request": {"method": "GET", "url": "http://h/", "headers": {"host": "i"}}},
        {"request": {"method": "GET", "url": "http://h/", "headers": {}, "body": ""}},
        {"request": {"method": "GET\n", "url": "http://h/", "headers": {}}},
        {"request": {"method": "GET", "url": "http://h/", "headers": [["host", "h"]]}},
        {"request": {"method": "GET", "url": "http://h/", "headers": {}, "payload_sha256": "0"}},
        {"context": {"aws:SourceIp": "10.0.0.7"}},
        {"context": []},
        {"resource_account": "1"},
        {"resource_account": "111122223333\n"},
        {"resource_polcy": None},
    ],
)
def test_a_question_that_is_none_is_refused_with_a_sentence(gateway: Gateway, bend: dict[str, Any]) -> None:
    request = signed(ALICE, "GET", f"{URL}/b/k")
    question = {"request": request, "action": "s3:GetObject", "resource": "arn:aws:s3:::b/k"}
    status, answer = ask(gateway, STORAGE, question | bend)
    assert (status, answer["error"]["code"]) == (400, "ValidationError"), answer
    assert len(answer["error"]["message"]) > 10


def test_bodies_that_are_no_json_and_policies_that_are_none(gateway: Gateway) -> None:
    for body in (b"", b"{", b"[]", b"null", b'{"action":"\xff"}', b'{"resource_policy":' + b"[" * 5000):
        status, answer = ask(gateway, STORAGE, body)
        assert (status, answer["error"]["code"]) == (400, "ValidationError")
    assert ask(gateway, STORAGE, b'{"action":"' + b"x" * 300_000 + b'"}')[0] == 413
    request = signed(ALICE, "GET", f"{URL}/b/k")
    question = {"request": request, "action": "s3:GetObject", "resource": "arn:aws:s3:::b/k"}
    broken = json.dumps(question).encode()[:-1] + b', "resource_policy": {"Version": "\xff"}}'
    status, answer = ask(gateway, STORAGE, broken)
    assert (status, answer["error"]["code"]) in {(400, "ValidationError"), (400, "MalformedPolicyDocument")}
    policies: list[Any] = [{}, "x", 5, [], document(allow("s3:GetObject", "*")), "x" * 30_000]
    for policy in policies:
        status, answer = ask(gateway, STORAGE, question | {"resource_policy": policy})
        assert (status, answer["error"]["code"]) == (400, "MalformedPolicyDocument"), policy


def test_the_trail_tells_who_asked_about_whom(gateway: Gateway) -> None:
    web = session(gateway, **tagged("web"))
    get(gateway, web, "data/ops/x")
    event = gateway.audit[-1]
    assert event["eventName"] == "Authorize"
    assert event["userIdentity"]["arn"] == f"arn:aws:iam::{SERVERS}:user/storage"
    assert event["requestParameters"]["requests"] == [{"action": "s3:GetObject", "resource": "arn:aws:s3:::data/ops/x"}]
    assert event["responseElements"] == {
        "principal": f"arn:aws:sts::{PROD}:assumed-role/team/job",
        "decisions": ["implicitDeny"],
    }
    assert event["additionalEventData"]["presentedAccessKeyId"] == web["AccessKeyId"]
    recorded = json.dumps(gateway.audit)
    assert web["SessionToken"] not in recorded
    assert web["SecretAccessKey"] not in recorded
    with gateway.opener.open(f"{gateway.url}/metrics") as answer:
        metrics = answer.read().decode()
    assert 'sojourn_decisions_total{decision="implicitDeny",door="authorize"}' in metrics


def test_an_outage_of_the_store_is_503(tmp_path: Path) -> None:
    write_configuration(tmp_path, ACCOUNTS)
    with RedisServer(tmp_path / "redis") as server, running(Gateway(tmp_path, store=server.url)) as gateway:
        web = session(gateway, **tagged("web"))
        assert get(gateway, web, "data/web/a")["decision"] == "allow"
        server.stop()
        request = signed(web, "GET", f"{URL}/data/web/a")
        question = {"request": request, "action": "s3:GetObject", "resource": "arn:aws:s3:::data/web/a"}
        status, answer = ask(gateway, STORAGE, question)
        assert (status, answer["error"]["code"]) == (503, "ServiceUnavailable")
