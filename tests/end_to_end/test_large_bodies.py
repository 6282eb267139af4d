"""Large bodies of strangers: they take no more memory than there is for them, and nobody's small request waits."""

import contextlib
import http.client
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.test_operations import children
from tests.end_to_end.world import ALICE
from tests.gateway import Gateway
from tests.waiting import until

SIZE = 9_900_000
HEAD = (
    "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: of nobody\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    f"Content-Length: {SIZE}\r\n\r\n"
).encode()


@contextlib.contextmanager
def unfinished(gateway: Gateway, count: int) -> Iterator[list[socket.socket]]:
    """Connections on which all but the last byte of a large body was sent, as far as the gateway took it."""
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=60)) for _ in range(count)
        ]
        for connection in connections:
            with contextlib.suppress(ConnectionError):
                connection.sendall(HEAD + b"a" * (SIZE - 1))
        yield connections


def status(connection: socket.socket) -> int:
    return int(connection.recv(12).removeprefix(b"HTTP/1.1 "))


def large(gateway: Gateway, size: int) -> int:
    """The status for one more, whole."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("POST", "/", b"a" * size, {"Authorization": "of nobody", "Content-Type": "text/plain"})
        return connection.getresponse().status


def test_bodies_that_arrive_share_what_room_there_is(gateway: Gateway) -> None:
    with unfinished(gateway, 8) as connections:
        assert [status(each) for each in connections[6:]] == [503, 503]
        assert large(gateway, 9_000_000) == 503
        assert gateway.client(credentials=ALICE).get_caller_identity()
        assert large(gateway, 60_000) == 400
        connections[0].settimeout(0.2)
        with pytest.raises(TimeoutError):
            status(connections[0])
    until(lambda: large(gateway, 9_000_000) != 503)


def test_a_refusal_lets_go_of_its_body(gateway: Gateway) -> None:
    assert gateway.process is not None
    (worker,) = children(gateway.process.pid)["sojourn"]
    large(gateway, SIZE)
    before = resident(worker)
    for _ in range(30):
        assert large(gateway, SIZE) == 400
    assert resident(worker) < before + 100_000


def resident(process: int) -> int:
    """KB of memory that it holds."""
    found = re.search(r"VmRSS:\s*([0-9]+)", Path(f"/proc/{process}/status").read_text())
    assert found is not None
    return int(found[1])
