"""`sojourn login --ldap`: what is asked on the terminal, and what comes of it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.directory_world import CORP, NO_LIMITS, account, age_memory, code, provider, serial, within_a_step
from tests.end_to_end.ldap_client import RIGHT
from tests.end_to_end.world import DEV, role_arn
from tests.fakes.redis import RedisServer
from tests.fakes.slapd import Slapd
from tests.gateway import SOJOURN, Gateway, clean_environment, running, write_configuration


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    place: Path = tmp_path_factory.mktemp("gateway")
    with Slapd(place / "slapd") as directory, RedisServer(place / "redis") as server:
        write_configuration(place, {"dev": account(provider(directory))}, NO_LIMITS)
        age_memory(server.url)
        with running(Gateway(place, store=server.url)) as gateway:
            yield gateway


def run(gateway: Gateway, typed: list[str], *options: str, endpoint: str | None = None) -> tuple[int, str, str]:
    """Exit status, output and messages; away from any terminal the answers are read from standard input."""
    done = subprocess.run(
        [SOJOURN, "login", "--ldap", CORP, "--endpoint", endpoint or gateway.url, *options],
        input="".join(f"{line}\n" for line in typed),
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=120,
        check=False,
        start_new_session=True,
    )
    return done.returncode, done.stdout, done.stderr


def whoami(gateway: Gateway, output: str) -> str:
    """Whose credentials a `credential_process` prints."""
    arn: str = gateway.client(credentials=json.loads(output)).get_caller_identity()["Arn"]
    return arn


def test_credentials_for_a_role(gateway: Gateway) -> None:
    role = ("--role", role_arn("engineers", DEV), "--format", "credential-process")
    status, output, messages = run(gateway, ["alice", RIGHT], *role)
    assert status == 0, messages
    assert whoami(gateway, output).endswith("engineers/alice")
    assert RIGHT not in output + messages


def test_a_role_is_chosen_where_several_are_open(gateway: Gateway) -> None:
    status, output, messages = run(gateway, ["bob", RIGHT, "2"], "--format", "credential-process")
    assert status == 0, messages
    assert f"  1  {role_arn('just-bob', DEV)}\n  2  {role_arn('people', DEV)}\n" in messages
    assert whoami(gateway, output).endswith("people/bob")


def test_a_code_is_asked_for_and_asked_again_after_a_choice(gateway: Gateway) -> None:
    number = ("--serial-number", serial("bob"), "--format", "credential-process")
    within_a_step(25)
    status, output, messages = run(gateway, ["bob", RIGHT, code("bob", steps=-1), "1", code("bob")], *number)
    assert status == 0, messages
    assert "A code works once" in messages
    assert whoami(gateway, output).endswith("by-method/bob")


def test_a_refusal_is_one_line(gateway: Gateway) -> None:
    status, output, messages = run(gateway, ["alice", "wrong"])
    assert (status, output) == (1, "")
    assert messages.endswith(
        "Error: IDPRejectedClaim: The user name, the password or the one-time code is not valid.\n"
    )
    assert "Traceback" not in messages


def test_a_password_does_not_travel_in_the_clear(gateway: Gateway) -> None:
    status, _, messages = run(gateway, ["alice", RIGHT], endpoint="http://gateway.example")
    assert (status, "use https" in messages) == (1, True)


def test_options_that_belong_elsewhere_are_refused(gateway: Gateway) -> None:
    assert run(gateway, [], "--saml", "arn:aws:iam::111122223333:saml-provider/corp")[0] == 2
