"""Sign-in through /saml/login and /saml/acs to credentials, without a browser: every step and what it refuses."""

import base64
import hashlib
import json
import re
import zlib
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from lxml import etree

from tests.end_to_end.person import Answer, Person
from tests.end_to_end.saml_world import (
    CORP,
    OTHER_KEY,
    PORTAL,
    PROD_CORP,
    PROD_IMPOSTOR,
    Corporation,
    gateway_of,
    with_a_past,
)
from tests.end_to_end.world import DEV, PROD, role_arn
from tests.fakes.idp import AWS, NS
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, running

TWO = ("deploy", "everything")
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
STATE = "state-of-the-terminal"


@pytest.fixture(scope="module")
def gateway(saml_gateway: Gateway) -> Gateway:
    return saml_gateway


@pytest.fixture
def person(corporation: Corporation) -> Person:
    return Person(corporation.base)


class Journey:
    """What /saml/login sent the browser away with."""

    def __init__(self, person: Person, provider: str = CORP, **more: Any) -> None:
        answer = person.get("/saml/login", {"provider": provider, **more})
        assert answer.status == 303, answer.text
        self.answer = answer
        query = parse_qs(urlsplit(answer.location).query)
        (self.relay_state,) = query["RelayState"]
        self.request = etree.fromstring(zlib.decompress(base64.b64decode(query["SAMLRequest"][0]), wbits=-15))
        self.request_id = self.request.get("ID")


def arrive(person: Person, response: str, relay_state: str | None = None) -> Answer:
    form = {"SAMLResponse": response} | ({"RelayState": relay_state} if relay_state is not None else {})
    return person.post("/saml/acs", form, Sec_Fetch_Site="cross-site")


def sign_in(person: Person, corporation: Corporation, *roles: str, provider: str = CORP, **bends: Any) -> Answer:
    """To the picker, or straight to the credentials."""
    journey = Journey(person)
    response = corporation.response(*roles, provider=provider, in_response_to=journey.request_id, **bends)
    return person.follow(arrive(person, response, journey.relay_state))


def choose(person: Person, picker: Answer, role: str, **headers: str) -> Answer:
    return person.post("/login/roles", {"ticket": picker.hidden("ticket"), "role": role}, **headers)


def refusal(answer: Answer, code: str, text: str = "") -> None:
    assert code in answer.text, answer.text
    assert re.search(text, answer.text), answer.text
    assert answer.status == {"ServiceUnavailable": 503, "AccessDenied": 403, "Throttling": 429}.get(code, 400)
    assert_safe(answer)


def assert_safe(answer: Answer) -> None:
    headers = answer.headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert "style=" not in answer.text and "onclick" not in answer.text and "<style" not in answer.text
    assert re.findall(r"<script[^>]*>([^<]*)", answer.text) == [""]


def identity_of(gateway: Gateway, page: Answer) -> str:
    process = json.loads(page.block("process"))
    arn: str = gateway.client(credentials=process).get_caller_identity()["Arn"]
    return arn


class TestFromHere:
    def test_one_role_straight_to_credentials(self, gateway: Gateway, person: Person, corporation: Corporation) -> None:
        page = sign_in(person, corporation, "deploy")
        assert page.status == 200
        assert_safe(page)
        arn = f"arn:aws:sts::{DEV}:assumed-role/deploy/alice@example.test"
        assert identity_of(gateway, page) == arn
        process = json.loads(page.block("process"))
        assert process["AccountId"] == DEV and process["Version"] == 1
        for line in (
            f"export AWS_ACCESS_KEY_ID={process['AccessKeyId']}",
            f"export AWS_ENDPOINT_URL_STS={corporation.base}",
        ):
            assert line in page.block("environment")
        assert page.block("profile").startswith("[acme-dev-deploy]\naws_access_key_id = ASIA")
        record = gateway.audit[-1]
        assert (record["eventName"], record["userIdentity"]["type"]) == ("GetCallerIdentity", "AssumedRole")
        record = next(each for each in reversed(gateway.audit) if each["eventName"] == "AssumeRoleWithSAML")
        assert record["userIdentity"]["type"] == "SAMLUser"
        assert record["requestParameters"] == {"roleArn": role_arn("deploy", DEV), "principalArn": CORP}
        assert process["SecretAccessKey"] not in str(gateway.audit) + gateway.log

    def test_the_request_is_signed_and_the_cookie_bound(self, person: Person, corporation: Corporation) -> None:
        journey = Journey(person)
        assert journey.answer.location.startswith("https://idp.example.test/sso?SAMLRequest=")
        assert "SigAlg=" in journey.answer.location and "&Signature=" in journey.answer.location
        assert journey.request.get("AssertionConsumerServiceURL") == f"{corporation.base}/saml/acs"
        assert journey.answer.headers["cache-control"] == "no-store"
        (cookie,) = journey.answer.cookies
        assert re.fullmatch(r"sojourn=[A-Za-z0-9_-]{43}; HttpOnly; Max-Age=3600; Path=/; SameSite=Lax", cookie)
        assert len(journey.relay_state) <= 80
        again = Journey(person)
        assert again.answer.cookies == (cookie,) and again.relay_state != journey.relay_state

    def test_a_choice_among_accounts(self, gateway: Gateway, person: Person, corporation: Corporation) -> None:
        audit = f"{role_arn('audit', PROD)},{PROD_CORP}"
        stranger = f"{role_arn('everything', DEV)},{PORTAL}"
        other_key = f"{role_arn('sealed', PROD)},{PROD_IMPOSTOR}"
        picker = sign_in(person, corporation, "deploy", "missing", "elsewhere", audit, stranger, other_key)
        assert_safe(picker)
        assert picker.roles == [role_arn("deploy", DEV), role_arn("audit", PROD)]
        assert "Reads everything, changes nothing." in picker.text
        page = choose(person, picker, role_arn("audit", PROD), Sec_Fetch_Site="same-origin")
        assert identity_of(gateway, page) == f"arn:aws:sts::{PROD}:assumed-role/audit/alice@example.test"

    def test_session_duration_is_what_the_assertion_says(
        self, gateway: Gateway, person: Person, corporation: Corporation
    ) -> None:
        for said, seconds in (("7200", 7200), ("43200", 7200), ("900", 900)):
            sign_in(person, corporation, "deploy", more={f"{AWS}SessionDuration": [said]})
            record = gateway.audit[-1]
            minted = record["responseElements"]["credentials"]["expiration"]
            assert abs(minted - _seconds(record["eventTime"]) - seconds) <= 240

    def test_tags_need_their_permission_here_too(self, person: Person, corporation: Corporation) -> None:
        tags = {f"{AWS}PrincipalTag:team": ["web"]}
        picker = sign_in(person, corporation, "deploy", "everything", "web-team", more=tags)
        assert picker.roles == [role_arn("everything", DEV), role_arn("web-team", DEV)]

    def test_no_role_admits(self, gateway: Gateway, person: Person, corporation: Corporation) -> None:
        journey = Journey(person)
        response = corporation.response("elsewhere", "missing", in_response_to=journey.request_id)
        refusal(arrive(person, response, journey.relay_state), "AccessDenied", "Not authorized to perform")
        assert gateway.audit[-1]["errorCode"] == "AccessDenied"
        assert gateway.audit[-1]["userIdentity"]["userName"] == "alice"

    def test_from_127_0_0_1_to_the_address_that_is_known(self, gateway: Gateway, corporation: Corporation) -> None:
        answer = Person(gateway.url).get("/saml/login", {"provider": CORP})
        assert answer.location == f"{corporation.base}/saml/login?{urlencode({'provider': CORP})}"
        assert answer.cookies == ()


class TestRefused:
    @pytest.mark.parametrize(
        ("bends", "code", "text"),
        [
            ({"audiences": (("https://other.test",),)}, "InvalidIdentityToken", "required audience"),
            ({"recipient": "https://other.test/acs"}, "InvalidIdentityToken", "recipient"),
            ({"issued": -timedelta(minutes=7)}, "ExpiredTokenException", "redeemed within 5 minutes"),
            ({"key": OTHER_KEY}, "InvalidIdentityToken", "signature invalid"),
            ({"signed": ()}, "InvalidIdentityToken", "signature invalid"),
            ({"issuer": "https://other.test"}, "InvalidIdentityToken", "Issuer not present"),
            ({"name_id": " "}, "AccessDenied", "Not authorized"),
        ],
    )
    def test_a_bent_response(
        self, person: Person, corporation: Corporation, bends: dict[str, Any], code: str, text: str
    ) -> None:
        journey = Journey(person)
        response = corporation.response(in_response_to=journey.request_id, **bends)
        refusal(arrive(person, response, journey.relay_state), code, text)

    def test_a_relay_state_is_good_once(self, person: Person, corporation: Corporation) -> None:
        journey = Journey(person)
        response = corporation.response(in_response_to=journey.request_id)
        assert arrive(person, response, journey.relay_state).status == 303
        refusal(arrive(person, response, journey.relay_state), "ExpiredTokenException", "Begin again")

    def test_an_answer_to_another_request(self, person: Person, corporation: Corporation) -> None:
        first, second = Journey(person), Journey(person)
        response = corporation.response(in_response_to=first.request_id)
        refusal(arrive(person, response, second.relay_state), "InvalidIdentityToken", "does not answer")
        response = corporation.response()
        refusal(arrive(person, response, Journey(person).relay_state), "InvalidIdentityToken", "does not answer")

    def test_another_browser_gets_nothing(self, person: Person, corporation: Corporation) -> None:
        """Whoever makes somebody's browser post a response of his own cannot sign that browser in."""
        journey = Journey(person)
        response = corporation.response(*TWO, in_response_to=journey.request_id)
        victim = Person(corporation.base)
        answer = arrive(victim, response, journey.relay_state)
        assert answer.cookies == ()
        refusal(victim.follow(answer), "AccessDenied", "another browser")
        Journey(victim)
        refusal(victim.follow(answer), "AccessDenied", "another browser")
        picker = person.follow(answer)
        assert len(picker.roles) == 2
        ticket = {"ticket": picker.hidden("ticket"), "role": role_arn("deploy", DEV)}
        refusal(victim.post("/login/roles", ticket), "AccessDenied", "another browser")
        assert person.post("/login/roles", ticket).status == 200

    def test_a_choice_is_made_once_of_what_was_offered_on_our_own_page(
        self, person: Person, corporation: Corporation
    ) -> None:
        picker = sign_in(person, corporation, *TWO)
        refusal(choose(person, picker, role_arn("web-team", DEV)), "AccessDenied", "not offered")
        for site in ("cross-site", "same-site", "none"):
            refusal(
                choose(person, picker, role_arn("deploy", DEV), Sec_Fetch_Site=site), "AccessDenied", "another site"
            )
        assert choose(person, picker, role_arn("deploy", DEV), Sec_Fetch_Site="same-origin").status == 200
        refusal(choose(person, picker, role_arn("deploy", DEV)), "ExpiredTokenException", "Begin again")

    def test_credentials_are_shown_once(self, person: Person, corporation: Corporation) -> None:
        journey = Journey(person)
        answer = arrive(person, corporation.response(in_response_to=journey.request_id), journey.relay_state)
        assert person.follow(answer).status == 200
        refusal(person.follow(answer), "ExpiredTokenException", "Begin again")

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ({}, "ValidationError"),
            ({"provider": f"arn:aws:iam::{DEV}:saml-provider/none"}, "InvalidIdentityToken"),
            ({"provider": CORP, "more": "x"}, "ValidationError"),
            ({"provider": CORP, "port": "4321", "state": STATE}, "ValidationError"),
            ({"provider": CORP, "port": "4321", "code_challenge": CHALLENGE}, "ValidationError"),
            ({"provider": CORP, "port": "80", "state": STATE, "code_challenge": CHALLENGE}, "ValidationError"),
            ({"provider": CORP, "code_challenge": "short"}, "ValidationError"),
        ],
    )
    def test_where_sign_in_begins(self, person: Person, query: dict[str, str], code: str) -> None:
        refusal(person.get("/saml/login", query), code)

    def test_what_the_caller_writes_is_text_on_the_page(self, person: Person) -> None:
        answer = person.get("/saml/login", {"provider": "<script>alert(1)</script>" + "x" * 20, "<b>": "1"})
        refusal(answer, "ValidationError")
        assert "<script>alert" not in answer.text and "<b>" not in answer.text

    def test_nothing_to_read(self, person: Person) -> None:
        refusal(person.post("/saml/acs", {}), "ValidationError", "no SAMLResponse")
        refusal(person.post("/saml/acs", {"SAMLResponse": "AAAA"}), "InvalidIdentityToken")
        refusal(person.get("/login/roles", {"ticket": "x" * 43}), "ExpiredTokenException")
        refusal(person.get("/login/roles"), "ValidationError")


class TestFromThere:
    """Sign-in that the identity provider begins."""

    def test_where_it_is_allowed(self, gateway: Gateway, person: Person, corporation: Corporation) -> None:
        answer = arrive(person, corporation.response(), "https://evil.test/")
        assert "evil" not in answer.location + answer.text
        assert identity_of(gateway, person.follow(answer)).endswith("assumed-role/deploy/alice@example.test")

    def test_a_choice_among_accounts(self, person: Person, corporation: Corporation) -> None:
        audit = f"{role_arn('audit', PROD)},{PROD_CORP}"
        picker = person.follow(arrive(person, corporation.response("deploy", audit)))
        assert picker.roles == [role_arn("deploy", DEV), role_arn("audit", PROD)]

    def test_a_provider_that_may_not_begin(self, person: Person, corporation: Corporation) -> None:
        """Roles of `portal`, whose metadata is the same: nobody asked, and it may not come unasked."""
        response = corporation.response("elsewhere", provider=PORTAL)
        refusal(arrive(person, response), "AccessDenied", "Not authorized")

    def test_once(self, person: Person, corporation: Corporation) -> None:
        response = corporation.response()
        assert arrive(person, response).status == 303
        refusal(arrive(person, response), "InvalidIdentityToken", "used before")

    def test_not_at_all(self, tmp_path: Path, corporation: Corporation) -> None:
        settings = {"server": {"public_url": corporation.base}}
        with RedisServer(tmp_path / "redis") as redis:
            with_a_past(redis)
            metadata = corporation.idp.metadata()
            gateway = gateway_of(tmp_path, metadata, redis.url, settings=settings, idp_initiated=False)
            with running(gateway):
                person = Person(gateway.url)
                refusal(arrive(person, corporation.response()), "InvalidIdentityToken", "must begin here")

    def test_an_unknown_issuer(self, person: Person, corporation: Corporation) -> None:
        response = corporation.response(issuer="https://unknown.test")
        refusal(arrive(person, response), "InvalidIdentityToken", "Issuer not present")


class TestTerminal:
    def start(self, person: Person, corporation: Corporation, *roles: str, **more: Any) -> Answer:
        journey = Journey(person, code_challenge=CHALLENGE, **more)
        response = corporation.response(*roles, in_response_to=journey.request_id)
        return person.follow(arrive(person, response, journey.relay_state))

    def redeem(self, person: Person, code: str, verifier: str = VERIFIER) -> Any:
        answer = person.post("/login/credentials", {"code": code, "code_verifier": verifier})
        return answer.status, json.loads(answer.text)

    def test_a_code_is_led_to_the_port_and_redeemed_once(
        self, gateway: Gateway, person: Person, corporation: Corporation
    ) -> None:
        picker = self.start(person, corporation, "deploy", port=4321, state=STATE)
        words = base64.b32encode(hashlib.sha256(CHALLENGE.encode()).digest()[:5]).decode()
        assert f"{words[:4]}-{words[4:]}" in picker.text, "one role, and still nobody is led on unasked"
        assert "form-action 'self' http://127.0.0.1:4321" in picker.headers["content-security-policy"]
        answer = choose(person, picker, role_arn("deploy", DEV))
        assert answer.status == 303
        location = urlsplit(answer.location)
        assert (location.scheme, location.netloc) == ("http", "127.0.0.1:4321")
        query = parse_qs(location.query)
        assert query["state"] == [STATE]
        program = Person(corporation.base)
        status, result = self.redeem(program, query["code"][0])
        assert status == 200
        credentials = result["RedeemCodeResponse"]["RedeemCodeResult"]["Credentials"]
        assert gateway.client(credentials=credentials).get_caller_identity()["Account"] == DEV
        status, result = self.redeem(program, query["code"][0])
        assert (status, result["Error"]["Code"]) == (403, "AccessDenied")

    def test_a_code_is_of_no_use_to_another_program(self, person: Person, corporation: Corporation) -> None:
        picker = self.start(person, corporation, "deploy", port=4321, state=STATE)
        code = parse_qs(urlsplit(choose(person, picker, role_arn("deploy", DEV)).location).query)["code"][0]
        for verifier in ("w" * 43, VERIFIER):
            status, result = self.redeem(person, code, verifier)
            assert (status, result["Error"]["Code"]) == (403, "AccessDenied")

    def test_without_a_port_the_code_is_shown(self, person: Person, corporation: Corporation) -> None:
        picker = self.start(person, corporation, "deploy")
        page = choose(person, picker, role_arn("deploy", DEV))
        assert_safe(page)
        status, _ = self.redeem(person, page.block("code"))
        assert status == 200


class TestMetadata:
    def test_signed_and_the_same_at_every_time(
        self, gateway: Gateway, person: Person, corporation: Corporation
    ) -> None:
        answer = person.get("/saml/metadata")
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/samlmetadata+xml; charset=utf-8"
        root = etree.fromstring(answer.text.encode())
        assert root.get("entityID") == f"{corporation.base}/saml/metadata"
        assert root.find("ds:Signature", NS) is not None
        gateway.stop()
        gateway.start()
        assert person.get("/saml/metadata").text == answer.text

    def test_the_key_is_sealed(self, saml_store: RedisServer) -> None:
        import redis

        with redis.Redis.from_url(saml_store.url) as store:
            values = {name: store.get(name) for name in store.scan_iter() if store.type(name) == b"string"}
        assert any(b"saml:signing-key" in name for name in values)
        assert not any(b"PRIVATE KEY" in value for value in values.values() if isinstance(value, bytes))


def test_tickets_in_the_store_are_of_no_use(person: Person, corporation: Corporation, saml_store: RedisServer) -> None:
    picker = sign_in(person, corporation, *TWO)
    import redis

    with redis.Redis.from_url(saml_store.url) as store:
        stored = {name: store.get(name) for name in store.scan_iter(match="*ticket:*")}
    assert stored
    text = b"".join(name + (value if isinstance(value, bytes) else b"") for name, value in stored.items())
    for secret in (picker.hidden("ticket"), person.cookies["sojourn"], "alice", "deploy"):
        assert secret.encode() not in text


def test_assets(person: Person, corporation: Corporation) -> None:
    page = person.get("/login/roles")
    found = re.findall(r'(?:href|src)="(/assets/[^"]+)"', page.text)
    assert len(found) == 3
    for path in found:
        answer = person.get(path)
        assert answer.status == 200 and "immutable" in answer.headers["cache-control"]
    assert person.get("/assets/0000000000000000/sojourn.js").status == 404
    assert person.get(found[0].replace("sojourn.css", "../layout.py")).status == 404


def test_an_outage_of_the_store(tmp_path: Path, corporation: Corporation) -> None:
    settings = {"server": {"public_url": corporation.base}}
    with RedisServer(tmp_path / "redis") as redis:
        with_a_past(redis)
        gateway = gateway_of(tmp_path, corporation.idp.metadata(), redis.url, settings=settings)
        with running(gateway):
            person = Person(gateway.url)
            assert person.get("/saml/metadata").status == 200
            redis.stop()
            answer = arrive(person, corporation.response())
            refusal(answer, "ServiceUnavailable")
            assert answer.headers["retry-after"] == "1"
            redis.start()


def test_one_address_begins_so_many_sign_ins_a_minute_and_no_more(
    tmp_path: Path, corporation: Corporation, redis: RedisServer
) -> None:
    settings = {"server": {"public_url": corporation.base, "trusted_proxies": ["127.0.0.0/8"]}}
    with running(gateway_of(tmp_path, corporation.idp.metadata(), redis.url, settings=settings)) as gateway:
        person = Person(gateway.url)

        def begin(address: str, provider: str = CORP) -> Answer:
            host = urlsplit(corporation.base).netloc
            return person.get("/saml/login", {"provider": provider}, Host=host, X_Forwarded_For=address)

        assert [begin("203.0.113.1").status for _ in range(300)] == [303] * 300
        tickets = _tickets(redis)
        refusal(begin("203.0.113.1"), "Throttling", "Wait a minute")
        assert begin("203.0.113.1", "arn:aws:iam::111122223333:saml-provider/none").status == 429
        assert _tickets(redis) == tickets
        assert begin("203.0.113.2").status == 303
        assert "203.0.113.1" not in " ".join(_names(redis))


def _names(server: RedisServer) -> list[str]:
    import redis

    with redis.Redis.from_url(server.url) as store:
        return [name.decode() for name in store.scan_iter(count=1000)]


def _tickets(server: RedisServer) -> int:
    return sum("ticket:" in name for name in _names(server))


def _seconds(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()
