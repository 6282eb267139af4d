"""Who holds what, and ending it: two gateways on one store, and the commands of an administrator."""

import contextlib
import datetime
import json
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jwt
import pytest
import redis as redis_client
from botocore.exceptions import ClientError

from tests.end_to_end.administration import (
    ACCOUNTS,
    ADMIN,
    ALICE,
    AUDITOR,
    BOB,
    CHIEF,
    NARROW,
    SETTINGS,
    Refused,
    administer,
    lives,
    signed,
    sojourn,
)
from tests.end_to_end.federated_world import MAIN, provider_arn, trusting
from tests.end_to_end.world import DEV, PROD, allow, inline, role, role_arn
from tests.fakes.issuer import AUDIENCE, FakeIssuer
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, running, write_configuration
from tests.waiting import until

ALICE_ARN = f"arn:aws:iam::{DEV}:user/alice"
DEPLOY = f"arn:aws:iam::{PROD}:role/ci/deploy"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def gateways(
    tmp_path_factory: pytest.TempPathFactory, server: RedisServer, issuer: FakeIssuer
) -> Iterator[Sequence[Gateway]]:
    directories = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    prod = ACCOUNTS["prod"]
    federated = role("federated", trusting(issuer.url), Policies=inline(allow("sts:AssumeRole", "*")))
    provider = {"Url": issuer.url, "ClientIdList": [AUDIENCE], "AllowHttp": True}
    trusting_issuer = {**prod, "Roles": [*prod["Roles"], federated], "OIDCProviders": [provider]}
    for directory in directories:
        write_configuration(directory, {**ACCOUNTS, "prod": trusting_issuer}, SETTINGS)
    one, two = (Gateway(directory, store=server.url) for directory in directories)
    with running(one), running(two):
        yield one, two


@pytest.fixture
def gateway(gateways: Sequence[Gateway], server: RedisServer) -> Gateway:
    """The first of the two, with no session left from other tests."""
    store = redis_client.Redis.from_url(server.url)
    for pattern in ("sojourn:session:*", "sojourn/index:*", "sojourn/expiry:*"):
        for key in store.scan_iter(pattern, count=1000):
            store.delete(key)
    store.close()
    return gateways[0]


def assume(gateway: Gateway, keys: Any, role: str = DEPLOY, name: str = "session", **more: Any) -> dict[str, str]:
    answer = gateway.client(credentials=keys).assume_role(RoleArn=role, RoleSessionName=name, **more)
    credentials: dict[str, str] = answer["Credentials"]
    return credentials


def names(answer: Any) -> list[str]:
    return [each["SessionName"] for each in answer["Sessions"]]


def listed(gateway: Gateway, keys: Any = ADMIN, **filters: Any) -> list[str]:
    return sorted(names(administer(gateway, keys, "ListSessions", **filters)))


class TestListing:
    def test_a_session_tells_who_and_whence_and_until_when(self, gateway: Gateway) -> None:
        before = int(time.time())
        made = assume(gateway, ALICE, name="build", SourceIdentity="alice-1", Tags=[{"Key": "Team", "Value": "web"}])
        (session,) = administer(gateway, ADMIN, "ListSessions")["Sessions"]
        issued_at = session.pop("IssuedAt")
        assert before <= issued_at <= time.time()
        assert session.pop("UserId").endswith(":build")
        assert session == {
            "AccessKeyId": made["AccessKeyId"],
            "SessionArn": f"arn:aws:sts::{PROD}:assumed-role/deploy/build",
            "Kind": "assumed-role",
            "Use": "sigv4",
            "AccountId": PROD,
            "PrincipalArn": DEPLOY,
            "SessionName": "build",
            "OriginArn": ALICE_ARN,
            "SourceIdentity": "alice-1",
            "SourceIpAddress": "127.0.0.1",
            "MFAAuthenticated": False,
            "Tags": [{"Key": "Team", "Value": "web"}],
            "Expiration": issued_at + 3600,
        }

    def test_the_answer_is_xml_where_json_is_not_asked_for(self, gateway: Gateway) -> None:
        assume(gateway, ALICE, name="in-xml", Tags=[{"Key": "team", "Value": "web"}])
        body = "Action=ListSessions&Version=2026-11-21"
        request = urllib.request.Request(gateway.url, body.encode(), signed(gateway, ADMIN, "/", body))
        with gateway.opener.open(request) as answer:
            root = ElementTree.fromstring(answer.read())
        namespace = {"a": "urn:sojourn:administration:2026-11-21"}
        (session,) = root.findall("a:ListSessionsResult/a:Sessions/a:member", namespace)
        assert session.findtext("a:SessionName", None, namespace) == "in-xml"
        assert session.findtext("a:Tags/a:member/a:Value", None, namespace) == "web"
        assert root.findtext("a:ListSessionsResult/a:IsTruncated", None, namespace) == "false"

    def test_no_secret_is_told(self, gateway: Gateway) -> None:
        made = assume(gateway, ALICE)
        shown = json.dumps(administer(gateway, ADMIN, "ListSessions"))
        assert made["SecretAccessKey"] not in shown
        assert made["SessionToken"] not in shown

    def test_the_last_use_is_known_to_all_processes_in_time(
        self, gateway: Gateway, gateways: Sequence[Gateway], tmp_path: Path, server: RedisServer
    ) -> None:
        used, unused = assume(gateway, ALICE, name="used"), assume(gateway, ALICE, name="unused")
        write_configuration(tmp_path, ACCOUNTS, SETTINGS)
        before = int(time.time())
        with running(Gateway(tmp_path, store=server.url)) as third:
            assert lives(third, used)
            with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
                third.client(credentials=unused | {"SecretAccessKey": "x" * 40}).get_caller_identity()
        for each in gateways:
            told = {session["SessionName"]: session for session in administer(each, ADMIN, "ListSessions")["Sessions"]}
            assert before <= told["used"]["LastUsedAt"] <= time.time()
            assert "LastUsedAt" not in told["unused"]

    def test_each_filter(self, gateway: Gateway) -> None:
        one = assume(gateway, ALICE, name="one", SourceIdentity="alice-1", Tags=[{"Key": "Team", "Value": "web"}])
        assume(gateway, BOB, name="two", Tags=[{"Key": "team", "Value": "ops"}])
        assume(gateway, BOB, role_arn("other"), name="three", SourceIdentity="bob-1")
        assert listed(gateway) == ["one", "three", "two"]
        assert listed(gateway, RoleArn=DEPLOY) == ["one", "two"]
        assert listed(gateway, SessionArn=f"arn:aws:sts::{PROD}:assumed-role/deploy/two") == ["two"]
        assert listed(gateway, AccessKeyId=one["AccessKeyId"]) == ["one"]
        assert listed(gateway, UserArn=ALICE_ARN) == ["one"]
        assert listed(gateway, SourceIdentity="bob-1") == ["three"]
        assert listed(gateway, Tag__Key="TEAM", Tag__Value="web") == ["one"]
        assert listed(gateway, RoleArn=DEPLOY, UserArn=f"arn:aws:iam::{DEV}:user/bob") == ["two"]
        assert listed(gateway, RoleArn=DEPLOY, SourceIdentity="bob-1") == []
        assert listed(gateway, ProviderArn=f"arn:aws:iam::{PROD}:saml-provider/corp") == []

    def test_issued_before(self, gateway: Gateway) -> None:
        assume(gateway, ALICE, name="old")
        time.sleep(1.1)
        boundary = datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat()
        assume(gateway, ALICE, name="new")
        assert listed(gateway, IssuedBefore=boundary) == ["old"]
        assert listed(gateway, RoleArn=DEPLOY, IssuedBefore=boundary) == ["old"]
        assert listed(gateway, IssuedBefore="2020-01-01T00:00:00Z") == []

    def test_a_users_sessions_are_those_that_began_with_the_user(self, gateway: Gateway) -> None:
        own = gateway.client(credentials=ALICE).get_session_token()["Credentials"]
        gateway.client(credentials=ALICE).get_federation_token(Name="guest")
        first = assume(gateway, own, name="first")
        assume(gateway, first, role_arn("other"), name="chained")
        assume(gateway, BOB, name="bobs")
        assert listed(gateway, CHIEF, UserArn=ALICE_ARN) == ["alice", "chained", "first", "guest"]
        assert listed(gateway, ADMIN, UserArn=ALICE_ARN) == ["chained", "first"]

    def test_pages_are_whole_and_disjoint(self, gateway: Gateway) -> None:
        expected = sorted(f"session-{number}" for number in range(7))
        for name in expected:
            assume(gateway, ALICE, name=name)
        assume(gateway, ALICE, role_arn("home", DEV), name="at-home")
        for keys, filters, everything in (
            (ADMIN, {}, expected),
            (ADMIN, {"RoleArn": DEPLOY}, expected),
            (CHIEF, {}, ["at-home", *expected]),
        ):
            found: list[str] = []
            marker: dict[str, str] = {}
            while True:
                page = administer(gateway, keys, "ListSessions", MaxItems=3, **filters, **marker)
                assert len(page["Sessions"]) <= 3
                found += names(page)
                if not page["IsTruncated"]:
                    assert "Marker" not in page
                    break
                marker = {"Marker": page["Marker"]}
            assert sorted(found) == everything

    def test_a_marker_of_another_list_is_refused(self, gateway: Gateway) -> None:
        for name in ("one", "two"):
            assume(gateway, ALICE, name=name)
        marker = administer(gateway, ADMIN, "ListSessions", MaxItems=1)["Marker"]
        for bad, filters in ((marker, {"RoleArn": DEPLOY}), ("AAAA", {}), ("WzEsMl0=", {})):
            with pytest.raises(Refused, match="ValidationError"):
                administer(gateway, ADMIN, "ListSessions", Marker=bad, **filters)

    @pytest.mark.parametrize(
        "filters",
        [
            {"AccessKeyId": "AKIAIOSFODNN7EXAMPLE"},
            {"RoleArn": f"arn:aws:iam::{PROD}:user/alice"},
            {"SessionArn": "not-an-arn-but-long-enough"},
            {"UserArn": DEPLOY},
            {"Tag.Key": "team"},
            {"IssuedBefore": "yesterday"},
            {"MaxItems": "0"},
            {"MaxItems": "1001"},
            {"Owner": "alice"},
        ],
    )
    def test_filters_that_are_none_are_refused(self, gateway: Gateway, filters: dict[str, str]) -> None:
        with pytest.raises(Refused) as refusal:
            administer(gateway, ADMIN, "ListSessions", **filters)
        assert refusal.value.code in {"ValidationError", "MalformedInput"}


class TestReach:
    def test_an_account_sees_its_own_sessions_only(self, gateway: Gateway) -> None:
        theirs = assume(gateway, ALICE, role_arn("home", DEV), name="dev")
        assume(gateway, ALICE, name="prod")
        assert listed(gateway, ADMIN) == ["prod"]
        assert listed(gateway, BOB) == ["dev"]
        assert listed(gateway, CHIEF) == ["dev", "prod"]
        assert listed(gateway, ADMIN, UserArn=ALICE_ARN) == ["prod"]
        for named in (
            {"AccessKeyId": theirs["AccessKeyId"]},
            {"RoleArn": role_arn("home", DEV)},
            {"SessionArn": f"arn:aws:sts::{DEV}:assumed-role/home/dev"},
        ):
            for action in ("ListSessions", "RevokeSessions"):
                with pytest.raises(Refused, match=r"AccessDenied.*management account"):
                    administer(gateway, ADMIN, action, **named)
        administer(gateway, ADMIN, "RevokeSessions", UserArn=ALICE_ARN)
        administer(gateway, ADMIN, "RevokeSessions", IssuedBefore="2099-01-01T00:00:00Z")
        assert lives(gateway, theirs)
        assert administer(gateway, CHIEF, "RevokeSessions", AccessKeyId=theirs["AccessKeyId"])["Revoked"] == 1
        assert not lives(gateway, theirs)

    def test_without_permission_nothing_is_told(self, gateway: Gateway) -> None:
        held = assume(gateway, ALICE, name="hidden-name")
        for filters in ({}, {"RoleArn": DEPLOY}, {"AccessKeyId": held["AccessKeyId"]}):
            for action in ("ListSessions", "RevokeSessions"):
                if action == "RevokeSessions" and not filters:
                    continue
                caller = AUDITOR if action == "RevokeSessions" else held
                with pytest.raises(Refused, match="AccessDenied") as refusal:
                    administer(gateway, caller, action, **filters)
                if caller is AUDITOR:
                    assert "hidden-name" not in refusal.value.message
        assert lives(gateway, held)

    def test_policies_decide_session_by_session(self, gateway: Gateway) -> None:
        seen = assume(gateway, ALICE, name="seen")
        secret = assume(gateway, ALICE, name="secret")
        other = assume(gateway, ALICE, role_arn("other"), name="other")
        assert listed(gateway, NARROW) == ["seen"]
        assert listed(gateway, NARROW, RoleArn=DEPLOY) == ["seen"]
        with pytest.raises(Refused, match="AccessDenied"):
            administer(gateway, NARROW, "ListSessions", RoleArn=role_arn("other"))
        with pytest.raises(Refused, match="AccessDenied"):
            administer(gateway, NARROW, "RevokeSessions", RoleArn=DEPLOY)
        assert all(lives(gateway, each) for each in (seen, secret, other))
        assert administer(gateway, NARROW, "RevokeSessions", AccessKeyId=seen["AccessKeyId"])["Revoked"] == 1
        assert [lives(gateway, each) for each in (seen, secret, other)] == [False, True, True]
        assert listed(gateway, NARROW, RoleArn=DEPLOY) == []

    def test_it_must_be_signed(self, gateway: Gateway) -> None:
        with pytest.raises(Refused, match="SignatureDoesNotMatch"):
            administer(gateway, ADMIN | {"SecretAccessKey": "x" * 40}, "ListSessions")


class TestRevocation:
    def test_it_is_in_force_on_every_gateway_at_once(self, gateway: Gateway, gateways: Sequence[Gateway]) -> None:
        ended, kept = assume(gateway, ALICE, name="ended"), assume(gateway, ALICE, name="kept")
        assert all(lives(each, ended) for each in gateways)
        answer = administer(gateway, ADMIN, "RevokeSessions", AccessKeyId=ended["AccessKeyId"])
        assert answer == {"Revoked": 1, "IsTruncated": False}
        assert not any(lives(each, ended) for each in gateways)
        assert all(lives(each, kept) for each in gateways)
        assert listed(gateway) == ["kept"]
        assert administer(gateway, ADMIN, "RevokeSessions", AccessKeyId=ended["AccessKeyId"])["Revoked"] == 0

    @pytest.mark.parametrize(
        "filters",
        [
            {"SessionArn": f"arn:aws:sts::{PROD}:assumed-role/deploy/target"},
            {"RoleArn": DEPLOY},
            {"UserArn": ALICE_ARN},
            {"SourceIdentity": "target-1"},
            {"Tag__Key": "case", "Tag__Value": "7"},
        ],
    )
    def test_by_each_filter(self, gateway: Gateway, filters: dict[str, str]) -> None:
        target = assume(gateway, ALICE, name="target", SourceIdentity="target-1", Tags=[{"Key": "case", "Value": "7"}])
        other = assume(gateway, BOB, role_arn("other"), name="other", Tags=[{"Key": "case", "Value": "8"}])
        assert administer(gateway, ADMIN, "RevokeSessions", **filters)["Revoked"] == 1
        assert not lives(gateway, target)
        assert lives(gateway, other)

    def test_by_provider_with_what_came_of_its_identities(self, gateway: Gateway, issuer: FakeIssuer) -> None:
        answer = gateway.client().assume_role_with_web_identity(
            RoleArn=role_arn("federated"), RoleSessionName="federated", WebIdentityToken=issuer.token(**MAIN)
        )
        chained = assume(gateway, answer["Credentials"], role_arn("other"), name="chained")
        own = assume(gateway, ALICE, name="own")
        provider = provider_arn(issuer.url)
        assert listed(gateway, ProviderArn=provider) == ["chained", "federated"]
        assert administer(gateway, ADMIN, "RevokeSessions", ProviderArn=provider)["Revoked"] == 2
        assert not lives(gateway, answer["Credentials"])
        assert not lives(gateway, chained)
        assert lives(gateway, own)

    def test_issued_before_spares_what_came_later(self, gateway: Gateway) -> None:
        old = assume(gateway, ALICE, name="old")
        time.sleep(1.1)
        boundary = datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat()
        new = assume(gateway, ALICE, name="new")
        assert administer(gateway, ADMIN, "RevokeSessions", RoleArn=DEPLOY, IssuedBefore=boundary)["Revoked"] == 1
        assert not lives(gateway, old)
        assert lives(gateway, new)

    def test_everything_at_once_must_be_meant(self, gateway: Gateway) -> None:
        held = assume(gateway, ALICE)
        with pytest.raises(Refused, match=r"ValidationError.*which sessions"):
            administer(gateway, ADMIN, "RevokeSessions")
        assert lives(gateway, held)

    def test_many_are_revoked_in_parts(self, gateway: Gateway) -> None:
        for number in range(5):
            assume(gateway, ALICE, name=f"session-{number}")
        first = administer(gateway, ADMIN, "RevokeSessions", RoleArn=DEPLOY, MaxItems=3)
        assert first == {"Revoked": 3, "IsTruncated": True}
        assert administer(gateway, ADMIN, "RevokeSessions", RoleArn=DEPLOY)["Revoked"] == 2

    def test_nothing_can_be_written_where_a_session_was_revoked(self, gateway: Gateway, server: RedisServer) -> None:
        held = assume(gateway, ALICE)
        key = f"sojourn:session:{held['AccessKeyId']}"
        store = redis_client.Redis.from_url(server.url)
        record: Any = store.get(key)
        administer(gateway, ADMIN, "RevokeSessions", AccessKeyId=held["AccessKeyId"])
        assert store.set(key, record, nx=True) is None
        assert 3600 - 240 < store.ttl(key) < 3600 + 120
        members = [member for index in store.scan_iter("sojourn/index:*") for member in store.zrange(index, 0, -1)]
        assert held["AccessKeyId"].encode() not in members
        store.close()
        assert not lives(gateway, held)

    def test_it_is_on_record(self, gateway: Gateway) -> None:
        held = assume(gateway, ALICE)
        administer(gateway, ADMIN, "RevokeSessions", RoleArn=DEPLOY)
        event = gateway.audit[-1]
        assert event["eventName"] == "RevokeSessions"
        assert event["userIdentity"]["arn"] == f"arn:aws:iam::{PROD}:user/admin"
        assert event["requestParameters"] == {"roleArn": DEPLOY}
        assert event["responseElements"] == {"accessKeyIds": [held["AccessKeyId"]]}
        with pytest.raises(Refused):
            administer(gateway, AUDITOR, "RevokeSessions", RoleArn=DEPLOY)
        assert gateway.audit[-1]["errorCode"] == "AccessDenied"

    def test_a_thousand_are_revoked_under_load(
        self, gateway: Gateway, gateways: Sequence[Gateway], server: RedisServer
    ) -> None:
        clients = [each.client(credentials=ALICE) for each in gateways]

        def make(number: int) -> dict[str, str]:
            answer = clients[number % 2].assume_role(RoleArn=DEPLOY, RoleSessionName=f"session-{number}")
            credentials: dict[str, str] = answer["Credentials"]
            return credentials

        with ThreadPoolExecutor(8) as pool:
            held = list(pool.map(make, range(1000)))
            stop = threading.Event()
            loads = [pool.submit(_load, each, stop) for each in gateways for _ in range(2)]
            try:
                before = _reads(server)
                revoked = administer(gateway, ADMIN, "RevokeSessions", RoleArn=DEPLOY)["Revoked"]
                reads = _reads(server) - before
                alive = [lives(gateways[number % 2], held[number]) for number in range(0, 1000, 97)]
            finally:
                stop.set()
            assert all(load.result() for load in loads)
        assert revoked == 1000
        assert not any(alive)
        # One after the other, they would be a round trip each, and take as long as a thousand of those.
        assert reads < 300


def _reads(server: RedisServer) -> int:
    """How often the store has read from connections; commands that come together are read together."""
    with redis_client.Redis.from_url(server.url) as store:
        statistics: Any = store.info("stats")
    return int(statistics["total_reads_processed"])


def _load(gateway: Gateway, stop: threading.Event) -> int:
    client, answered = gateway.client(credentials=ALICE), 0
    while not stop.is_set():
        client.get_caller_identity()
        answered += 1
    return answered


def test_a_store_that_is_away_revokes_nothing_and_says_so(tmp_path: Path) -> None:
    write_configuration(tmp_path, ACCOUNTS, SETTINGS)
    with RedisServer(tmp_path / "redis") as server, running(Gateway(tmp_path, store=server.url)) as gateway:
        held = assume(gateway, ALICE)
        server.pause()
        try:
            with pytest.raises(Refused, match="503 ServiceUnavailable"):
                administer(gateway, ADMIN, "RevokeSessions", RoleArn=DEPLOY)
        finally:
            server.resume()

        def revoked() -> bool:
            try:
                administer(gateway, ADMIN, "RevokeSessions", RoleArn=DEPLOY)
            except Refused as refusal:
                assert refusal.status == 503
                return False
            return True

        until(revoked)
        assert not lives(gateway, held)


def test_awss_own_way_of_revoking(tmp_path: Path, server: RedisServer) -> None:
    """The policy that the AWS console attaches to a role: AWSRevokeOlderSessions."""
    write_configuration(tmp_path, ACCOUNTS, SETTINGS)
    with running(Gateway(tmp_path, store=server.url)) as gateway:
        old = assume(gateway, ALICE)
        gateway.client(credentials=old).assume_role(RoleArn=role_arn("other"), RoleSessionName="before")
        time.sleep(1.1)
        revoking = {
            "Effect": "Deny",
            "Action": ["*"],
            "Resource": ["*"],
            "Condition": {"DateLessThan": {"aws:TokenIssueTime": _now()}},
        }
        prod = json.loads(json.dumps(ACCOUNTS["prod"]))
        prod["Roles"][0]["Policies"].append(
            {
                "PolicyName": "AWSRevokeOlderSessions",
                "PolicyDocument": {"Version": "2012-10-17", "Statement": [revoking]},
            }
        )
        write_configuration(tmp_path, {**ACCOUNTS, "prod": prod}, SETTINGS)

        def stopped() -> bool:
            try:
                gateway.client(credentials=old).assume_role(RoleArn=role_arn("other"), RoleSessionName="after")
            except ClientError as error:
                assert error.response["Error"]["Code"] == "AccessDenied"
                return True
            return False

        until(stopped, "the old session may still act")
        new = assume(gateway, ALICE)
        gateway.client(credentials=new).assume_role(RoleArn=role_arn("other"), RoleSessionName="again")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class TestKeys:
    def test_rotating_breaks_nothing(self, gateway: Gateway, gateways: Sequence[Gateway]) -> None:
        before = administer(gateway, CHIEF, "ListSigningKeys")["SigningKeys"]
        assert {key["Algorithm"] for key in before} == {"ES256", "ES384", "RS256"}
        held = assume(gateway, ALICE)
        old_kid = jwt.get_unverified_header(held["SessionToken"])["kid"]
        stop, kids = threading.Event(), (set[str](), set[str]())
        with ThreadPoolExecutor(4) as pool:
            loads = [pool.submit(_mint_and_use, *each, stop) for each in zip(gateways, kids, strict=True)]
            try:
                until(lambda: kids == ({old_kid}, {old_kid}))
                rotated = administer(gateway, CHIEF, "RotateSigningKeys")["SigningKeys"]
                fresh = {key["KeyId"] for key in rotated} - {key["KeyId"] for key in before}
                assert {key["Status"] for key in rotated if key["KeyId"] in fresh} == {"Next"}
                until(lambda: all(len(each) == 2 for each in kids) or any(load.done() for load in loads))
            finally:
                stop.set()
            for load in loads:
                load.result()
        assert kids[0] == kids[1]
        assert old_kid in kids[0]
        assert kids[0] - {old_kid} < fresh
        for each in gateways:
            assert lives(each, held)
            keys = jwt.PyJWKSet.from_dict(json.loads(each.opener.open(each.url + "/.well-known/jwks.json").read()))
            for token in (held["SessionToken"], assume(each, ALICE)["SessionToken"]):
                kid = jwt.get_unverified_header(token)["kid"]
                jwt.decode(token, keys[kid], algorithms=["ES256"], audience="http://localhost:8080")
        status = {key["KeyId"]: key["Status"] for key in administer(gateway, CHIEF, "ListSigningKeys")["SigningKeys"]}
        assert status[old_kid] == "Retired"

    def test_they_belong_to_the_management_account(self, gateway: Gateway) -> None:
        for action in ("ListSigningKeys", "RotateSigningKeys"):
            for keys in (ADMIN, BOB, ALICE):
                with pytest.raises(Refused, match="AccessDenied"):
                    administer(gateway, keys, action)

    def test_or_to_the_only_account(self, tmp_path: Path, server: RedisServer) -> None:
        settings = {name: value for name, value in SETTINGS.items() if name != "organization"}
        write_configuration(tmp_path, {"prod": ACCOUNTS["prod"]}, settings)
        with running(Gateway(tmp_path, store=server.url)) as gateway:
            assert administer(gateway, ADMIN, "ListSigningKeys")["SigningKeys"]
            assert administer(gateway, AUDITOR, "ListSigningKeys")["SigningKeys"]
            with pytest.raises(Refused, match="AccessDenied"):
                administer(gateway, AUDITOR, "RotateSigningKeys")

    def test_the_emergency_leaves_no_key_and_no_session(self, gateway: Gateway, gateways: Sequence[Gateway]) -> None:
        held = [assume(gateway, ALICE), assume(gateway, ALICE, role_arn("home", DEV))]
        before = {key["KeyId"] for key in administer(gateway, CHIEF, "ListSigningKeys")["SigningKeys"]}
        with pytest.raises(Refused, match="AccessDenied"):
            administer(gateway, ADMIN, "RotateSigningKeys", EndSessions="true")
        assert all(lives(gateway, each) for each in held)
        with ThreadPoolExecutor(1) as pool:
            rotation = pool.submit(administer, gateway, CHIEF, "RotateSigningKeys", EndSessions="true")
            until(lambda: not any(lives(gateway, each) for each in held))
            between, refused = _minted_while(rotation, gateways[1])
            answer = rotation.result()
        assert refused
        # What came last may have been minted when all the others were ended; then it is under a new key, as `fresh` is.
        later = [each for each in between if lives(gateway, each)]
        assert later == between[len(between) - len(later) :]
        assert answer["Revoked"] == 2 + len(between) - len(later)
        for each in gateways:
            kids = {
                key["kid"] for key in json.loads(each.opener.open(each.url + "/.well-known/jwks.json").read())["keys"]
            }
            assert len(kids) == 3
            assert not kids & before
            assert {jwt.get_unverified_header(each["SessionToken"])["kid"] for each in later} <= kids
            fresh = assume(each, ALICE)
            assert jwt.get_unverified_header(fresh["SessionToken"])["kid"] in kids
            assert lives(each, fresh)
        event = next(each for each in reversed(gateway.audit) if each["eventName"] == "RotateSigningKeys")
        assert event["requestParameters"] == {"endSessions": "true"}
        assert event["responseElements"]["sessionsEnded"] == answer["Revoked"]

    def test_the_emergency_ends_sessions_of_accounts_that_are_not_there(
        self, tmp_path: Path, server: RedisServer
    ) -> None:
        write_configuration(tmp_path, ACCOUNTS, SETTINGS)
        with running(Gateway(tmp_path, store=server.url)) as gateway:
            held = assume(gateway, ALICE, role_arn("home", DEV))
            dev = tmp_path / "accounts" / "dev.yaml"
            kept = dev.read_text()
            dev.unlink()
            until(lambda: not lives(gateway, held))
            administer(gateway, CHIEF, "RotateSigningKeys", EndSessions="true")
            dev.write_text(kept)
            until(lambda: _assumed_at_home(gateway))
            fresh = assume(gateway, ALICE, role_arn("home", DEV))
            assert lives(gateway, fresh)
            assert not lives(gateway, held)


def _minted_while(rotation: Future[Any], gateway: Gateway) -> tuple[list[dict[str, str]], int]:
    """The credentials that were handed out meanwhile, and how often there were none, to be asked for again."""
    minted, refused = [], 0
    while not rotation.done():
        try:
            minted.append(assume(gateway, ALICE))
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ServiceUnavailable"
            refused += 1
        time.sleep(0.2)
    return minted, refused


def _assumed_at_home(gateway: Gateway) -> bool:
    with contextlib.suppress(ClientError):
        assume(gateway, ALICE, role_arn("home", DEV))
        return True
    return False


def _mint_and_use(gateway: Gateway, kids: set[str], stop: threading.Event) -> None:
    """`kids` gathers what tokens are signed with. Any failed request raises."""
    client = gateway.client(credentials=ALICE)
    while not stop.is_set():
        credentials = client.assume_role(RoleArn=DEPLOY, RoleSessionName="load")["Credentials"]
        kids.add(jwt.get_unverified_header(credentials["SessionToken"])["kid"])
        gateway.client(credentials=credentials).get_caller_identity()


class TestCommands:
    def test_list_and_revoke(self, gateway: Gateway) -> None:
        held = assume(gateway, ALICE, name="shown", SourceIdentity="alice-1")
        kept = assume(gateway, ALICE, role_arn("other"), name="kept")
        table = sojourn(gateway, ADMIN, "sessions", "list").stdout
        assert "assumed-role/deploy/shown" in table
        assert ALICE_ARN in table
        assert held["AccessKeyId"] in table
        listing = sojourn(gateway, ADMIN, "sessions", "list", "--role", DEPLOY, "--json")
        assert names(json.loads(listing.stdout)) == ["shown"]
        first = sojourn(gateway, ADMIN, "sessions", "list", "--max-items", "1", "--json")
        assert len(json.loads(first.stdout)["Sessions"]) == 1
        ended = sojourn(gateway, ADMIN, "sessions", "revoke", "--source-identity", "alice-1")
        assert (ended.returncode, ended.stdout) == (0, "1 session revoked\n")
        assert not lives(gateway, held)
        assert lives(gateway, kept)
        tagged = sojourn(gateway, ADMIN, "sessions", "revoke", "--tag", "a=b", "--json")
        assert json.loads(tagged.stdout) == {"Revoked": 0}

    def test_refusals(self, gateway: Gateway) -> None:
        denied = sojourn(gateway, AUDITOR, "sessions", "revoke", "--role", DEPLOY)
        assert denied.returncode == 1
        assert "AccessDenied" in denied.stderr
        assert sojourn(gateway, ADMIN, "sessions", "revoke").returncode == 2
        assert sojourn(gateway, ADMIN, "sessions", "revoke", "--tag", "a").returncode == 2
        assert sojourn(gateway, ADMIN, "keys", "rotate").returncode == 1

    def test_keys(self, gateway: Gateway) -> None:
        shown = sojourn(gateway, CHIEF, "keys", "list")
        assert "Current" in shown.stdout
        before = json.loads(sojourn(gateway, CHIEF, "keys", "list", "--json").stdout)["SigningKeys"]
        after = json.loads(sojourn(gateway, CHIEF, "keys", "rotate", "--json").stdout)["SigningKeys"]
        assert len(after) == len(before) + 3
