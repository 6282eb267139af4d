"""The page for resource servers: its service runs as it stands there, and importing the package pulls in little."""

import contextlib
import http.client
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.resource_world import signed
from tests.end_to_end.world import DEV, new_key
from tests.gateway import Gateway, clean_environment, free_port, running
from tests.waiting import WITHIN, until

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "resource-servers.md").read_text("utf-8").partition("## In Python\n")[2]
SERVICE, ALICE = new_key(DEV), new_key(DEV)


def block(language: str, number: int = 0) -> str:
    text: str = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[number]
    return text


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """With the account of the page."""
    for name, key in (("SERVICE", SERVICE), ("ALICE", ALICE)):
        monkeypatch.setenv(f"{name}_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv(f"{name}_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    (tmp_path / "accounts").mkdir()
    (tmp_path / "accounts" / "dev.yaml").write_text(block("yaml"))
    (tmp_path / "sojourn.yaml").write_text("{}")
    with running(Gateway(tmp_path)) as gateway:
        yield gateway


@contextlib.contextmanager
def serving(gateway: Gateway, directory: Path, *command: str) -> Iterator[int]:
    """The port of a service that is started in `directory`."""
    port = free_port()
    environment = clean_environment() | {
        "AWS_ACCESS_KEY_ID": SERVICE["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": SERVICE["SecretAccessKey"],
        "GATEWAY": f"http://localhost:{gateway.port}",
        "PORT": str(port),
        "PYTHONPATH": str(ROOT),
    }
    words = [sys.executable, *(word.replace("PORT", str(port)) for word in command)]
    process = subprocess.Popen(words, cwd=directory, env=environment)
    try:
        until(lambda: _answers(port) or process.poll() is not None)
        yield port
    finally:
        process.terminate()
        process.wait(WITHIN)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        get(port, "/health")
        return True
    return False


def get(port: int, target: str, headers: dict[str, str] | None = None, method: str = "GET", body: bytes = b"") -> Any:
    connection = http.client.HTTPConnection("localhost", port, timeout=60)
    try:
        connection.request(method, target, body or None, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_the_service_of_the_page(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "reports.py").write_text(block("python"))
    printed = [line for line in block("console").splitlines() if not line.startswith("$")]
    with serving(gateway, tmp_path, "reports.py") as port:

        def call(target: str, method: str = "GET", body: bytes = b"") -> Any:
            request = signed(ALICE, method, f"http://localhost:{port}{target}", body, service="reports")
            return get(port, target, request["headers"], method, body)

        assert get(port, "/health") == (200, "well")
        assert call("/reports/hers") == (200, printed[0])
        status, body = call("/reports/his")
        assert (status, json.loads(body)) == (403, json.loads(printed[1]))
        assert call("/reports/hers", "PUT", b"text") == (200, f"4 bytes from arn:aws:iam::{DEV}:user/alice")
        assert get(port, "/me")[0] == 401


def test_the_asgi_application_of_the_page(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "reports.py").write_text(block("python"))
    (tmp_path / "served.py").write_text(block("python", 1))
    with serving(gateway, tmp_path, "-m", "uvicorn", "served:application", "--port", "PORT") as port:
        assert get(port, "/me", {"Authorization": "Bearer nonsense"})[0] == 401
        assert get(port, "/elsewhere")[0] == 403


def test_importing_it_imports_nothing_of_the_gateway() -> None:
    listing = "import sys, broker.client, broker.client.asgi; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True, cwd=ROOT)
    modules = set(run.stdout.split())
    rooms = {".".join(name.split(".")[:2]) for name in modules if name.startswith("broker.")}
    assert rooms == {"broker.client", "broker.clock", "broker.errors", "broker.mapping", "broker.sigv4"}
    heavy = {"aiohttp.web", "click", "ldap3", "lxml", "pydantic", "redis", "saml2", "starlette", "yaml"}
    assert not modules & heavy
