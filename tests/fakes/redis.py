"""A real redis-server for a test: loopback, a free port, a directory and a password of its own."""

import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self


class RedisServer:
    """Started on entry (or by `start`), ended on exit. `settings`: lines of redis.conf, beside or in place of ours.

    By default: append-only file with `appendfsync always`, no snapshots, `noeviction`. `binary`: another than the
    `redis-server` of the machine.
    """

    arguments: Sequence[str] = ()

    def __init__(
        self, directory: Path, *, password: str | None = None, binary: str | None = None, **settings: str
    ) -> None:
        self.directory = directory
        self.password = password or secrets.token_hex(8)
        self._binary = binary
        self.port = free_port()
        self.settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(directory),
            "requirepass": self.password,
            "masterauth": self.password,
            "appendonly": "yes",
            "appendfsync": "always",
            "save": '""',
            "maxmemory-policy": "noeviction",
            "logfile": str(directory / "redis.log"),
        } | {name.replace("_", "-"): value for name, value in settings.items()}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """`redis://…` with the password."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, also again on the same data, and return when it answers."""
        binary = self._binary or shutil.which("redis-server")
        if binary is None:
            raise RuntimeError("redis-server is not installed: apt-get install redis-server")
        self.directory.mkdir(parents=True, exist_ok=True)
        configuration = self.directory / "redis.conf"
        configuration.write_text("".join(f"{name} {value}\n" for name, value in self.settings.items()))
        command = [binary, str(configuration), *self.arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while self.command("PING") != "+PONG":
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"redis-server did not start; see {self.directory / 'redis.log'}")
            time.sleep(0.01)

    def command(self, *words: str) -> str:
        """One command past every client library; the first line of its reply, or the empty string."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                sent = "".join(_packed(command) for command in (("AUTH", self.password), words))
                connection.sendall(sent.encode())
                replies = connection.makefile("r", encoding="utf-8", newline="\r\n")
                replies.readline()
                return replies.readline().rstrip("\r\n")
        except OSError:
            return ""

    def kill(self) -> None:
        """SIGKILL: nothing is flushed."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM: the server shuts down in order."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP: sockets stay open and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _packed(words: tuple[str, ...]) -> str:
    return f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
