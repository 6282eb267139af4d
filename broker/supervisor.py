"""`sojourn serve`: one parent that owns the port, the embedded store and the workers; N workers that answer.

The parent has no event loop. It reserves the port, starts the embedded server where one is wanted, forks the workers
(each listens on the port by itself, SO_REUSEPORT) and then waits for signals: a worker or store that died is started
again, SIGHUP is passed on, SIGTERM drains. Whatever happens to the parent, its children end with it.
"""

import asyncio
import contextlib
import ctypes
import errno
import gc
import logging
import os
import secrets
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from mmap import mmap
from pathlib import Path
from typing import NoReturn

import uvloop
from aiohttp import web

from broker.api.connections import SERVER_LOG, short_paths
from broker.app import CONNECTIONS, build
from broker.audit import Trail
from broker.clock import utc_now
from broker.directory.directory import Directory
from broker.sealing import MasterKeys
from broker.settings import Settings
from broker.stores import open_store
from broker.stores.contract import Store, StoreMisconfigured, StoreUnavailable
from broker.stores.embedded import EmbeddedServer, EmbeddedServerFailed
from broker.tls import tls_context

DRAIN = 10.0
"""Seconds that requests in flight get on SIGTERM."""
_KEEP_ALIVE = 75.0
_STARTED_WITHIN = 30.0
_POLL_STORE_EVERY = 0.5
_BACKLOG = 1024
_YOUNG_OBJECTS = 5_000
"""Between two looks of the collector: a request makes several hundred, nearly all of them gone by its end."""
_PR_SET_PDEATHSIG = 1
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
    _stopping: bool = False

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
                _inspect(self.open_store(), settings.state / _KNOWN)
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

    def open_store(self) -> Store:
        settings = self._settings
        return open_store(settings.store.url, now=utc_now, random=secrets.token_bytes, state=settings.state)

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
            _be_worker(self, reserved.getsockname(), writing, parent)
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
        return _bind(family, address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotServe(f"port {port} on {host} is in use; choose another with --port or SOJOURN_PORT") from error
        raise CannotServe(f"cannot listen on {host} port {port}: {error.strerror}") from error


def _bind(family: int, address: tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(address)
    return listener


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


def _be_worker(supervisor: Supervisor, address: tuple[object, ...], started: int, parent: int) -> NoReturn:
    """The child's life, from fork to exit."""
    status = 1
    try:
        _die_with(parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD})
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(supervisor, address, started))
        status = 0
    except Exception:
        log.exception("the worker failed")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _die_with(parent: int) -> None:
    """Linux ends this process when its parent ends, however that happens."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


async def _serve(supervisor: Supervisor, address: tuple[object, ...], started: int) -> None:
    directory = supervisor.directory
    settings = directory.snapshot.settings
    application = build(
        directory,
        supervisor.open_store(),
        supervisor.masters,
        Trail(supervisor.audit_path, supervisor.torn),
        now=utc_now,
        random=secrets.token_bytes,
    )
    runner = web.AppRunner(
        application,
        access_log=None,
        logger=SERVER_LOG,
        keepalive_timeout=_KEEP_ALIVE,
        shutdown_timeout=1.0,
        handle_signals=False,
    )
    await runner.setup()
    server = _server(runner)
    server.request_handler = short_paths(server.request_handler)
    family = socket.AF_INET6 if len(address) == 4 else socket.AF_INET
    site = web.SockSite(runner, _bind(family, address), ssl_context=tls_context(settings), backlog=_BACKLOG)
    await site.start()
    loop = asyncio.get_running_loop()
    connections = application[CONNECTIONS]
    slow_heads = loop.create_task(connections.end_slow_heads(server))
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    reloads: set[asyncio.Task[object]] = set()

    def reload() -> None:
        task: asyncio.Task[object] = loop.create_task(directory.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    # What start-up made lives as long as the worker; the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)
    os.write(started, b"+")
    os.close(started)
    await stop.wait()
    slow_heads.cancel()
    await site.stop()
    await connections.drain(DRAIN)
    await runner.cleanup()


def _server(runner: web.AppRunner) -> web.Server:
    if runner.server is None:
        raise RuntimeError("the runner was not set up")
    return runner.server
