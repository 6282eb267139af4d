"""Commands in surroundings that nobody wished for: one sentence, an exit status, no traceback."""

import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from tests.gateway import SOJOURN, clean_environment

KEYS = {"AWS_ACCESS_KEY_ID": "AKIARTX3GSDSQHHD3BXA", "AWS_SECRET_ACCESS_KEY": "s" * 40}
NOBODY = "http://127.0.0.1:9"


def run(words: str, variables: Mapping[str, str] | None = None) -> tuple[int, str]:
    """A shell's line, for its redirections: the exit status, and what was said on standard error."""
    ended = subprocess.run(
        ["/bin/sh", "-c", f'"$SOJOURN" {words}'],
        capture_output=True,
        timeout=120,
        env=clean_environment() | {"SOJOURN": str(SOJOURN)} | dict(variables or {}),
    )
    said = ended.stderr.decode(errors="replace")
    assert "Traceback" not in said
    return ended.returncode, said


@pytest.mark.parametrize(
    "endpoint",
    [
        "nonsense",
        "ftp://x",
        "http://x:99999",
        "http://x:0",
        "http://[::1",
        "http://a..b",
        "http://a b",
        "http://" + "a" * 70,
    ],
)
def test_an_endpoint_that_is_none_is_wrong_usage(endpoint: str) -> None:
    status, said = run(f"whoami --endpoint '{endpoint}'", KEYS)
    assert (status, f"{endpoint} is not an http or https address" in said) == (2, True)


@pytest.mark.parametrize("content", [b"garbage\n", b"[default]\n[default]\n", b"[default]\naws_access_key_id = \xff\n"])
def test_a_file_that_holds_no_credentials(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "credentials"
    file.write_bytes(content)
    status, said = run("whoami", {"AWS_SHARED_CREDENTIALS_FILE": str(file)})
    assert (status, f"{file} is not a file of credentials" in said) == (1, True)


def test_a_profile_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = AKIAX\n")
    status, said = run("whoami", {"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_PROFILE": "work"})
    assert (status, f"{file} has none of the profile work" in said) == (1, True)


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_REGION"])
def test_a_line_break_in_a_variable_is_told_and_the_variable_is_not(name: str) -> None:
    status, said = run(f"whoami --endpoint {NOBODY}", KEYS | {name: "precious\nvalue"})
    assert (status, "such as a line break" in said, "precious" in said) == (1, True, False)


@pytest.mark.parametrize(
    "words", ["assume arn:aws:iam::444455556666:role/deploy --external-id", "sessions list --source-identity"]
)
def test_an_argument_that_is_no_text(words: str) -> None:
    status, said = run(f"{words} \"$(printf 'a\\377')\"", KEYS)
    assert (status, "is no utf-8 text" in said) == (2, True)


@pytest.mark.parametrize("words", ["--saml corp", "--ldap corp", "--saml arn:aws:iam::111122223333:ldap-provider/corp"])
def test_a_sign_in_names_a_provider_of_its_kind(words: str) -> None:
    status, said = run(f"login {words}")
    assert (status, "name the provider by its ARN" in said) == (2, True)


def test_output_that_cannot_be_written() -> None:
    assert run("generate master-key > /dev/full") == (
        1,
        "Error: standard output cannot be written: No space left on device\n",
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_nothing_runs_where_its_output_is_closed(closed: str) -> None:
    assert run(f"generate master-key {closed}")[0] == 1


def test_a_state_directory_that_cannot_be(tmp_path: Path) -> None:
    run(f"init {tmp_path}/c")
    status, said = run(f"serve --config {tmp_path}/c --state /proc/nowhere")
    assert (status, "/proc/nowhere cannot be the state directory" in said) == (1, True)


def test_a_host_that_has_no_address(tmp_path: Path) -> None:
    run(f"init {tmp_path}/c")
    status, said = run(f"serve --config {tmp_path}/c --host no.such.invalid", {"SOJOURN_PUBLIC_URL": "https://x.test"})
    assert (status, "cannot listen on no.such.invalid port 8080: " in said) == (1, True)


def test_a_file_that_holds_no_master_key(tmp_path: Path) -> None:
    run(f"init {tmp_path}/c")
    (tmp_path / "c" / "state").mkdir()
    (tmp_path / "c" / "state" / "master-key").write_text("c2hvcnQ=")
    status, said = run(f"serve --config {tmp_path}/c")
    assert (status, f"{tmp_path}/c/state/master-key: a master key is base64 of 32 bytes" in said) == (1, True)


@pytest.mark.parametrize("flag", ["--port 0", "--port 65536", "--workers 0", "--workers 257"])
def test_a_number_out_of_its_range_is_wrong_usage(tmp_path: Path, flag: str) -> None:
    assert run(f"serve --config {tmp_path} {flag}")[0] == 2


def test_an_interrupted_command_ends_in_a_word() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [str(SOJOURN), "whoami", "--endpoint", f"http://127.0.0.1:{listener.getsockname()[1]}"]
        with subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            env=clean_environment() | KEYS,
            # Whoever runs the tests in the background of a script has it ignored.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        ) as waiting:
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(1)
                os.kill(waiting.pid, signal.SIGINT)
                _, said = waiting.communicate(timeout=120)
    assert (waiting.returncode, said.strip()) == (1, b"Aborted!")
