"""`sojourn login`: the program at one end, a person with a browser at the other."""

import json
import re
import shlex
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.end_to_end.person import Answer, Person
from tests.end_to_end.saml_world import CORP, Corporation
from tests.end_to_end.test_saml_doors import Journey, arrive, choose
from tests.end_to_end.world import DEV, role_arn
from tests.gateway import SOJOURN, Gateway, clean_environment
from tests.waiting import until


@pytest.fixture(scope="module")
def gateway(saml_gateway: Gateway) -> Gateway:
    return saml_gateway


@pytest.fixture
def person(corporation: Corporation) -> Person:
    return Person(corporation.base)


class Program:
    """A running `sojourn login`, whose browser is a script that notes the address."""

    def __init__(self, directory: Path, gateway: Gateway, *options: str) -> None:
        self._noted = directory / "address"
        browser = directory / "browser"
        browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {self._noted}.new\nmv {self._noted}.new {self._noted}\n')
        browser.chmod(0o755)
        self.credentials = directory / "aws" / "credentials"
        environment = clean_environment() | {
            "AWS_ENDPOINT_URL_STS": gateway.url,
            "AWS_SHARED_CREDENTIALS_FILE": str(self.credentials),
            "BROWSER": str(browser),
        }
        self.process = subprocess.Popen(
            [SOJOURN, "login", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    @property
    def address(self) -> str:
        """What the browser was told to open."""
        until(lambda: self._noted.exists() or self.process.poll() is not None)
        assert self._noted.exists(), self.process.communicate()
        return self._noted.read_text()

    def end(self, typed: str | None = None) -> tuple[int, str, str]:
        output, errors = self.process.communicate(typed, timeout=120)
        return self.process.returncode, output, errors


def signed_in(person: Person, corporation: Corporation, address: str, *roles: str) -> Answer:
    """The picker of a sign-in that began at this address."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    journey = Journey(person, query.pop("provider"), **query)
    response = corporation.response(*roles, in_response_to=journey.request_id)
    return person.follow(arrive(person, response, journey.relay_state))


def carried(answer: Answer) -> tuple[str, str]:
    """Base and rest of the address on this machine that the browser is led to."""
    parts = urlsplit(answer.location)
    return f"{parts.scheme}://{parts.netloc}", f"{parts.path}?{parts.query}"


def test_the_browser_brings_the_code_and_nothing_is_kept(
    tmp_path: Path, gateway: Gateway, person: Person, corporation: Corporation
) -> None:
    program = Program(tmp_path, gateway, "--saml", CORP, "--format", "export")
    picker = signed_in(person, corporation, program.address)
    base, rest = carried(choose(person, picker, role_arn("deploy", DEV)))
    assert Person(base).get("/?code=" + "c" * 43 + "&state=guessed").status == 404
    assert Person(base).get("/favicon.ico").status == 404
    done = Person(base).get(rest)
    assert done.status == 200 and "Signed in" in done.text and done.headers["cache-control"] == "no-store"
    status, output, errors = program.end()
    assert status == 0, errors
    words = re.findall("<strong>([A-Z2-7]{4}-[A-Z2-7]{4})</strong>", picker.text)
    assert len(words) == 1 and words[0] in errors
    exported = dict(shlex.split(line)[1].split("=", 1) for line in output.splitlines())
    assert not program.credentials.exists()
    environment = clean_environment() | exported | {"AWS_ENDPOINT_URL_STS": gateway.url}
    shown = subprocess.run([SOJOURN, "whoami", "--json"], env=environment, capture_output=True, text=True, check=True)
    assert "assumed-role/deploy/alice@example.test" in shown.stdout
    assumed = subprocess.run(
        [SOJOURN, "assume", role_arn("delegated", DEV), "--json"], env=environment, capture_output=True, text=True
    )
    assert "AccessDenied" in assumed.stderr, "the session is a caller like any other"


def test_a_profile_is_written_for_its_owner_alone(
    tmp_path: Path, gateway: Gateway, person: Person, corporation: Corporation
) -> None:
    program = Program(tmp_path, gateway, "--saml", CORP, "--profile", "work")
    program.credentials.parent.mkdir()
    program.credentials.write_text("# mine\n[other]\naws_access_key_id = A\n\n[work]\naws_access_key_id = OLD\n")
    program.credentials.chmod(0o644)
    base, rest = carried(choose(person, signed_in(person, corporation, program.address), role_arn("deploy", DEV)))
    Person(base).get(rest)
    status, output, errors = program.end()
    assert (status, output) == (0, ""), errors
    text = program.credentials.read_text()
    assert text.startswith("# mine\n[other]\naws_access_key_id = A\n\n[work]\naws_access_key_id = ASIA")
    assert "OLD" not in text
    assert stat.S_IMODE(program.credentials.stat().st_mode) == 0o600
    assert [each.name for each in program.credentials.parent.iterdir()] == ["credentials"]
    environment = clean_environment() | {
        "AWS_PROFILE": "work",
        "AWS_SHARED_CREDENTIALS_FILE": str(program.credentials),
        "AWS_ENDPOINT_URL_STS": gateway.url,
    }
    shown = subprocess.run([SOJOURN, "whoami", "--json"], env=environment, capture_output=True, text=True, check=True)
    assert "assumed-role/deploy" in shown.stdout


def test_without_a_browser_the_code_is_typed(
    tmp_path: Path, gateway: Gateway, person: Person, corporation: Corporation
) -> None:
    program = Program(tmp_path, gateway, "--saml", CORP, "--no-browser", "--json")
    assert program.process.stderr is not None
    address = next(line.strip() for line in program.process.stderr if "http" in line)
    assert "port=" not in address
    page = choose(person, signed_in(person, corporation, address), role_arn("deploy", DEV))
    status, output, _ = program.end(page.block("code") + "\n")
    assert status == 0
    assert json.loads(output)["AccountId"] == DEV


def test_a_wrong_code(tmp_path: Path, gateway: Gateway) -> None:
    program = Program(tmp_path, gateway, "--saml", CORP, "--no-browser")
    status, output, errors = program.end("c" * 43 + "\n")
    assert (status, output) == (1, "")
    assert "AccessDenied: The code is not valid" in errors and "Traceback" not in errors


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], "--saml PROVIDER_ARN"),
        (["--saml", CORP, "--profile", "a]b"], "--profile"),
        (["--saml", CORP, "--endpoint", "ftp://x"], "--endpoint"),
    ],
)
def test_wrong_usage(tmp_path: Path, gateway: Gateway, options: Sequence[str], text: str) -> None:
    program = Program(tmp_path, gateway, *options)
    status, _, errors = program.end("")
    assert status == 2 and text in errors
