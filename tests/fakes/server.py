"""What real servers of tests have in common: a child process on loopback that can be killed, stopped, paused."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from tests.fakes import child
from tests.waiting import WITHIN

_PORTS, _SHARE = range(12_000, 32_000), 200


class Server:
    """Started on entry (or by `start`), ended on exit."""

    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, also again on the same data, and return when it answers."""
        raise NotImplementedError

    def kill(self) -> None:
        """SIGKILL: nothing is flushed."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM: the server shuts down in order, also a paused one."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP: the kernel goes on accepting connections and nothing is answered.

        Returns when the last thread has stopped: until then others may answer.
        """
        child.pause(self.pid)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        self._signal(signal.SIGCONT)

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _launch(self, command: Sequence[str], answers: Callable[[], bool], *, failure: str) -> None:
        """Return when it answers. Raises RuntimeError with `failure` where it ends, or does not in time."""
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + WITHIN
        while not answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(failure)
            time.sleep(0.01)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(WITHIN)
            self._process = None


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on at present, nor is told of soon.

    Processes of tests run side by side: each has a share of the ports, below those that the kernel gives to outgoing
    connections. So nobody takes a port before its server has, nor while that is away.
    """
    return next(_free)


def _own_ports() -> Iterator[int]:
    shares = [_PORTS[start : start + _SHARE] for start in range(0, len(_PORTS), _SHARE)]
    offset = os.getpid() % len(shares)
    for share in shares[offset:] + shares[:offset]:
        # Whoever holds its first port has the share.
        with socket.socket() as guard, contextlib.suppress(OSError):
            guard.bind(("127.0.0.1", share[0]))
            yield from filter(_is_free, itertools.cycle(share[1:]))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


_free = _own_ports()
