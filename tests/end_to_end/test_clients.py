"""Stock clients, told about the gateway by environment alone: the aws command line, the JavaScript SDK, our own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.world import ALICE, PROD, role_arn
from tests.fakes.npm import commands, install
from tests.fakes.redis import RedisServer
from tests.gateway import SOJOURN, Gateway, clean_environment, running
from tests.waiting import until

ROOT = Path(__file__).parents[2]
AWS = Path(sys.prefix) / "aws-cli" / "bin" / "aws"
JAVASCRIPT = Path(__file__).parent / "javascript"


def environment(gateway: Gateway) -> dict[str, str]:
    return clean_environment() | {
        "AWS_ACCESS_KEY_ID": ALICE["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": ALICE["SecretAccessKey"],
        "AWS_ENDPOINT_URL_STS": gateway.url,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "PATH": f"{AWS.parent}:{SOJOURN.parent}:{os.environ['PATH']}",
    }


def run(gateway: Gateway, *argv: object, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in argv], capture_output=True, text=True, timeout=120, env=environment(gateway) | more
    )


class TestAwsCommandLine:
    def test_switching_role_with_an_external_id(self, gateway: Gateway) -> None:
        role = role_arn("partners/external")
        words = ("sts", "assume-role", "--role-arn", role, "--role-session-name", "cli", "--external-id")
        answer = json.loads(run(gateway, AWS, *words, "right-1").stdout)
        session = run(
            gateway,
            AWS,
            "sts",
            "get-caller-identity",
            AWS_ACCESS_KEY_ID=answer["Credentials"]["AccessKeyId"],
            AWS_SECRET_ACCESS_KEY=answer["Credentials"]["SecretAccessKey"],
            AWS_SESSION_TOKEN=answer["Credentials"]["SessionToken"],
        )
        assert json.loads(session.stdout)["Arn"] == f"arn:aws:sts::{PROD}:assumed-role/external/cli"
        denied = run(gateway, AWS, *words, "wrong-1")
        assert denied.returncode != 0
        assert "(AccessDenied)" in denied.stderr

    def test_tags_policies_and_the_other_actions(self, gateway: Gateway) -> None:
        tagged = run(
            gateway,
            AWS,
            *("sts", "assume-role", "--role-arn", role_arn("open"), "--role-session-name", "cli"),
            *("--tags", "Key=team,Value=web", "Key=a,Value=b", "--transitive-tag-keys", "team"),
            *("--policy-arns", "arn=arn:aws:iam::aws:policy/ReadOnlyAccess", "--source-identity", "alice"),
        )
        answer = json.loads(tagged.stdout)
        assert answer["SourceIdentity"] == "alice"
        assert answer["PackedPolicySize"] > 0
        assert json.loads(run(gateway, AWS, "sts", "get-session-token").stdout)["Credentials"]
        federated = json.loads(run(gateway, AWS, "sts", "get-federation-token", "--name", "cli").stdout)
        assert federated["FederatedUser"]["FederatedUserId"].endswith(":cli")
        info = run(gateway, AWS, "sts", "get-access-key-info", "--access-key-id", answer["Credentials"]["AccessKeyId"])
        assert json.loads(info.stdout)["Account"] == PROD

    def test_a_chained_profile(self, gateway: Gateway, tmp_path: Path) -> None:
        config = tmp_path / "config"
        config.write_text(
            f"[profile base]\nregion=us-east-1\n[profile open]\nregion=us-east-1\nrole_arn={role_arn('open')}\n"
            f"credential_source=Environment\n[profile next]\nregion=us-east-1\nrole_arn={role_arn('next')}\n"
            "source_profile=open\nrole_session_name=chained\n"
        )
        # The command line keeps assumed roles under HOME, whatever gateway they came from.
        home = {"AWS_CONFIG_FILE": str(config), "HOME": str(tmp_path)}
        answer = run(gateway, AWS, "sts", "get-caller-identity", "--profile", "next", **home)
        assert answer.returncode == 0, answer.stderr
        assert json.loads(answer.stdout)["Arn"].endswith("assumed-role/next/chained")


@pytest.fixture(scope="module")
def javascript() -> Path:
    """The directory of the script, its packages installed."""
    install(JAVASCRIPT)
    return JAVASCRIPT


class TestJavaScript:
    def test_the_sdk_assumes_a_role(self, gateway: Gateway, javascript: Path) -> None:
        answer = run(gateway, commands()[0], javascript / "assume.mjs", role_arn("partners/external"), "right-1")
        assert json.loads(answer.stdout)["Arn"] == f"arn:aws:sts::{PROD}:assumed-role/external/javascript"

    def test_the_sdk_reads_our_refusal(self, gateway: Gateway, javascript: Path) -> None:
        answer = run(gateway, commands()[0], javascript / "assume.mjs", role_arn("partners/external"), "wrong-1")
        refusal = json.loads(answer.stdout)
        assert (refusal["name"], refusal["status"]) == ("AccessDenied", 403)


class TestOurOwn:
    def test_whoami(self, gateway: Gateway) -> None:
        assert json.loads(run(gateway, SOJOURN, "whoami", "--json").stdout)["Arn"].endswith("user/people/alice")
        wrong = run(gateway, SOJOURN, "whoami", AWS_SECRET_ACCESS_KEY="x" * 40)
        assert wrong.returncode == 1
        assert wrong.stderr.startswith("Error: SignatureDoesNotMatch: ")
        gone = run(gateway, SOJOURN, "whoami", "--endpoint", "http://127.0.0.1:9")
        assert (gone.returncode, "does not answer" in gone.stderr) == (1, True)
        assert run(gateway, SOJOURN, "whoami", "--endpoint", "ftp://x").returncode == 2

    def test_assume_in_every_shape(self, gateway: Gateway) -> None:
        role = role_arn("partners/external")
        words = (SOJOURN, "assume", role, "--external-id", "right-1", "--session-name", "own")
        process = json.loads(run(gateway, *words).stdout)
        assert process["Version"] == 1
        assert process["AccountId"] == PROD
        shell = run(
            gateway, "bash", "-c", f'eval "$({" ".join(map(str, words))} --format export)"; sojourn whoami --json'
        )
        assert json.loads(shell.stdout)["Arn"].endswith("assumed-role/external/own")
        executed = run(gateway, *words, "--exec", "--", SOJOURN, "whoami", "--json")
        assert json.loads(executed.stdout)["Arn"].endswith("assumed-role/external/own")
        assert "AWS_SESSION_TOKEN" in run(gateway, *words, "--format", "table").stdout
        denied = run(gateway, SOJOURN, "assume", role, "--external-id", "wrong-1")
        assert (denied.returncode, denied.stdout) == (1, "")
        assert denied.stderr.startswith("Error: AccessDenied: ")
        assert run(gateway, SOJOURN, "assume", role, "--tag", "nonsense").returncode == 2

    def test_credential_process_in_a_profile(self, gateway: Gateway, tmp_path: Path) -> None:
        config = tmp_path / "config"
        config.write_text(
            "[profile open]\nregion=us-east-1\n"
            f"credential_process=env AWS_PROFILE= {SOJOURN} assume {role_arn('open')}\n"
        )
        home = {"AWS_CONFIG_FILE": str(config), "HOME": str(tmp_path)}
        answer = run(gateway, AWS, "sts", "get-caller-identity", "--profile", "open", **home)
        assert ":assumed-role/open/" in json.loads(answer.stdout)["Arn"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("demo")
    shutil.copytree(ROOT / "config" / "demo", directory / "demo", ignore=shutil.ignore_patterns("state"))
    with (
        RedisServer(directory / "redis") as server,
        running(Gateway(directory / "demo", store=server.url)) as gateway,
    ):
        yield gateway


class TestDemonstration:
    def test_the_printed_commands_work_word_for_word(self, demo: Gateway) -> None:
        printed = until(lambda: (demo.directory / "audit.jsonl").read_text().partition("in another shell:\n\n")[2])
        lines = [line for line in printed.partition("\n\n")[0].splitlines() if not line.startswith("{")]
        assert len(lines) >= 4
        script = "set -e\n" + "\n".join(f"{line}; echo ' --'" if number else line for number, line in enumerate(lines))
        env = clean_environment() | {"PATH": f"{AWS.parent}:{SOJOURN.parent}:{os.environ['PATH']}"}
        ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120, env=env, cwd=ROOT)
        assert ran.returncode == 0, ran.stderr
        answers: list[Any] = [json.loads(each) for each in ran.stdout.split(" --\n") if each.strip()]
        assert answers[0]["Arn"].endswith("user/alice")
        assert all("Credentials" in each or "AccessKeyId" in each for each in answers[1:])

    def test_it_listens_on_loopback_only(self, demo: Gateway) -> None:
        ended = subprocess.run(
            [str(SOJOURN), "serve", "--config", str(demo.directory), "--host", "0.0.0.0"],
            capture_output=True,
            text=True,
            timeout=120,
            env=clean_environment() | {"SOJOURN_PUBLIC_URL": "http://example.org"},
        )
        assert ended.returncode == 1
        assert "loopback" in ended.stderr

    def test_its_keys_are_private_and_stay(self, demo: Gateway) -> None:
        kept = demo.state / "demo" / "alice.json"
        assert kept.stat().st_mode & 0o777 == 0o600
        before = kept.read_bytes()
        demo.stop()
        demo.start()
        assert kept.read_bytes() == before
