"""The MFA device actions of IAM, by boto3 at two gateways of one store."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyotp
import pytest
from botocore.exceptions import ClientError

from tests.end_to_end.directory_world import GUEST, NO_LIMITS, PERSON, account, age_memory, code, serial, within_a_step
from tests.end_to_end.refusals import refused
from tests.end_to_end.world import DEV, allow, inline, new_key, role_arn
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, running, write_configuration

LIMITED, TAGGER, OPERATOR = (new_key(DEV) for _ in range(3))
OWN_USER, OWN_DEVICE = f"arn:aws:iam::{DEV}:user/${{aws:username}}", f"arn:aws:iam::{DEV}:mfa/own/*"
INVALID = r"Authentication code for device is not valid\."


class World:
    """Two gateways, and a user's client at each."""

    def __init__(self, first: Gateway, second: Gateway, store: RedisServer) -> None:
        self.gateways = first, second
        self.store = store
        self.iam = first.client("iam", PERSON)
        self.iam_elsewhere = second.client("iam", PERSON)

    def create(self, name: str, **more: Any) -> tuple[str, pyotp.TOTP]:
        """Serial number and authenticator of a new device."""
        device = self.iam.create_virtual_mfa_device(VirtualMFADeviceName=name, **more)["VirtualMFADevice"]
        return device["SerialNumber"], pyotp.TOTP(device["Base32StringSeed"].decode())

    def enabled(self, name: str, user: str = "person") -> tuple[str, pyotp.TOTP]:
        """A new device that the user has; the codes of the present and the next step are left."""
        number, authenticator = self.create(name)
        self.iam.enable_mfa_device(UserName=user, SerialNumber=number, **pair(authenticator, -2))
        return number, authenticator


def pair(authenticator: pyotp.TOTP, step: int = 0) -> dict[str, str]:
    """Two codes in a row, the first of the step so far from now; to be used at once."""
    now = within_a_step()
    return {
        "AuthenticationCode1": authenticator.at(now + 30 * step),
        "AuthenticationCode2": authenticator.at(now + 30 * (step + 1)),
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place: Path = tmp_path_factory.mktemp("gateway")
    configured = account()
    for device in configured["VirtualMFADevices"]:
        device.pop("LdapUsers", None)
    configured["Users"] += [
        {
            "UserName": "limited",
            "AccessKeys": [LIMITED],
            "Policies": inline(
                allow(["iam:EnableMFADevice", "iam:DeactivateMFADevice", "iam:ListMFADevices"], OWN_USER),
                allow(["iam:CreateVirtualMFADevice", "iam:DeleteVirtualMFADevice"], OWN_DEVICE),
            ),
        },
        {
            "UserName": "tagger",
            "AccessKeys": [TAGGER],
            "Policies": inline(
                allow("iam:CreateVirtualMFADevice", "*"),
                allow("iam:TagMFADevice", "*", condition={"StringEquals": {"aws:RequestTag/team": "web"}}),
            ),
        },
    ]
    other = {
        "Account": "444455556666",
        "Users": [{"UserName": "operator", "AccessKeys": [OPERATOR], "Policies": inline(allow("iam:*", "*"))}],
    }
    key = {"keys": {"master": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}}
    write_configuration(place, {"dev": configured, "other": other}, NO_LIMITS | key)
    with RedisServer(place / "redis") as server:
        age_memory(server.url)
        first = Gateway(place, store=server.url, state=place / "state-1")
        second = Gateway(place, store=server.url, state=place / "state-2")
        with running(first), running(second):
            yield World(first, second, server)


def test_a_device_from_its_making_to_its_end(world: World) -> None:
    made = world.iam.create_virtual_mfa_device(
        VirtualMFADeviceName="phone", Path="/people/", Tags=[{"Key": "team", "Value": "web"}]
    )["VirtualMFADevice"]
    number = f"arn:aws:iam::{DEV}:mfa/people/phone"
    assert made["SerialNumber"] == number
    assert made["Tags"] == [{"Key": "team", "Value": "web"}]
    seed = made["Base32StringSeed"].decode()
    assert len(seed) == 64
    assert made["QRCodePNG"].startswith(b"\x89PNG\r\n")
    assert number in _numbers(world.iam_elsewhere.list_virtual_mfa_devices(AssignmentStatus="Unassigned"))

    authenticator = pyotp.TOTP(seed)
    world.iam_elsewhere.enable_mfa_device(UserName="person", SerialNumber=number, **pair(authenticator, -2))
    (shown,) = [each for each in world.iam.list_mfa_devices()["MFADevices"] if each["SerialNumber"] == number]
    assert shown["UserName"] == "person"
    assert abs(shown["EnableDate"].timestamp() - time.time()) < 240
    (listed,) = [
        each
        for each in world.iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"]
        if each["SerialNumber"] == number
    ]
    assert listed["User"]["UserName"] == "person"
    assert "Base32StringSeed" not in listed

    sts = world.gateways[0].client(credentials=PERSON)
    shown_code = {"SerialNumber": number, "TokenCode": authenticator.now()}
    assert sts.assume_role(RoleArn=role_arn("with-mfa", DEV), RoleSessionName="test", **shown_code)
    with refused("AccessDenied", "invalid MFA one time pass code"):
        world.gateways[1].client(credentials=PERSON).get_session_token(**shown_code)
    with refused("DeleteConflict", "must deactivate MFA device first"):
        world.iam.delete_virtual_mfa_device(SerialNumber=number)

    world.iam.deactivate_mfa_device(UserName="person", SerialNumber=number)
    assert number not in _numbers(world.iam_elsewhere.list_mfa_devices(UserName="person"))
    with refused("AccessDenied", "unable to validate MFA code"):
        sts.get_session_token(SerialNumber=number, TokenCode=authenticator.at(int(time.time()) + 30))
    world.iam_elsewhere.delete_virtual_mfa_device(SerialNumber=number)
    assert number not in _numbers(world.iam.list_virtual_mfa_devices())
    with refused("NoSuchEntity", f"VirtualMFADevice with serial number {number} doesn't exist"):
        world.iam.delete_virtual_mfa_device(SerialNumber=number)
    again = world.iam.create_virtual_mfa_device(VirtualMFADeviceName="phone", Path="/people/")["VirtualMFADevice"]
    assert again["Base32StringSeed"].decode() != seed


def test_two_codes_in_a_row_are_wanted(world: World) -> None:
    number, authenticator = world.create("in-a-row")
    good = pair(authenticator, -2)
    backwards = {"AuthenticationCode1": good["AuthenticationCode2"], "AuthenticationCode2": good["AuthenticationCode1"]}
    twice = {"AuthenticationCode1": good["AuthenticationCode1"], "AuthenticationCode2": good["AuthenticationCode1"]}
    for codes in (backwards, twice, pair(authenticator, -9)):
        with refused("InvalidAuthenticationCode", INVALID):
            world.iam.enable_mfa_device(UserName="person", SerialNumber=number, **codes)
    assert number not in _numbers(world.iam.list_mfa_devices())
    world.iam.enable_mfa_device(UserName="person", SerialNumber=number, **good)
    with refused("EntityAlreadyExists", "already in use"):
        world.iam.enable_mfa_device(UserName="guest", SerialNumber=number, **pair(authenticator))


def test_a_clock_that_is_minutes_off_is_brought_in_step(world: World) -> None:
    number, authenticator = world.enabled("slow-clock")
    sts = world.gateways[1].client(credentials=PERSON)
    late = int(time.time()) - 300
    with refused("AccessDenied", "invalid MFA"):
        sts.get_session_token(SerialNumber=number, TokenCode=authenticator.at(late))
    with refused("InvalidAuthenticationCode", INVALID):
        world.iam.resync_mfa_device(UserName="person", SerialNumber=number, **pair(authenticator, -12))
    world.iam.resync_mfa_device(UserName="person", SerialNumber=number, **pair(authenticator, 10))
    ahead = int(time.time()) + 12 * 30
    assert sts.get_session_token(SerialNumber=number, TokenCode=authenticator.at(ahead))
    with refused("NoSuchEntity"):
        world.iam.resync_mfa_device(UserName="guest", SerialNumber=number, **pair(authenticator, 13))


def test_names_are_taken_once(world: World) -> None:
    def create(i: int) -> str:
        try:
            world.gateways[i % 2].client("iam", PERSON).create_virtual_mfa_device(VirtualMFADeviceName="once")
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "made"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(create, range(16)))
    assert sorted(answers) == ["EntityAlreadyExists"] * 15 + ["made"]
    with refused("EntityAlreadyExists", "MFADevice entity at the same path and name already exists"):
        world.iam.create_virtual_mfa_device(VirtualMFADeviceName="guest")


def test_one_of_many_gets_a_device(world: World) -> None:
    number, authenticator = world.create("wanted")

    def enable(i: int) -> str:
        iam = world.gateways[i % 2].client("iam", PERSON)
        user = ("person", "guest")[i % 2]
        try:
            iam.enable_mfa_device(UserName=user, SerialNumber=number, **pair(authenticator, -2))
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return user

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(enable, range(8)))
    (winner,) = [each for each in answers if each in ("person", "guest")]
    for user in ("person", "guest"):
        assert (number in _numbers(world.iam.list_mfa_devices(UserName=user))) == (user == winner)


def test_configured_devices_are_changed_in_their_files_only(world: World) -> None:
    number = serial("guest")
    assert number in _numbers(world.iam.list_mfa_devices(UserName="guest"))
    codes = {"AuthenticationCode1": code("guest", steps=-1), "AuthenticationCode2": code("guest")}
    iam: Any = world.iam
    for change, parameters in (
        (iam.deactivate_mfa_device, {"UserName": "guest"}),
        (iam.delete_virtual_mfa_device, {}),
        (iam.enable_mfa_device, {"UserName": "guest", **codes}),
    ):
        with refused("UnmodifiableEntity", "configuration file"):
            change(SerialNumber=number, **parameters)
    world.iam.resync_mfa_device(UserName="guest", SerialNumber=number, **codes)
    with refused("AccessDenied", "invalid MFA"):
        world.gateways[0].client(credentials=GUEST).get_session_token(
            SerialNumber=number, TokenCode=codes["AuthenticationCode2"]
        )


def test_permissions_are_asked_for_the_right_entities(world: World) -> None:
    iam = world.gateways[0].client("iam", LIMITED)
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName="mine", Path="/own/")["VirtualMFADevice"]
    number, authenticator = made["SerialNumber"], pyotp.TOTP(made["Base32StringSeed"].decode())
    with refused("AccessDenied", rf"iam:EnableMFADevice on resource: arn:aws:iam::{DEV}:user/person"):
        iam.enable_mfa_device(UserName="person", SerialNumber=number, **pair(authenticator, -2))
    iam.enable_mfa_device(UserName="limited", SerialNumber=number, **pair(authenticator, -2))
    assert _numbers(iam.list_mfa_devices()) == [number]
    with refused("AccessDenied", "iam:ResyncMFADevice"):
        iam.resync_mfa_device(UserName="limited", SerialNumber=number, **pair(authenticator))
    with refused("AccessDenied", r"iam:ListVirtualMFADevices on resource: \*"):
        iam.list_virtual_mfa_devices()
    with refused("AccessDenied", rf"iam:CreateVirtualMFADevice on resource: arn:aws:iam::{DEV}:mfa/theirs"):
        iam.create_virtual_mfa_device(VirtualMFADeviceName="theirs")
    with refused("AccessDenied", "iam:DeleteVirtualMFADevice"):
        iam.delete_virtual_mfa_device(SerialNumber=serial("guest"))
    with refused("AccessDenied", "iam:TagMFADevice"):
        iam.create_virtual_mfa_device(VirtualMFADeviceName="t", Path="/own/", Tags=[{"Key": "team", "Value": "web"}])
    iam.deactivate_mfa_device(SerialNumber=number)
    iam.delete_virtual_mfa_device(SerialNumber=number)

    tagger = world.gateways[0].client("iam", TAGGER)
    with refused("AccessDenied", "iam:TagMFADevice"):
        tagger.create_virtual_mfa_device(VirtualMFADeviceName="t", Tags=[{"Key": "team", "Value": "ops"}])
    assert tagger.create_virtual_mfa_device(VirtualMFADeviceName="t", Tags=[{"Key": "team", "Value": "web"}])
    with refused("InvalidInput", "Duplicate tag keys"):
        world.iam.create_virtual_mfa_device(
            VirtualMFADeviceName="t2", Tags=[{"Key": "team", "Value": "web"}, {"Key": "TEAM", "Value": "web"}]
        )


def test_accounts_do_not_see_each_other_s(world: World) -> None:
    number, _ = world.create("hidden")
    operator = world.gateways[0].client("iam", OPERATOR)
    assert operator.list_virtual_mfa_devices()["VirtualMFADevices"] == []
    for gone in (number, serial("guest")):
        with refused("NoSuchEntity"):
            operator.delete_virtual_mfa_device(SerialNumber=gone)


def test_sessions_without_a_code_manage_nothing(world: World) -> None:
    number, authenticator = world.enabled("manager")
    sts = world.gateways[0].client(credentials=PERSON)
    plain = world.gateways[0].client("iam", sts.get_session_token()["Credentials"])
    with refused("AccessDenied"):
        plain.list_mfa_devices()
    credentials = sts.get_session_token(SerialNumber=number, TokenCode=authenticator.now())["Credentials"]
    assert number in _numbers(world.gateways[0].client("iam", credentials).list_mfa_devices())


def test_lists_come_in_pages(world: World) -> None:
    for i in range(3):
        world.create(f"page-{i}")
    everything = _numbers(world.iam.list_virtual_mfa_devices())
    assert everything == sorted(everything)
    pages = list(world.iam.get_paginator("list_virtual_mfa_devices").paginate(PaginationConfig={"PageSize": 2}))
    assert [number for page in pages for number in _numbers(page)] == everything
    assert len(pages) == (len(everything) + 1) // 2


def test_a_user_has_eight_devices_at_most(world: World) -> None:
    have = len(world.iam.list_mfa_devices(UserName="guest")["MFADevices"])
    for i in range(8 - have):
        world.enabled(f"many-{i}", "guest")
    number, authenticator = world.create("one-too-many")
    with refused("LimitExceeded", "Cannot exceed quota for MFADevicesPerUser: 8"):
        world.iam.enable_mfa_device(UserName="guest", SerialNumber=number, **pair(authenticator, -2))


@pytest.mark.parametrize(
    ("parameters", "code", "text"),
    [
        ({"VirtualMFADeviceName": "a b"}, "ValidationError", "virtualMFADeviceName"),
        ({"VirtualMFADeviceName": "x", "Path": "no-slashes"}, "ValidationError", "path"),
        ({"VirtualMFADeviceName": "x", "Path": "/a!b/"}, "ValidationError", "must make a serial number"),
        ({"VirtualMFADeviceName": "x" * 128, "Path": f"/{'y' * 120}/"}, "ValidationError", "at most 256"),
        ({}, "ValidationError", "Member must not be null"),
    ],
)
def test_what_cannot_be_a_device_is_refused(world: World, parameters: Any, code: str, text: str) -> None:
    with refused(code, text):
        world.iam.create_virtual_mfa_device(**parameters)


def test_seeds_rest_sealed_and_are_told_once(world: World) -> None:
    seed = world.iam.create_virtual_mfa_device(VirtualMFADeviceName="secret")["VirtualMFADevice"]["Base32StringSeed"]
    kept = b"".join(path.read_bytes() for path in world.store.directory.rglob("*") if path.is_file())
    assert b"mfa/secret" in kept
    assert seed not in kept
    assert seed.decode() not in str(world.gateways[0].audit) + world.gateways[0].log


def _numbers(answer: Any) -> list[str]:
    return [each["SerialNumber"] for each in answer.get("MFADevices", answer.get("VirtualMFADevices", ()))]
