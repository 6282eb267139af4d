"""A real redis-server for a test: loopback, a free port, a directory and a password of its own."""

import secrets
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from tests.fakes.server import Server, free_port


class RedisServer(Server):
    """`settings`: lines of redis.conf, beside or in place of ours.

    By default: append-only file with `appendfsync always`, no snapshots, `noeviction`, replicas in step at once.
    `binary`: another than the `redis-server` of the machine.
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
            "repl-diskless-sync-delay": "0",
            "maxmemory-policy": "noeviction",
            "logfile": str(directory / "redis.log"),
        } | {name.replace("_", "-"): value for name, value in settings.items()}

    @property
    def url(self) -> str:
        """`redis://…` with the password."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start, also again on the same data, and return when it answers."""
        binary = self._binary or shutil.which("redis-server")
        if binary is None:
            raise RuntimeError("redis-server is not installed: apt-get install redis-server")
        self.directory.mkdir(parents=True, exist_ok=True)
        configuration = self.directory / "redis.conf"
        configuration.write_text("".join(f"{name} {value}\n" for name, value in self.settings.items()))
        command = [binary, str(configuration), *self.arguments]
        failure = f"redis-server did not start; see {self.directory / 'redis.log'}"
        self._launch(command, lambda: self.command("PING") == "+PONG", failure=failure)

    def followed(self) -> bool:
        """Whether a replica has acknowledged everything so far."""
        return self.command("WAIT", "1", "100") == ":1"

    def command(self, *words: str) -> str:
        """One command past every client library; the first line of its reply, or the empty string."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
                sent = "".join(_packed(command) for command in (("AUTH", self.password), words))
                connection.sendall(sent.encode())
                replies = connection.makefile("r", encoding="utf-8", newline="\r\n")
                replies.readline()
                return replies.readline().rstrip("\r\n")
        except OSError:
            return ""


def _packed(words: tuple[str, ...]) -> str:
    return f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
