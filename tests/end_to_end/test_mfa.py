"""Second factors in STS and the devices in IAM, by boto3 at two workers of a real gateway."""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.end_to_end.directory_world import GUEST, NO_LIMITS, PERSON, account, age_memory, code, factor, serial
from tests.end_to_end.refusals import refused
from tests.end_to_end.world import DEV, role_arn
from tests.fakes.redis import RedisServer
from tests.gateway import SOJOURN, Gateway, clean_environment, running, write_configuration
from tests.waiting import until

WRONG = r"MultiFactorAuthentication failed with invalid MFA one time pass code\. "
NOT_THEIRS = (
    r"MultiFactorAuthentication failed, unable to validate MFA code\.  "
    r"Please verify your MFA serial number is valid and associated with this user\."
)
ONE_ALONE = r"MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code\."


def arn(name: str) -> str:
    """A role's ARN in the account."""
    return role_arn(name, DEV)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    configured = account()
    for device in configured["VirtualMFADevices"]:
        device.pop("LdapUsers", None)
    write_configuration(tmp_path, {"dev": configured}, NO_LIMITS)
    with RedisServer(tmp_path / "redis") as server:
        age_memory(server.url)
        with running(Gateway(tmp_path, store=server.url, workers=2)) as gateway:
            yield gateway


@pytest.fixture
def person(gateway: Gateway) -> Any:
    return gateway.client(credentials=PERSON)


def assume(client: Any, name: str, **more: str) -> Any:
    return client.assume_role(RoleArn=arn(name), RoleSessionName="test", **more)


def test_a_code_is_present_and_fresh_in_the_decision_alone(gateway: Gateway, person: Any) -> None:
    with refused("AccessDenied", "is not authorized to perform: sts:AssumeRole on resource: .*with-fresh-mfa"):
        assume(person, "with-fresh-mfa")
    credentials = assume(person, "with-fresh-mfa", **factor("person", steps=-1))["Credentials"]
    as_role = gateway.client(credentials=credentials)
    assert as_role.get_caller_identity()["Arn"].endswith("assumed-role/with-fresh-mfa/test")
    assert assume(person, "never-without", **factor("person"))
    with refused("AccessDenied"):
        assume(person, "absent", **factor("person", steps=1))


def test_the_command_line_asks_for_the_code(gateway: Gateway) -> None:
    variables = {"AWS_ACCESS_KEY_ID": PERSON["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": PERSON["SecretAccessKey"]}
    words = ["assume", arn("with-fresh-mfa"), "--json", "--endpoint", gateway.url, "--serial-number", serial("person")]

    def run(typed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SOJOURN, *words],
            input=f"{typed[:3]} {typed[3:]}\n",
            capture_output=True,
            text=True,
            timeout=120,
            env=clean_environment() | variables,
        )

    shown = code("person")
    first = run(shown)
    assert first.returncode == 0, first.stderr
    issued = json.loads(first.stdout)
    credentials = {name: issued[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")}
    assert ":assumed-role/with-fresh-mfa/" in gateway.client(credentials=credentials).get_caller_identity()["Arn"]
    again = run(shown)
    assert (again.returncode, again.stdout) == (1, "")
    assert "invalid MFA one time pass code" in again.stderr


def test_without_a_code_long_term_keys_leave_the_keys_out(person: Any) -> None:
    assert assume(person, "never-without")
    assert assume(person, "absent")
    with refused("AccessDenied"):
        assume(person, "told-no")


def test_sessions_keep_that_a_code_was_given(gateway: Gateway, person: Any) -> None:
    plain = gateway.client(credentials=person.get_session_token()["Credentials"])
    for name in ("with-mfa", "never-without", "absent"):
        with refused("AccessDenied"):
            assume(plain, name)
    told_no = assume(plain, "told-no")["Credentials"]
    as_role = gateway.client(credentials=told_no)
    with refused("AccessDenied"):
        assume(as_role, "with-mfa")
    assert assume(as_role, "told-no")

    with_code = gateway.client(credentials=person.get_session_token(**factor("person", steps=-1))["Credentials"])
    assert assume(with_code, "with-fresh-mfa")

    def stale() -> bool:
        try:
            assume(with_code, "with-fresh-mfa")
        except ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDenied"
            return True
        return False

    until(stale, every=1)
    assert assume(with_code, "with-mfa")
    with refused("AccessDenied"):
        assume(with_code, "told-no")
    # Another code makes it fresh again, for one decision.
    assert assume(with_code, "with-fresh-mfa", **factor("person"))
    with refused("AccessDenied"):
        assume(with_code, "with-fresh-mfa")
    # A role's session knows nothing of it, whatever it was assumed with.
    from_role = gateway.client(credentials=assume(with_code, "from-role")["Credentials"])
    with refused("AccessDenied"):
        assume(from_role, "with-mfa")
    assert assume(from_role, "told-no")


def test_codes_are_refused_in_aws_s_words(gateway: Gateway, person: Any) -> None:
    right = code("person")
    wrong = f"{(int(right) + 1) % 10**6:06d}"
    with refused("AccessDenied", WRONG):
        assume(person, "with-mfa", SerialNumber=serial("person"), TokenCode=wrong)
    with refused("AccessDenied", NOT_THEIRS):
        assume(person, "with-mfa", **factor("guest"))
    with refused("AccessDenied", NOT_THEIRS):
        assume(person, "with-mfa", **factor("alice"))
    with refused("AccessDenied", NOT_THEIRS):
        assume(person, "with-mfa", SerialNumber=serial("none"), TokenCode=right)
    with refused("AccessDenied", ONE_ALONE):
        assume(person, "with-mfa", SerialNumber=serial("person"))
    with refused("AccessDenied", ONE_ALONE):
        person.get_session_token(TokenCode=right)
    used = {}
    for skewed in (-3, -2, 2, 3):
        with refused("AccessDenied", WRONG):
            person.get_session_token(**factor("person", steps=skewed))
        # One right code begins the count of wrong ones anew.
        if skewed == -2:
            used = factor("person")
            assert person.get_session_token(**used)
    with refused("AccessDenied", WRONG):
        person.get_session_token(**used)
    with refused("ValidationError", r"'1234567' at 'tokenCode'|'\*\*\*\*' at 'tokenCode'"):
        assume(person, "with-mfa", SerialNumber=serial("person"), TokenCode="1234567")
    as_role = gateway.client(credentials=assume(person, "from-role")["Credentials"])
    with refused("AccessDenied", NOT_THEIRS):
        assume(as_role, "from-role", **factor("person", steps=1))


def test_one_of_fifty_wins(gateway: Gateway) -> None:
    shown = factor("guest")

    def attempt(_: int) -> str:
        try:
            gateway.client(credentials=GUEST).get_session_token(**shown)
        except ClientError as error:
            return str(error.response["Error"]["Message"])
        return "won"

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(attempt, range(50)))
    assert answers.count("won") == 1
    assert set(answers) == {"won", "MultiFactorAuthentication failed with invalid MFA one time pass code. "}


def test_after_five_wrong_codes_the_right_one_is_wrong_too(person: Any) -> None:
    right = code("person")
    for i in range(1, 6):
        with refused("AccessDenied", WRONG):
            person.get_session_token(SerialNumber=serial("person"), TokenCode=f"{(int(right) + i) % 10**6:06d}")
    with refused("AccessDenied", WRONG):
        person.get_session_token(SerialNumber=serial("person"), TokenCode=right)


def test_codes_are_not_on_record(gateway: Gateway, person: Any) -> None:
    right = code("person")
    person.get_session_token(SerialNumber=serial("person"), TokenCode=right)
    record = gateway.audit[-1]
    assert record["requestParameters"] == {"serialNumber": serial("person")}
    assert right not in str(record).replace(record["requestID"], "").replace(record["eventID"], "")
