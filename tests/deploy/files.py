"""The files of `deploy/` as the tests use them."""

import contextlib
import socket
import subprocess
import time
from pathlib import Path

from tests.waiting import WITHIN

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def replaced(name: str, *pairs: tuple[str, str]) -> str:
    """A file of `deploy/` with other words in it, each of which must be there."""
    text = (DEPLOY / name).read_text()
    for old, new in pairs:
        assert old in text, f"{name} lacks {old}"
        text = text.replace(old, new)
    return text


def instructions(path: Path) -> list[tuple[str, str]]:
    """The instructions of a container file and their arguments, continued lines joined."""
    joined = path.read_text().replace("\\\n", "")
    lines = (line for line in joined.splitlines() if line and not line.startswith("#"))
    return [(name, " ".join(rest.split())) for name, _, rest in (line.partition(" ") for line in lines)]


def listening(port: int, process: subprocess.Popen[bytes], *, within: float = WITHIN) -> bool:
    """Whether `process` listens on the loopback port before it ends or `within` seconds are over."""
    deadline = time.monotonic() + within
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=20):
            return True
        time.sleep(0.02)
    return False
