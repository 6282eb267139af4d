"""`sojourn serve`: one parent that owns the port, the embedded store and the workers; N workers that answer.

The parent has no event loop. It reserves the port, starts the embedded server where one is wanted, forks the workers
(each listens on the port by itself, SO_REUSEPORT) and then waits for signals: a worker or store that died is started
again, SIGHUP is passed on, SIGTERM drains. Whatever happens to the parent, its children end with it.
"""

import asyncio
import contextlib
import errno
import logging
import os
import secrets
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from mmap import mmap
from pathlib import Path

from aiohttp import web

from broker.app import build
from broker.audit import Trail
from broker.clock import utc_now
from broker.directory.directory import Directory
from broker.sealing import MasterKeys
from broker.settings import Settings
from broker.stores import open_store
from broker.stores.contract import Store, StoreMisconfigured, StoreUnavailable
from broker.stores.embedded import EmbeddedServer, EmbeddedServerFailed
from broker.worker import DRAIN, be_worker, bind

_STARTED_WITHIN = 30.0
_POLL_STORE_EVERY = 0.5
_KNOWN = "store-known"

log = logging.getLogger("sojourn")


class CannotServe(Exception):
    """The gateway cannot start; the message says what to change."""


@dataclass(slots=True)
class _Worker:
    """`pid`: None for one that did not come up."""

    pid: int | None
    started: float

    @property
    def lives(self) -> bool:
        if self.pid is None:
            return False
        try:
            return os.waitpid(self.pid, os.WNOHANG)[0] == 0
        except ChildProcessError:
            return False

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal, where it lives."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


@dataclass(slots=True)
class Supervisor:
    """The parent. `ready` is called once, when every worker listens."""

    directory: Directory
    masters: MasterKeys
    audit_path: Path | None
    ready: Callable[[], None]
    torn: mmap = field(default_factory=partial(mmap, -1, 1))
    """What the workers' audit trails share."""
    _workers: list[_Worker] = field(default_factory=list)
    _embedded: EmbeddedServer | None = None

    @property
    def _settings(self) -> Settings:
        return self.directory.snapshot.settings

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; the exit status.

        Raises:
            CannotServe: the port is taken, the store is misconfigured, or the workers do not come up.
        """
        signals = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        settings = self._settings
        with reserve(settings.server.host, settings.server.port) as reserved:
            try:
                if settings.store.url == "embedded://":
                    self._embedded = EmbeddedServer(settings.state)
                    self._embedded.start()
                _inspect(self._open_store(), settings.state / _KNOWN)
                for _ in range(settings.server.workers):
                    self._workers.append(self._start_worker(reserved))
                self.ready()
                return self._watch(reserved, signals)
            except (StoreMisconfigured, EmbeddedServerFailed) as error:
                raise CannotServe(str(error)) from error
            finally:
                self._stop_workers()
                if self._embedded is not None:
                    self._embedded.stop()

    def _open_store(self) -> Store:
        settings = self._settings
        return open_store(settings.store.url, now=utc_now, random=secrets.token_bytes, state=settings.state)

    def _application(self) -> web.Application:
        """Made in the worker, on its event loop."""
        trail = Trail(self.audit_path, self.torn)
        return build(self.directory, self._open_store(), self.masters, trail, now=utc_now, random=secrets.token_bytes)

    def _watch(self, reserved: socket.socket, signals: set[signal.Signals]) -> int:
        while True:
            received = signal.sigtimedwait(signals, _POLL_STORE_EVERY)
            number = received.si_signo if received is not None else None
            if number in (signal.SIGTERM, signal.SIGINT):
                log.info("draining")
                return 0
            if number == signal.SIGHUP:
                for worker in self._workers:
                    worker.tell(signal.SIGHUP)
            self._revive(reserved)
            if self._embedded is not None and self._embedded.poll() is not None:
                log.error("the embedded store ended; starting it again")
                try:
                    self._embedded.restart()
                except EmbeddedServerFailed as error:
                    log.error("the embedded store does not start: %s", error)

    def _revive(self, reserved: socket.socket) -> None:
        for position, worker in enumerate(self._workers):
            if worker.lives:
                continue
            if worker.pid is not None:
                log.error("worker %d ended; starting another", worker.pid)
            if time.monotonic() - worker.started < 1:
                time.sleep(1)
            self.directory.reload_at_once()  # what the other workers have in force by now, its master keys above all
            try:
                self._workers[position] = self._start_worker(reserved)
            except CannotServe as error:
                # Files that are read at the start may be broken at the moment, as the others' were not.
                self._workers[position] = _Worker(None, time.monotonic())
                if not any(each.lives for each in self._workers):
                    raise
                log.error("%s; the others serve on", error)

    def _start_worker(self, reserved: socket.socket) -> _Worker:
        """Fork a worker and wait until it listens."""
        parent = os.getpid()
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            be_worker(self.directory, self._application, reserved.getsockname(), writing, parent)
        os.close(writing)
        started = time.monotonic()
        try:
            readable, _, _ = select.select([reading], [], [], _STARTED_WITHIN)
            if readable and os.read(reading, 1) == b"+":
                return _Worker(pid, started)
        finally:
            os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise CannotServe("a worker did not come up; see the log above")

    def _stop_workers(self) -> None:
        for worker in self._workers:
            worker.tell(signal.SIGTERM)
        deadline = time.monotonic() + DRAIN + 5
        for worker in self._workers:
            while worker.lives:
                if time.monotonic() > deadline:
                    worker.tell(signal.SIGKILL)
                time.sleep(0.01)


def reserve(host: str, port: int) -> socket.socket:
    """A socket that keeps the port for this gateway's workers; it never listens. Raises `CannotServe`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # Without SO_REUSEPORT: two gateways must not share a port by accident.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
        return bind(family, address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotServe(f"port {port} on {host} is in use; choose another with --port or SOJOURN_PORT") from error
        raise CannotServe(f"cannot listen on {host} port {port}: {error.strerror}") from error


def _inspect(store: Store, known: Path) -> None:
    """Refuse a store that would break a promise; one that is down may come up later.

    `known` exists where this gateway has met its store before: an empty one then has lost something.
    """

    async def answered(*, new: bool) -> bool:
        try:
            await store.ping()
            if new:
                await store.found()
            await store.epoch()
        except StoreMisconfigured:
            raise
        except StoreUnavailable as error:
            log.warning("the store does not answer yet: %s", error)
            return False
        finally:
            await store.close()
        return True

    if asyncio.run(answered(new=not known.exists())):
        known.touch(mode=0o600)
