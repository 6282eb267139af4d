"""/login step by step, with a directory's users and with users of an account file."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyotp
import pytest

from broker.directory.generate import password_hash
from tests.end_to_end.directory_world import CORP, NO_LIMITS, PERSON, account, age_memory, code, provider, within_a_step
from tests.end_to_end.ldap_client import RIGHT
from tests.end_to_end.person import Answer, Person
from tests.end_to_end.world import DEV, role_arn
from tests.fakes.redis import RedisServer
from tests.fakes.slapd import Slapd
from tests.gateway import Gateway, running, write_configuration
from tests.waiting import until

OWN = "correct battery staple"
REFUSED = "The user name, the password or the one-time code is not valid."


def arn(name: str) -> str:
    """A role's ARN in the account."""
    return role_arn(name, DEV)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    place: Path = tmp_path_factory.mktemp("gateway")
    with Slapd(place / "slapd", people=3) as directory:
        configured = account(provider(directory))
        configured["Users"][0]["LoginProfile"] = {"PasswordHash": password_hash(OWN, secrets.token_bytes)}
        write_configuration(place, {"dev": configured}, NO_LIMITS)
        with RedisServer(place / "redis") as server:
            age_memory(server.url)
            with running(Gateway(place, store=server.url)) as gateway:
                yield gateway


@pytest.fixture
def person(gateway: Gateway) -> Person:
    return Person(f"http://localhost:{gateway.port}")


def enter(person: Person, username: str, password: str, *, at: str = CORP, **more: str) -> Answer:
    assert person.get("/login").status == 200
    form = {"provider": at, "username": username, "password": password, "code": "", "device": ""} | more
    return person.post("/login", form, Sec_Fetch_Site="same-origin")


def credentials(page: Answer) -> dict[str, str]:
    """What a page of credentials shows."""
    found: dict[str, str] = json.loads(page.block("process"))
    return found


def whoami(gateway: Gateway, page: Answer) -> Any:
    return gateway.client(credentials=credentials(page)).get_caller_identity()["Arn"]


def test_a_directory_user_signs_in_and_chooses(gateway: Gateway, person: Person) -> None:
    form = person.get("/login")
    assert [each["name"] for each in form.inputs] == ["username", "password", "code", "device"]
    assert f'<option value="{CORP}">corp</option>' in form.text
    picker = person.follow(enter(person, "alice@acme.test", RIGHT))
    assert picker.roles == [
        arn("department"),
        arn("engineers"),
        arn("people"),
        arn("two-providers"),
        arn("without-code"),
    ]
    page = person.post("/login/roles", {"ticket": picker.hidden("ticket"), "role": arn("engineers")})
    assert whoami(gateway, page) == f"arn:aws:sts::{DEV}:assumed-role/engineers/alice"
    record = gateway.audit[-2]
    assert record["eventName"] == "AssumeRoleWithLDAPIdentity"
    assert (record["userIdentity"]["type"], record["userIdentity"]["userName"]) == ("LDAPUser", "alice")


def test_with_a_code_other_roles_are_open(gateway: Gateway, person: Person) -> None:
    now = code("alice", steps=-1)
    picker = person.follow(enter(person, "alice", RIGHT, code=f"{now[:3]} {now[3:]}"))
    assert arn("with-code") in picker.roles
    assert arn("without-code") not in picker.roles
    page = person.post("/login/roles", {"ticket": picker.hidden("ticket"), "role": arn("with-code")})
    assert whoami(gateway, page).endswith("with-code/alice")
    named = enter(person, "alice", RIGHT, code=code("alice"), device="alice", role=arn("with-code"))
    assert whoami(gateway, person.follow(named)).endswith("with-code/alice")


def test_where_one_role_is_wanted_there_is_no_choice(gateway: Gateway, person: Person) -> None:
    form = person.get("/login", {"role": arn("engineers"), "provider": CORP})
    assert form.hidden("role") == arn("engineers")
    assert f'<option value="{CORP}" selected>' in form.text
    page = person.follow(enter(person, "alice", RIGHT, at="", role=arn("engineers")))
    assert whoami(gateway, page).endswith("engineers/alice")
    refused = enter(person, "bob", RIGHT, role=arn("engineers"))
    assert (refused.status, "Not authorized" in refused.text) == (403, True)
    # A role that trusts no directory is for users with passwords of ours.
    page = person.follow(enter(person, "person", OWN, at="", role=arn("no-provider")))
    assert whoami(gateway, page).endswith("no-provider/person")
    refused = enter(person, "alice", RIGHT, at="", role=arn("no-provider"))
    assert (refused.status, REFUSED in refused.text) == (403, True)


@pytest.mark.parametrize(
    ("username", "password", "more"),
    [
        ("alice", "wrong", {}),
        ("alice", "", {}),
        ("nobody", RIGHT, {}),
        ("alice", RIGHT, {"code": "000"}),
        ("alice", RIGHT, {"code": "123456", "device": "bob"}),
        ("user2", "password2", {"code": "123456"}),
        ("person", OWN, {"at": CORP}),
        ("alice", RIGHT, {"at": DEV}),
        ("guest", "", {"at": DEV}),
        ("person", OWN, {"at": DEV, "code": "000000"}),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(
    person: Person, username: str, password: str, more: dict[str, str]
) -> None:
    refused = enter(person, username, password, **more)
    assert refused.status == 403
    assert REFUSED in refused.text
    shown = {each["name"]: each.get("value", "") for each in refused.inputs}
    assert (shown["username"], shown["password"], shown["code"]) == (username, "", "")


def test_a_password_goes_nowhere_while_it_is_open_where_to(person: Person) -> None:
    refused = enter(person, "alice", RIGHT, at="")
    assert (refused.status, "Choose where you sign in." in refused.text) == (400, True)
    assert RIGHT not in refused.text


def test_a_form_of_another_site_is_refused(person: Person) -> None:
    form = {"provider": CORP, "username": "alice", "password": RIGHT}
    refused = person.post("/login", form, Sec_Fetch_Site="cross-site")
    assert (refused.status, "another site" in refused.text) == (403, True)


def test_a_user_with_a_password_of_ours_assumes_roles_as_itself(gateway: Gateway, person: Person) -> None:
    picker = person.follow(enter(person, "person", OWN, at=DEV))
    assert picker.roles == [arn("from-role"), arn("no-provider"), arn("told-no")]
    page = person.post("/login/roles", {"ticket": picker.hidden("ticket"), "role": arn("told-no")})
    assert whoami(gateway, page) == f"arn:aws:sts::{DEV}:assumed-role/told-no/person"
    record = gateway.audit[-2]
    assert record["eventName"] == "AssumeRole"
    assert record["userIdentity"]["arn"] == f"arn:aws:iam::{DEV}:user/person"

    with_code = person.follow(enter(person, "person", OWN, at=DEV, code=code("person", steps=-1)))
    assert with_code.roles == sorted(
        map(arn, ("from-role", "never-without", "no-provider", "with-fresh-mfa", "with-mfa"))
    )
    page = person.post("/login/roles", {"ticket": with_code.hidden("ticket"), "role": arn("with-mfa")})
    assert whoami(gateway, page).endswith("with-mfa/person")


def test_who_has_several_devices_names_one(gateway: Gateway, person: Person) -> None:
    iam = gateway.client("iam", PERSON)
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName="second")["VirtualMFADevice"]
    second = pyotp.TOTP(made["Base32StringSeed"].decode())
    now = within_a_step()
    iam.enable_mfa_device(
        UserName="person",
        SerialNumber=made["SerialNumber"],
        AuthenticationCode1=second.at(now - 60),
        AuthenticationCode2=second.at(now - 30),
    )
    assert REFUSED in enter(person, "person", OWN, at=DEV, code=second.at(now)).text
    named = enter(person, "person", OWN, at=DEV, code=second.at(now), device="second")
    assert arn("with-mfa") in person.follow(named).roles
    iam.deactivate_mfa_device(UserName="person", SerialNumber=made["SerialNumber"])


def test_who_was_refused_is_on_record_unless_nobody_has_the_name(gateway: Gateway, person: Person) -> None:
    enter(person, "alice", "wrong")
    enter(person, "person", "wrong", at=DEV)
    enter(person, "a password in the wrong field", "wrong")
    directory, own, unknown = gateway.audit[-3:]
    assert directory["userIdentity"] == {"type": "LDAPUser", "userName": "alice", "identityProvider": CORP}
    assert own["userIdentity"] == {"type": "IAMUser", "userName": "person", "identityProvider": DEV}
    assert unknown["userIdentity"] == {"type": "Unknown"}
    assert {each["errorCode"] for each in (directory, own, unknown)} == {"IDPRejectedClaim"}
    assert "wrong field" not in json.dumps(gateway.audit)


def test_secrets_stand_in_no_page_and_no_record(gateway: Gateway, person: Person) -> None:
    answer = enter(person, "alice", RIGHT)
    assert RIGHT not in answer.text + str(answer.headers)
    assert RIGHT not in gateway.log + json.dumps(gateway.audit)
    assert OWN not in gateway.log + json.dumps(gateway.audit)


def test_a_browser_without_an_action_is_sent_to_the_form(gateway: Gateway, person: Person) -> None:
    sent = person.get("/", Accept="text/html,application/xhtml+xml")
    assert (sent.status, sent.location) == (302, f"http://localhost:{gateway.port}/login")
    assert person.get("/", Accept="*/*").status == 400


def test_what_is_taken_out_between_two_steps_opens_nothing(tmp_path: Path, redis: RedisServer) -> None:
    with Slapd(tmp_path / "slapd", people=1) as directory:
        configured = account(provider(directory))
        configured["Users"][0]["LoginProfile"] = {"PasswordHash": password_hash(OWN, secrets.token_bytes)}
        write_configuration(tmp_path, {"dev": configured})
        with running(Gateway(tmp_path, store=redis.url)) as gateway:
            people = [Person(f"http://localhost:{gateway.port}") for _ in range(2)]
            alice, person = people
            pickers = [
                alice.follow(enter(alice, "alice", RIGHT)),
                person.follow(enter(person, "person", OWN, at=DEV)),
            ]
            del configured["LDAPProviders"], configured["VirtualMFADevices"], configured["Users"][0]["LoginProfile"]
            write_configuration(tmp_path, {"dev": configured})
            until(lambda: CORP not in (shown := alice.get("/login").text) and "Account" not in shown)
            for each, picker in zip(people, pickers, strict=True):
                chosen = each.post("/login/roles", {"ticket": picker.hidden("ticket"), "role": picker.roles[0]})
                assert (chosen.status, "any more" in chosen.text) == (403, True)
            assert not any(
                record["eventName"] == "AssumeRole" and "errorCode" not in record for record in gateway.audit
            )
