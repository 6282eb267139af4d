"""Security keys on the sign-in page, with a key in software: what is asked for, given, and refused."""

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.directory_world import CORP, NO_LIMITS, OTHER, UNBOUNDED, code
from tests.end_to_end.key_world import (
    OUTSIDER,
    OWN,
    STRICT,
    World,
    add,
    answer,
    enter,
    key_world,
    leave,
    options,
    use,
    with_key,
)
from tests.end_to_end.ldap_client import RIGHT
from tests.end_to_end.person import Answer, Person
from tests.end_to_end.refusals import refused
from tests.end_to_end.world import DEV, role_arn
from tests.fakes.authenticator import BE, EDDSA, RS256, UP, UV, b64url
from tests.gateway import Gateway, running, write_configuration
from tests.waiting import until

REFUSED = "The security key was not accepted. Sign in again."
USE_IT_FIRST = "You have a second factor: sign in with it first."


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with key_world(tmp_path_factory.mktemp("gateway")) as world:
        yield world


def arn(name: str) -> str:
    """A role's ARN in the account."""
    return role_arn(name, DEV)


def credentials(page: Answer) -> dict[str, str]:
    """What a page of credentials shows."""
    found: dict[str, str] = json.loads(page.block("process"))
    return found


def last(world: World, name: str) -> Any:
    """The last record of that name."""
    return next(each for each in reversed(world.gateway.audit) if each["eventName"] == name)


def test_from_the_first_key_to_credentials(world: World) -> None:
    person, name, key = world.visitor(), world.novice(), world.key()
    page = enter(person, name, next="keys")
    assert "Your security keys" in page.text
    asked = json.loads(options(page))
    assert asked["rp"]["id"] == "localhost"
    assert name not in str(asked["user"]["id"])
    page = add(person, page, key)
    assert "Use your security key" in page.text, "to register a key is not to use it"
    record = last(world, "EnableMFADevice")
    number = record["requestParameters"]["serialNumber"]
    assert number.startswith(f"arn:aws:iam::{DEV}:u2f/user/{name}/key")
    assert len(number.rpartition("-")[2]) == 26
    assert (record["eventSource"], record["userIdentity"]["userName"]) == ("iam.amazonaws.com", name)

    assert json.loads(options(page))["allowCredentials"][0]["id"] == b64url(key.credential_id)
    page = use(person, page, key)
    assert "not used yet" not in page.text
    picker = leave(person, page, "/login/keys/leave")
    assert {arn("with-mfa"), arn("with-fresh-mfa")} < set(picker.roles)
    assert arn("told-no") not in picker.roles
    record = last(world, "SecurityKeySignIn")
    assert record["additionalEventData"] == {"MFAUsed": "Yes", "MFAIdentifier": number}
    page = person.post("/login/roles", {"ticket": picker.hidden("ticket"), "role": arn("with-fresh-mfa")})
    caller = world.gateway.client(credentials=credentials(page)).get_caller_identity()
    assert caller["Arn"].endswith(f"with-fresh-mfa/{name}")


@pytest.mark.parametrize("more", [{"algorithm": EDDSA}, {"algorithm": RS256}, {"flags": UP}, {"flags": UP | UV | BE}])
def test_keys_of_all_kinds(world: World, more: dict[str, Any]) -> None:
    name, key = with_key(world, **more)
    person = world.visitor()
    assert arn("with-mfa") in use(person, enter(person, name), key).roles


def test_without_the_key_the_password_opens_what_it_always_did(world: World) -> None:
    name, _ = with_key(world)
    person = world.visitor()
    page = enter(person, name)
    assert arn("with-mfa") not in page.text
    picker = leave(person, page, "/login/key/without")
    assert arn("told-no") in picker.roles
    assert arn("with-mfa") not in picker.roles


def test_a_wanted_role_is_kept_in_mind(world: World) -> None:
    name, key = with_key(world)
    person = world.visitor()
    page = use(person, enter(person, name, role=arn("with-mfa")), key)
    assert "Credentials for with-mfa" in page.text


BENT: dict[str, dict[str, Any]] = {
    "another challenge": {"challenge": b64url(bytes(32))},
    "another origin": {"origin": "http://localhost:1"},
    "another relying party": {"rp_id": "evil.example"},
    "another type": {"type": "webauthn.create"},
    "another person": {"user_handle": bytes(32)},
    "another key": {"id": bytes(32)},
    "an altered signature": {"flip": 1},
    "nobody there": {"flags": UV},
    "in a frame": {"client_data": {"crossOrigin": True}},
    "counting backwards": {"counter": 0},
    "not counting on": {"counter": 1},
}


@pytest.fixture(scope="module")
def owner(world: World) -> tuple[str, Any]:
    return with_key(world)


@pytest.mark.parametrize("bent", BENT.values(), ids=BENT.keys())
def test_a_bent_answer_is_refused_and_uses_the_ticket_up(
    world: World, owner: tuple[str, Any], bent: dict[str, Any]
) -> None:
    (name, key), person = owner, world.visitor()
    page = enter(person, name)
    refusal = use(person, page, key, **bent)
    assert (refusal.status, REFUSED in refusal.text) == (403, True)
    record = last(world, "SecurityKeySignIn")
    assert record["errorCode"] == "IDPRejectedClaim"
    assert record["userIdentity"]["userName"] == name
    reason = "key_copied" if "counter" in bent else "key"
    assert record["additionalEventData"]["reason"] == reason
    assert ("u2f/user" in record["additionalEventData"]["detail"]) is (reason == "key_copied")
    straight = use(person, page, key)
    assert (straight.status, "took too long or was finished" in straight.text) == (400, True)


def test_an_answer_serves_once(world: World) -> None:
    name, key = with_key(world)
    person = world.visitor()
    page = enter(person, name)
    said = key.get(options(page))
    assert answer(person, page, "/login/key", said).status == 303
    assert answer(person, page, "/login/key", said).status == 400
    other = enter(person, name)
    again = answer(person, other, "/login/key", said)
    assert (again.status, REFUSED in again.text) == (403, True)


def test_of_many_at_once_one_is_served(world: World) -> None:
    name, key = with_key(world)
    person = world.visitor()
    page = enter(person, name)
    said = key.get(options(page))
    with ThreadPoolExecutor(10) as pool:
        statuses = sorted(pool.map(lambda _: answer(person, page, "/login/key", said).status, range(10)))
    assert statuses == [303] + [400] * 9


def test_a_key_that_does_not_count_is_a_key(world: World) -> None:
    name, key = with_key(world, counts=False)
    for _ in range(2):
        person = world.visitor()
        assert arn("with-mfa") in use(person, enter(person, name), key).roles
    person = world.visitor()
    assert arn("with-mfa") in use(person, enter(person, name), key, counter=5).roles
    person = world.visitor()
    assert REFUSED in use(person, enter(person, name), key).text, "once it counts, it goes on"


def test_refused_answers_are_failed_attempts(world: World, tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, store=world.store.url, state=world.gateway.state)
    settings = {"guessing": {"user": {"failures": 2, "within": "15m"}, "address": UNBOUNDED, "everyone": UNBOUNDED}}
    write_configuration(tmp_path, world.configured, settings)
    with running(gateway):
        here = replace(world, gateway=gateway)
        name, key = with_key(here)
        late = here.visitor()
        page = enter(late, name)
        right = key.get(options(page))

        def judged() -> int:
            person = here.visitor()
            assert REFUSED in use(person, enter(person, name), key, flip=1).text
            return sum(each.get("additionalEventData", {}).get("reason") == "key" for each in gateway.audit)

        # The fifth that was judged has just begun a delay of some seconds.
        until(lambda: judged() == 5)
        assert REFUSED in answer(late, page, "/login/key", right).text
        assert last(here, "SecurityKeySignIn")["additionalEventData"]["reason"] == "delayed"


def test_another_persons_key_is_refused(world: World) -> None:
    (mine, _), (_, theirs) = with_key(world), with_key(world)
    person = world.visitor()
    assert REFUSED in use(person, enter(person, mine), theirs).text


def test_a_ticket_is_one_browsers_and_one_steps(world: World) -> None:
    name, key = with_key(world)
    person, thief = world.visitor(), world.visitor()
    assert thief.get("/login").status == 200
    page = enter(person, name)
    said = key.get(options(page))
    stolen = answer(thief, page, "/login/key", said)
    assert (stolen.status, "another browser" in stolen.text) == (403, True)
    form = {"ticket": page.hidden("ticket"), "response": said}
    crossed = person.post("/login/key", form, Sec_Fetch_Site="cross-site")
    assert (crossed.status, "another site" in crossed.text) == (403, True)
    stepped = answer(person, page, "/login/keys", said, name="x")
    assert (stepped.status, "took too long" in stepped.text) == (400, True)
    shown = person.get("/login/keys", {"ticket": page.hidden("ticket")})
    assert shown.status == 400
    assert answer(person, page, "/login/key", said).status == 303, "nothing of this used it up"


def test_a_ticket_ends(world: World) -> None:
    name, key = with_key(world)
    person = world.visitor()
    page = enter(person, name)
    left = [
        int(_redis(world, "pttl", each)) for each in _redis(world, "keys", "*ticket:use-key:*").splitlines() if each
    ]
    assert left
    assert all(0 < each <= 300_000 for each in left)
    for each in _redis(world, "keys", "*ticket:use-key:*").splitlines():
        _redis(world, "del", each)
    expired = use(person, page, key)
    assert (expired.status, "took too long" in expired.text) == (400, True)


def test_a_stolen_password_adds_no_key_where_there_is_one(world: World) -> None:
    name, key = with_key(world)
    thief, person = world.visitor(), world.visitor()
    page = enter(thief, name, next="keys")
    assert "Use your security key" in page.text
    assert "Continue without" not in page.text
    page = use(person, enter(person, name, next="keys"), key)
    assert "Add a key" in page.text
    assert "Remove" in page.text
    second = world.key()
    assert add(person, page, second).status == 200
    assert arn("with-mfa") in use(person, enter(person, name), second).roles


def test_a_login_from_before_the_first_key_adds_none_after_it(world: World) -> None:
    name, thief, person = world.novice(), world.visitor(), world.visitor()
    early = enter(thief, name, next="keys")
    add(person, enter(person, name, next="keys"), world.key())
    late = add(thief, early, world.key())
    assert (late.status, USE_IT_FIRST in late.text) == (403, True)
    assert last(world, "EnableMFADevice")["errorCode"] == "AccessDenied"


def test_of_two_first_keys_at_once_one_is_taken(world: World) -> None:
    name = world.novice()
    visitors = [world.visitor() for _ in range(6)]
    pages = [enter(each, name, next="keys") for each in visitors]
    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(lambda i: add(visitors[i], pages[i], world.key()).status, range(6)))
    assert statuses.count(200) == 1
    assert len(_keys_of(world, name)) == 1


def test_who_has_a_device_for_codes_uses_it_first(world: World) -> None:
    person, key = world.visitor(), world.key()
    page = enter(person, "person", next="keys")
    assert USE_IT_FIRST in page.text
    assert "data-ceremony" not in page.text
    asked = options(enter(world.visitor(), world.novice(), next="keys"))
    forced = answer(person, page, "/login/keys", key.create(asked), name="x")
    assert (forced.status, USE_IT_FIRST in forced.text) == (403, True)
    page = enter(person, "person", next="keys", code=code("person"))
    assert add(person, page, key).status == 200
    assert arn("with-mfa") in use(person, enter(person, "person"), key).roles


def test_a_key_is_told_the_handle_that_its_person_has(world: World) -> None:
    codes = code("alice", steps=-1), code("alice")
    visitors = [world.visitor() for _ in codes]
    pages = [
        enter(person, "alice", at=CORP, password=RIGHT, next="keys", code=each)
        for person, each in zip(visitors, codes, strict=True)
    ]
    first, second = world.key(), world.key()
    page = add(visitors[0], pages[0], first)
    late = add(visitors[1], pages[1], second)
    assert (late.status, first.user_handle == second.user_handle) == (409, False)
    assert add(visitors[0], page, second).status == 200
    assert first.user_handle == second.user_handle


@pytest.mark.parametrize("name", ["without-leave", "codes-only"])
def test_a_user_of_ours_needs_leave_of_its_policies(world: World, name: str) -> None:
    person = world.visitor()
    page = enter(person, name, next="keys")
    assert f"not authorized to perform: iam:EnableMFADevice on resource: arn:aws:iam::{DEV}:user/{name}" in page.text
    assert "Encoded" not in page.text
    asked = options(enter(world.visitor(), world.novice(), next="keys"))
    forced = answer(person, page, "/login/keys", world.key().create(asked), name="x")
    assert (forced.status, "iam:EnableMFADevice" in forced.text) == (403, True)


def test_people_of_a_directory(world: World) -> None:
    person, key = world.visitor(), world.key()
    page = enter(person, "alice", at=STRICT, password=RIGHT, next="keys")
    assert "may not register the first one by yourself" in page.text
    page = enter(person, "bob", at=CORP, password=RIGHT, next="keys")
    assert USE_IT_FIRST in page.text
    add(person, enter(person, "alice", at=OTHER, password=RIGHT, next="keys"), key)
    number = last(world, "EnableMFADevice")["requestParameters"]["serialNumber"]
    assert number.startswith(f"arn:aws:iam::{DEV}:u2f/ldap-provider/other/")
    picker = use(person, enter(person, "alice@acme.test", at=OTHER, password=RIGHT), key)
    assert arn("by-key") in picker.roles
    record = last(world, "SecurityKeySignIn")
    assert (record["userIdentity"]["type"], record["userIdentity"]["userName"]) == ("LDAPUser", "alice")
    page = person.post("/login/roles", {"ticket": picker.hidden("ticket"), "role": arn("by-key")})
    assert world.gateway.client(credentials=credentials(page)).get_caller_identity()["Arn"].endswith("by-key/alice")

    for another in (number, number.replace(DEV, "444455556666")):
        with refused("NoSuchEntity"):
            world.iam(OUTSIDER).deactivate_mfa_device(SerialNumber=another)
    with refused("NoSuchEntity"):
        world.iam().deactivate_mfa_device(UserName="novice0", SerialNumber=number)
    world.iam().deactivate_mfa_device(SerialNumber=number)
    with refused("NoSuchEntity"):
        world.iam().deactivate_mfa_device(SerialNumber=number)
    assert arn("by-password") in enter(person, "alice", at=OTHER, password=RIGHT).text


def test_a_key_is_registered_once(world: World) -> None:
    name, key = with_key(world)
    person = world.visitor()
    page = use(person, enter(person, name, next="keys"), key)
    assert json.loads(options(page))["excludeCredentials"][0]["id"] == b64url(key.credential_id)
    again = add(person, page, key)
    assert (again.status, "registered already" in again.text) == (409, True)


def test_a_person_has_eight_keys_at_most(world: World) -> None:
    name, key = with_key(world)
    person = world.visitor()
    page = use(person, enter(person, name, next="keys"), key)
    spare = options(page)
    for _ in range(7):
        spare = options(page)
        page = add(person, page, world.key())
    assert "Cannot exceed quota for MFADevicesPerUser: 8" in page.text
    forced = answer(person, page, "/login/keys", world.key().create(spare), name="x")
    assert (forced.status, "quota" in forced.text) == (409, True)
    assert len(_keys_of(world, name)) == 8


def test_a_key_is_removed_by_its_person(world: World) -> None:
    name, key = with_key(world)
    person = world.visitor()
    page = use(person, enter(person, name, next="keys"), key)
    (number,) = _keys_of(world, name)
    form = {"ticket": page.hidden("ticket"), "key": page.hidden("key")}
    assert form["key"] == number
    page = person.follow(person.post("/login/keys/remove", form, Sec_Fetch_Site="same-origin"))
    assert "Remove" not in page.text
    assert _keys_of(world, name) == []
    record = last(world, "DeactivateMFADevice")
    assert record["requestParameters"]["serialNumber"] == number
    assert arn("told-no") in enter(person, name).roles, "no key is asked for any more"


def test_nobody_removes_a_key_without_a_second_factor_nor_anothers(world: World) -> None:
    early, name = world.visitor(), world.novice()
    page = enter(early, name, next="keys")
    person, key = world.visitor(), world.key()
    add(person, enter(person, name, next="keys"), key)
    (number,) = _keys_of(world, name)
    shown = early.get("/login/keys", {"ticket": page.hidden("ticket")})
    assert USE_IT_FIRST in shown.text
    assert number not in shown.text
    form = {"ticket": page.hidden("ticket"), "key": number}
    forced = early.post("/login/keys/remove", form, Sec_Fetch_Site="same-origin")
    assert (forced.status, USE_IT_FIRST in forced.text) == (403, True)

    other, others_key = with_key(world)
    page = use(person, enter(person, other, next="keys"), others_key)
    form = {"ticket": page.hidden("ticket"), "key": number}
    forced = person.post("/login/keys/remove", form, Sec_Fetch_Site="same-origin")
    assert (forced.status, "not registered" in forced.text) == (404, True)
    assert _keys_of(world, name) == [number]


def test_an_administrator_lists_and_removes_a_lost_key(world: World) -> None:
    name, key = with_key(world)
    (device,) = world.iam().list_mfa_devices(UserName=name)["MFADevices"]
    assert device["UserName"] == name
    assert abs(device["EnableDate"].timestamp() - time.time()) < 240
    person = world.visitor()
    page = enter(person, name)
    with refused("NoSuchEntity"):
        world.iam(OUTSIDER).deactivate_mfa_device(UserName="outsider", SerialNumber=device["SerialNumber"])
    with refused("NoSuchEntity"):
        world.iam().deactivate_mfa_device(UserName="person", SerialNumber=device["SerialNumber"])
    world.iam().deactivate_mfa_device(UserName=name, SerialNumber=device["SerialNumber"])
    assert _keys_of(world, name) == []
    assert REFUSED in use(person, page, key).text, "it was removed meanwhile"


def test_a_user_who_is_gone_gets_no_further(world: World) -> None:
    name, key = with_key(world)
    person, manager = world.visitor(), world.visitor()
    page, managing = enter(person, name), use(manager, enter(manager, name, next="keys"), key)
    said = key.get(options(page))
    users = world.configured["dev"]["Users"]
    world.configured["dev"]["Users"] = [each for each in users if each["UserName"] != name]
    loaded = world.gateway.log.count("configuration loaded")
    world.configure()
    until(lambda: world.gateway.log.count("configuration loaded") >= loaded + 2)  # by each worker, or twice by one
    until(lambda: all("Use your security key" not in enter(world.visitor(), name).text for _ in range(6)))
    for refusal in (answer(person, page, "/login/key", said), add(manager, managing, world.key())):
        assert (refusal.status, "does not exist, or has no password, any more" in refusal.text) == (403, True)


def test_names_that_no_arn_can_hold_are_refused(world: World) -> None:
    person, key = world.visitor(), world.key()
    page = enter(person, world.novice(), next="keys")
    for name in ("", "a b", "a/b", "ä", "x" * 65, "<b>"):
        refusal = answer(person, page, "/login/keys", key.create(options(page)), name=name)
        assert refusal.status == 400
    assert add(person, page, key).status == 200


def test_what_keys_say_stands_in_no_log_and_no_record(world: World) -> None:
    name, key = with_key(world)
    person = world.visitor()
    page = enter(person, name)
    use(person, page, key)
    written = world.gateway.log + json.dumps(world.gateway.audit)
    for secret in (page.hidden("ticket"), b64url(key.credential_id), key.credential_id.hex(), OWN):
        assert secret not in written


def test_while_the_store_is_silent_no_key_is_accepted(world: World) -> None:
    name, key = with_key(world)
    person = world.visitor()
    page = enter(person, name)
    said = key.get(options(page))
    world.store.pause()
    try:
        began = time.monotonic()
        assert answer(person, page, "/login/key", said).status == 503
        assert time.monotonic() - began < 20  # what waits for a silent store without a limit takes longer
    finally:
        world.store.resume()
    for _ in range(20):
        world.gateway.wait()  # whichever worker answers: each notices by itself
    person = world.visitor()
    assert arn("with-mfa") in use(person, enter(person, name), key).roles


def test_where_browsers_allow_no_keys_none_are_offered(tmp_path: Path, world: World) -> None:
    gateway = Gateway(tmp_path, store=world.store.url, state=world.gateway.state)
    public = {"server": {"public_url": f"http://127.0.0.1:{gateway.port}"}}
    write_configuration(tmp_path, world.configured, NO_LIMITS | public)
    with running(gateway):
        person = Person(gateway.url)
        assert "security key" not in person.get("/login").text
        refusal = enter(person, "novice1", next="keys")
        assert (refusal.status, "need a gateway at https:// or on localhost" in refusal.text) == (400, True)
        assert arn("told-no") in enter(person, "novice1").roles


def _keys_of(world: World, name: str) -> list[str]:
    found = world.iam().list_mfa_devices(UserName=name)["MFADevices"]
    return [each["SerialNumber"] for each in found if ":u2f/" in each["SerialNumber"]]


def _redis(world: World, *command: str) -> str:
    server = world.store
    arguments = ["redis-cli", "-p", str(server.port), "-a", server.password, "--no-auth-warning", *command]
    return subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=60).stdout
