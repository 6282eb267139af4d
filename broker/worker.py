"""A worker of the gateway: the child of a fork, with an event loop, one application and the port that all share."""

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import NoReturn

import uvloop
from aiohttp import web

from broker.api.connections import SERVER_LOG, short_paths
from broker.app import CONNECTIONS
from broker.directory.directory import Directory
from broker.tls import tls_context

DRAIN = 10.0
"""Seconds that requests in flight get on SIGTERM."""
_KEEP_ALIVE = 75.0
_BACKLOG = 1024
_YOUNG_OBJECTS = 5_000
"""Between two looks of the collector: a request makes several hundred, nearly all of them gone by its end."""
_PR_SET_PDEATHSIG = 1

log = logging.getLogger("sojourn")


def be_worker(
    directory: Directory,
    build: Callable[[], web.Application],
    address: tuple[object, ...],
    started: int,
    parent: int,
) -> NoReturn:
    """The child's life, from fork to exit. `started`: a pipe to which it writes `+` when it listens."""
    status = 1
    try:
        _die_with(parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD})
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(directory, build, address, started))
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


async def _serve(
    directory: Directory, build: Callable[[], web.Application], address: tuple[object, ...], started: int
) -> None:
    application = build()
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
    site = web.SockSite(
        runner, bind(family, address), ssl_context=tls_context(directory.snapshot.settings), backlog=_BACKLOG
    )
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


def bind(family: int, address: tuple[object, ...]) -> socket.socket:
    """A socket that does not listen yet, on an address that others may share (SO_REUSEPORT)."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(address)
    return listener
