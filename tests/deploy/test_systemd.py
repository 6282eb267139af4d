"""The systemd unit: systemd has nothing to say against it, and its command starts, reloads and ends as it says."""

import ctypes
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY, replaced
from tests.gateway import SOJOURN, clean_environment, free_port
from tests.waiting import WITHIN, until

ANALYZE = shutil.which("systemd-analyze")
PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1


class Unit(ConfigParser):
    """A unit; of a name given twice the last counts here."""

    def __init__(self, text: str) -> None:
        super().__init__(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
        self.optionxform = str  # type: ignore[assignment]
        self.read_string(text)


SERVICE = Unit((DEPLOY / "sojourn.service").read_text())["Service"]


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed: the unit is not checked by systemd")
def test_systemd_knows_every_word_and_sees_little_exposure(tmp_path: Path) -> None:
    unit = tmp_path / "sojourn.service"
    unit.write_text(replaced("sojourn.service", ("/opt/sojourn/bin/sojourn", str(SOJOURN))))
    verified = subprocess.run([str(ANALYZE), "verify", unit], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")
    # Of 10.0; above the threshold (in tenths) the exit status is not 0.
    security = [str(ANALYZE), "security", "--offline=true", "--threshold=15", str(unit)]
    assert subprocess.run(security, capture_output=True).returncode == 0


class Started:
    """The unit's command on a configuration of the test's own, told of a service manager's socket."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.directory = directory
        configuration, credentials = directory / "etc", directory / "credentials"
        subprocess.run([SOJOURN, "init", configuration], check=True, capture_output=True)
        credentials.mkdir()
        name, _, _ = SERVICE["LoadCredential"].partition(":")
        key = subprocess.run([SOJOURN, "generate", "master-key"], check=True, capture_output=True).stdout
        (credentials / name).write_bytes(key)
        master = f"${{file:/run/credentials/sojourn.service/{name}}}"
        assert master in (DEPLOY / "sojourn.service").read_text()
        settings = f'keys: {{master: "{master}"}}\n'.replace("/run/credentials/sojourn.service", str(credentials))
        (configuration / "sojourn.yaml").write_text(settings)
        places = {
            "/opt/sojourn/bin/sojourn": str(SOJOURN),
            "/etc/sojourn": str(configuration),
            "/var/lib/sojourn": str(directory / "state"),
        }
        self.command = [*(places.get(word, word) for word in SERVICE["ExecStart"].split()), "--port", str(self.port)]
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(directory / "notify"))
        self.manager.settimeout(WITHIN)
        with (directory / "log").open("wb") as log:
            self.process = subprocess.Popen(
                self.command,
                env=clean_environment() | {"NOTIFY_SOCKET": str(directory / "notify")},
                stdout=log,
                stderr=log,
                preexec_fn=refuse_executable_memory,
            )

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def ready(self) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=60) as answer:
            return bool(answer.status == 200)


def refuse_executable_memory() -> None:
    """As `MemoryDenyWriteExecute`, where the kernel can by itself (Linux 6.3)."""
    ctypes.CDLL(None).prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    started = Started(tmp_path)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()
        started.manager.close()


def test_systemd_is_told_when_it_serves_and_told_to_stop_it_drains(started: Started) -> None:
    assert SERVICE["Type"] == "notify"
    assert started.manager.recv(100) == b"READY=1"
    assert started.ready()

    assert SERVICE["ExecReload"] == "/bin/kill -HUP $MAINPID"
    started.process.send_signal(signal.SIGHUP)
    until(lambda: "configuration loaded" in started.log)

    # `KillMode=mixed`: the parent alone gets the signal.
    assert SERVICE["KillMode"] == "mixed"
    started.process.send_signal(signal.SIGTERM)
    assert started.process.wait(float(SERVICE["TimeoutStopSec"])) == 0
