"""The container files: what they name exists; the gateway's build and start work as they say, without a container."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY, ROOT, instructions
from tests.gateway import clean_environment, free_port
from tests.waiting import WITHIN, until

GATEWAY = instructions(DEPLOY / "Containerfile")
BUILD = GATEWAY[: [name for name, _ in GATEWAY].index("FROM", 2)]
RUN = GATEWAY[len(BUILD) :]
PREFIX = "/opt/sojourn"


def only(name: str) -> str:
    """The argument of the one such instruction of the image that runs."""
    (found,) = [rest for each, rest in RUN if each == name]
    return found


def environment() -> dict[str, str]:
    return dict(pair.partition("=")[::2] for pair in shlex.split(only("ENV")))


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("Containerfile")), ids=lambda path: str(path.parent.name))
def test_an_image_is_public_has_a_tag_and_an_ordinary_user(path: Path) -> None:
    lines = instructions(path)
    defaults = dict(rest.partition("=")[::2] for name, rest in lines if name == "ARG")
    bases = [re.sub(r"\$\{(\w+)\}", lambda found: defaults[found[1]], rest) for name, rest in lines if name == "FROM"]
    for base in bases:
        assert re.fullmatch(r"docker\.io/library/[a-z]+:[a-z0-9.-]+( AS build)?", base), base
        assert ":latest" not in base
    assert [rest for name, rest in lines if name == "USER"][-1].split(":")[0] not in ("root", "0")
    assert ("STOPSIGNAL", "SIGTERM") in lines
    context = ROOT if path.parent == DEPLOY else path.parent
    for source in sources(lines):
        assert (context / source).exists(), source


def sources(lines: list[tuple[str, str]]) -> list[str]:
    """What is copied from the build's context."""
    copied = [rest.split()[:-1] for name, rest in lines if name == "COPY" and not rest.startswith("--from")]
    return [source for each in copied for source in each]


def test_the_context_holds_what_is_copied_and_no_more() -> None:
    everything, *kept, caches = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert everything == "*"
    assert caches == "**/__pycache__"
    assert sorted(kept) == sorted(f"!{source}" for source in sources(GATEWAY))


def test_nothing_secret_is_baked_in() -> None:
    assert [name for name in environment() if re.search("PASSWORD|SECRET|KEY|TOKEN", name)] == []
    locked = "pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/run.txt"
    assert [rest for name, rest in BUILD if name == "RUN" and rest.endswith(locked)] != []


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build, run by hand. The locked dependencies are those of the tests, which the same command installed."""
    place: Path = tmp_path_factory.mktemp("image")
    work, prefix = place / "build", place / "opt"
    work.mkdir()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for name, rest in BUILD:
        if name == "COPY":
            *copied, target = rest.split()
            for source in copied:
                to = work / target if target != "./" else work / source
                to.parent.mkdir(parents=True, exist_ok=True)
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / source, to)
        elif name == "RUN" and "--require-hashes" in rest:
            (packages,) = prefix.glob("lib/python*/site-packages")
            for bundled in packages.glob("setuptools*"):  # the locked one takes its place
                shutil.rmtree(bundled)
            (packages / "locked.pth").write_text(sysconfig.get_path("purelib"))
        elif name == "RUN":
            command = rest.replace(PREFIX, str(prefix))
            subprocess.run(["sh", "-ec", command], cwd=work, check=True, env=clean_environment() | {"PATH": path})
    return prefix


def test_every_file_of_the_packages_is_installed(installed: Path) -> None:
    (packages,) = installed.glob("lib/python*/site-packages")
    for package in ("broker", "providers"):
        here = {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*") if path.is_file()}
        there = {str(path.relative_to(packages)) for path in (packages / package).rglob("*") if path.is_file()}
        assert {each for each in here - there if "__pycache__" not in each} == set()


@pytest.fixture(scope="module")
def container(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The image's command with the image's environment, a port and directories of the test's own; that environment."""
    place: Path = tmp_path_factory.mktemp("container")
    configuration = place / "etc"
    subprocess.run([installed / "bin" / "sojourn", "init", configuration], check=True, capture_output=True)
    variables = clean_environment() | environment()
    variables |= {
        "PATH": f"{installed / 'bin'}:{os.environ['PATH']}",
        "SOJOURN_PORT": str(free_port()),
        "SOJOURN_STATE": str(place / "state"),
        "SOJOURN_PUBLIC_URL": "https://sts.acme.test",
    }
    command = [*json.loads(only("ENTRYPOINT")), *json.loads(only("CMD"))]
    command = [word.replace("/etc/sojourn", str(configuration)) for word in command]
    # Nothing but the state directory may be written to.
    for path in configuration.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(command, env=variables, cwd="/", stdout=log, stderr=log)
    try:
        until(lambda: health(variables) == 0 or process.poll() is not None)
        assert process.poll() is None, (place / "log").read_text()
        yield variables
    finally:
        process.send_signal(getattr(signal, only("STOPSIGNAL")))
        status = process.wait(WITHIN)
    assert status == 0
    assert health(variables) != 0


def health(variables: dict[str, str]) -> int:
    """The exit status of the image's health check."""
    command = json.loads(only("HEALTHCHECK").partition("CMD ")[2])
    return subprocess.run(command, env=variables, capture_output=True).returncode


def test_what_was_installed_serves_its_pages_and_policies(container: dict[str, str]) -> None:
    base = f"http://127.0.0.1:{container['SOJOURN_PORT']}"
    with urllib.request.urlopen(f"{base}/login", timeout=60) as answer:
        page = answer.read().decode()
    assets = re.findall(r"/assets/[^\"]+", page)
    assert assets != []
    for asset in assets:
        with urllib.request.urlopen(base + asset, timeout=60) as answer:
            assert answer.status == 200
    # The configuration that `sojourn init` writes gives a role a ready-made policy; a missing one would be a fault.
    with urllib.request.urlopen(f"{base}/health/ready", timeout=60) as answer:
        assert answer.status == 200
