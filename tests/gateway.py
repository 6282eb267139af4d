"""A gateway as its operator runs it: `sojourn serve` in a process of its own, with a configuration of the test's."""

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.config import Config

from tests.fakes.server import free_port as free_port
from tests.waiting import WITHIN, until

SOJOURN = Path(sys.executable).with_name("sojourn")
_SERVES = "Sojourn serves "


def write_configuration(
    directory: Path, accounts: Mapping[str, Any], settings: Mapping[str, Any] | None = None
) -> None:
    """`sojourn.yaml` and one file an account, named by the keys of `accounts`."""
    (directory / "accounts").mkdir(parents=True, exist_ok=True)
    _replace(directory / "sojourn.yaml", yaml.safe_dump(dict(settings or {})))
    for name, account in accounts.items():
        _replace(directory / "accounts" / f"{name}.yaml", yaml.safe_dump(account, sort_keys=False))


def _replace(file: Path, text: str) -> None:
    """In one step: a gateway that looks just then reads the file before or this one."""
    written = file.with_suffix(".new")
    written.write_text(text)
    written.replace(file)


class Gateway:
    """One `sojourn serve`. `output` gathers what it prints; `audit` what it puts on record.

    `authority`: a file with that of its own certificate, which is localhost's, where it serves TLS.
    """

    def __init__(
        self,
        directory: Path,
        *,
        store: str | None = None,
        state: Path | None = None,
        workers: int = 1,
        authority: Path | None = None,
    ) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"https://localhost:{self.port}" if authority else f"http://127.0.0.1:{self.port}"
        self.authority = authority
        self.state = state or directory / "state"
        self._arguments = ["--workers", str(workers)] + (["--store", store] if store else [])
        self._log = directory / "gateway.log"
        self._audit = directory / "audit.jsonl"
        self.process: subprocess.Popen[bytes] | None = None
        self.opener = self.opener_with(None)

    def opener_with(self, certificate: tuple[Path, Path] | None) -> urllib.request.OpenerDirector:
        """What sends requests, with this client certificate and its key where it serves TLS."""
        if self.authority is None:
            return urllib.request.build_opener()
        context = ssl.create_default_context(cafile=self.authority)
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))

    def start(self, *, ready: bool = True) -> None:
        """Start and wait until all workers serve and it is ready (or, with `ready=False`, alive)."""
        served = self._printed.count(_SERVES)
        command = [SOJOURN, "serve", "--config", self.directory, "--port", self.port, "--state", self.state]
        with self._log.open("ab") as log, self._audit.open("ab") as audit:
            self.process = subprocess.Popen(
                [*map(str, command), *self._arguments], stdout=audit, stderr=log, env=clean_environment()
            )
        self.wait(ready=ready)
        until(lambda: self._printed.count(_SERVES) > served, f"not all workers serve:\n{self.log}")

    def wait(self, *, ready: bool = True) -> None:
        """Wait until it answers."""
        path = "/health/ready" if ready else "/health/live"
        deadline = time.monotonic() + WITHIN
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                raise AssertionError(f"the gateway ended:\n{self.log}")
            with contextlib.suppress(OSError), self.opener.open(self.url + path, timeout=10) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.02)
        raise AssertionError(f"the gateway does not answer:\n{self.log}")

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WITHIN)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def client(self, service: str = "sts", credentials: Mapping[str, str] | None = None, **options: Any) -> Any:
        """An unmodified boto3 client; `credentials` is a `Credentials` element or None for an unsigned client."""
        keys = {}
        if credentials is not None:
            keys = {
                "aws_access_key_id": credentials["AccessKeyId"],
                "aws_secret_access_key": credentials["SecretAccessKey"],
                "aws_session_token": credentials.get("SessionToken"),
            }
        config = Config(
            retries={"total_max_attempts": 1}, connect_timeout=60, read_timeout=60, parameter_validation=False
        )
        region, verify = options.pop("region", "us-east-1"), str(self.authority) if self.authority else None
        return boto3.client(service, endpoint_url=self.url, region_name=region, config=config, verify=verify, **keys)

    @property
    def log(self) -> str:
        """What it wrote to standard error."""
        return self._log.read_text() if self._log.exists() else ""

    @property
    def audit(self) -> list[dict[str, Any]]:
        """The audit records so far."""
        return [json.loads(line) for line in self._printed.split("\n")[:-1] if line.startswith("{")]

    @property
    def _printed(self) -> str:
        return self._audit.read_text() if self._audit.exists() else ""


def clean_environment() -> dict[str, str]:
    """The environment without what would lead AWS clients, or the gateway, elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SOJOURN_"))}
    return kept | {
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextlib.contextmanager
def running(gateway: Gateway, *, ready: bool = True) -> Iterator[Gateway]:
    """Start, and stop whatever happens."""
    try:
        gateway.start(ready=ready)
        yield gateway
    finally:
        try:
            gateway.stop()
        finally:
            gateway.kill()
