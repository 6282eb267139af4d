"""The commands that need no gateway, as a person calls them: exit statuses, output, no traceback."""

import base64
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from broker.ids import account_of
from tests.gateway import SOJOURN, clean_environment

ROOT = Path(__file__).parents[2]


def run(
    *words: object, stdin: str = "", variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [str(SOJOURN), *map(str, words)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        env=clean_environment() | dict(variables or {}),
    )
    assert "Traceback" not in ended.stderr
    return ended


class TestCheck:
    def test_the_demonstration_has_no_findings(self) -> None:
        ended = run("check", "--config", ROOT / "config" / "demo", "--strict")
        assert (ended.returncode, ended.stdout) == (0, "")

    def test_the_examples_have_no_findings_once_their_variables_are_set(self) -> None:
        passwords = {"REDIS_PASSWORD": "redis", "LDAP_PASSWORD": "ldap", "BOB_SECRET_ACCESS_KEY": "s" * 40}
        made = {
            "SOJOURN_MASTER_KEY": run("generate", "master-key"),
            "ALICE_MFA_SEED": run("generate", "mfa-seed"),
            "BOB_MFA_SEED": run("generate", "mfa-seed"),
            "BOB_PASSWORD_HASH": run("generate", "password-hash", stdin="correct horse battery"),
        }
        variables = passwords | {name: ended.stdout.strip() for name, ended in made.items()}
        examples = ROOT / "config" / "examples"
        ended = run("check", "--config", examples, "--strict", variables=variables)
        assert (ended.returncode, ended.stdout) == (0, "")
        unset = run("check", "--config", examples)
        assert unset.returncode == 1
        for name in variables:
            assert name in unset.stdout

    @pytest.mark.parametrize("extra", [[], ["--json"]])
    def test_every_fault_has_its_file_and_line(self, tmp_path: Path, extra: list[str]) -> None:
        (tmp_path / "accounts").mkdir()
        (tmp_path / "sojourn.yaml").write_text("server:\n  prot: 8080\nkeys:\n  rotate_every: soon\n")
        (tmp_path / "accounts" / "a.yaml").write_text('Account: "111122223333"\nUsers:\n  - UserNam: alice\n')
        ended = run("check", "--config", tmp_path, *extra)
        assert ended.returncode == 1
        if extra:
            found = {(Path(each["file"]).name, each["line"]) for each in json.loads(ended.stdout)["errors"]}
            assert {("sojourn.yaml", 2), ("sojourn.yaml", 4), ("a.yaml", 3)} <= found
        else:
            assert "sojourn.yaml:2: error: " in ended.stdout
            assert "port" in ended.stdout
            assert "a.yaml:3: error: " in ended.stdout

    def test_warnings_alone_fail_only_when_strict(self, tmp_path: Path) -> None:
        (tmp_path / "accounts").mkdir()
        (tmp_path / "sojourn.yaml").write_text("")
        trust = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"AWS": "999988887777"}, "Action": "sts:AssumeRole"}],
        }
        role = {"RoleName": "r", "AssumeRolePolicyDocument": trust}
        (tmp_path / "accounts" / "a.yaml").write_text(yaml.safe_dump({"Account": "111122223333", "Roles": [role]}))
        assert run("check", "--config", tmp_path).returncode == 0
        assert "external-id" in run("check", "--config", tmp_path).stdout
        assert run("check", "--config", tmp_path, "--strict").returncode == 1


class TestInit:
    def test_what_it_writes_is_valid(self, tmp_path: Path) -> None:
        directory = tmp_path / "new"
        assert run("init", directory).returncode == 0
        assert run("check", "--config", directory, "--strict").returncode == 0

    def test_it_overwrites_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "mine").write_text("x")
        ended = run("init", tmp_path)
        assert ended.returncode == 1
        assert [each.name for each in tmp_path.iterdir()] == ["mine"]


class TestGenerate:
    def test_access_keys_carry_their_account(self) -> None:
        key = json.loads(run("generate", "access-key", "--account", "111122223333", "--json").stdout)
        assert key["AccessKeyId"].startswith("AKIA")
        assert account_of(key["AccessKeyId"]) == "111122223333"
        assert len(key["SecretAccessKey"]) == 40
        assert run("generate", "access-key", "--account", "1").returncode == 2

    def test_the_other_values(self) -> None:
        assert len(base64.b64decode(run("generate", "master-key").stdout)) == 32
        assert len(run("generate", "mfa-seed").stdout.strip()) == 64
        hashed = run("generate", "password-hash", stdin="correct horse\n")
        assert hashed.stdout.startswith("$argon2id$")
        assert "correct horse" not in hashed.stdout + hashed.stderr
        assert run("generate", "password-hash", stdin="\n").returncode == 1

    def test_no_hash_of_a_password_with_which_nobody_can_sign_in(self) -> None:
        ended = run("generate", "password-hash", stdin="x" * 1025 + "\n")
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr == "Error: a password has 1 to 1024 bytes of UTF-8 and no null character\n"


def test_wrong_usage() -> None:
    assert run("bogus").returncode == 2
    assert run("serve").returncode == 2
    assert run("check").returncode == 2
    assert run("serve", "--config", "/nowhere/at/all").returncode == 2


def test_serve_reports_every_fault_of_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "sojourn.yaml").write_text("server:\n  prot: 1\nstor: {}\n")
    ended = run("serve", "--config", tmp_path)
    assert ended.returncode == 1
    assert "sojourn.yaml:2:" in ended.stderr
    assert "sojourn.yaml:3:" in ended.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "gateway.example.test"])
def test_a_demonstration_is_for_this_machine_alone(tmp_path: Path, host: str) -> None:
    demonstration = tmp_path / "demo"
    shutil.copytree(ROOT / "config" / "demo", demonstration, ignore=shutil.ignore_patterns("state"))
    (demonstration / "sojourn.yaml").write_text("server:\n  public_url: https://gateway.example.test\n")
    ended = run("serve", "--config", demonstration, "--host", host)
    assert ended.returncode == 1
    assert ended.stderr.endswith(f"is a demonstration and listens on a loopback address only, not on {host}\n")
