"""The audit trail: one JSON line an event, in CloudTrail's record shape, written before the answer leaves.

Events of concurrent requests are written together by one thread, so that a slow disk or pipe never holds up the
event loop; every request waits until its own line is written, and fails where it cannot be.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from mmap import mmap
from pathlib import Path
from typing import Any

import msgspec

from broker.clock import iso8601

WRITE_WITHIN = 1.5
"""Seconds that a request waits for its line."""
_WAITING_AT_MOST = 10_000

_encode = msgspec.json.Encoder().encode

log = logging.getLogger(__name__)


class AuditUnavailable(Exception):
    """The event could not be written in time; nothing may happen that is not on record."""


_Waiting = tuple[bytes, asyncio.Future[None]]


def _finish(batch: Sequence[_Waiting], failure: AuditUnavailable | None) -> None:
    for _, written in batch:
        if written.done():
            continue
        if failure is None:
            written.set_result(None)
        else:
            written.set_exception(failure)


class Trail:
    """Appends events to a file, or to standard output where `path` is None. One instance a process.

    `torn`: a byte that all processes share which write to one pipe; other than 0 where its last line has no end yet.
    """

    def __init__(self, path: Path | None, torn: mmap | None = None) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._torn = bytearray(1)
        self._torn_in_pipe = torn if torn is not None else self._torn
        self._waiting: list[_Waiting] = []
        self._flushing = False
        self._late: asyncio.TimerHandle
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="audit")

    async def write(self, event: Mapping[str, Any]) -> None:
        """Return when the event's line is written. Raises `AuditUnavailable`."""
        if len(self._waiting) >= _WAITING_AT_MOST:
            raise AuditUnavailable("the audit trail does not keep up")
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()
        self._waiting.append((_encode(event) + b"\n", written))
        if not self._flushing:
            self._flushing = True
            loop.call_soon(self._flush, loop)
        await written

    async def recorded(self, event: Mapping[str, Any]) -> bool:
        """Whether the event's line is written; why it is not is told in the log."""
        try:
            await self.write(event)
        except AuditUnavailable as outage:
            log.error("audit: %s (%s)", outage, outage.__cause__)
            return False
        return True

    @property
    def busy(self) -> bool:
        """Whether events are being written or wait for it."""
        return self._flushing

    def close(self) -> None:
        """Stop the writing thread; what is being written is finished first."""
        self._executor.shutdown(wait=True)
        if self._descriptor is not None and self._path is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        batch, self._waiting = self._waiting, []
        self._late = loop.call_later(WRITE_WITHIN, self._give_up, loop, batch)
        done = loop.run_in_executor(self._executor, self._append, [line for line, _ in batch])
        done.add_done_callback(lambda future: self._settle(loop, batch, future))

    def _give_up(self, loop: asyncio.AbstractEventLoop, batch: Sequence[_Waiting]) -> None:
        """The thread hangs: its batch fails, and so does whatever else waits, until the thread moves again."""
        late = "the audit trail did not take the event in time"
        _finish([*batch, *self._waiting], AuditUnavailable(late))
        self._waiting = []
        self._late = loop.call_later(WRITE_WITHIN, self._give_up, loop, ())

    def _settle(self, loop: asyncio.AbstractEventLoop, batch: Sequence[_Waiting], done: asyncio.Future[None]) -> None:
        self._late.cancel()
        failure = None
        if done.cancelled() or done.exception() is not None:
            failure = AuditUnavailable("the audit trail cannot be written")
            failure.__cause__ = None if done.cancelled() else done.exception()
        _finish(batch, failure)
        if self._waiting:
            loop.call_soon(self._flush, loop)
        else:
            self._flushing = False

    def _append(self, lines: Sequence[bytes]) -> None:
        """Runs in the writing thread. A line that was cut short is ended before the next, so that both stay lines.

        In a pipe it may be another worker's, which was killed in the middle of it.
        """
        descriptor, regular = self._open()
        torn = self._torn if regular else self._torn_in_pipe
        with contextlib.nullcontext() if regular else _alone(descriptor):
            for chunk in [b"".join(lines)] if regular else lines:
                rest = memoryview(b"\n" + chunk if torn[0] else chunk)
                while rest:
                    torn[0] = 1
                    rest = rest[os.write(descriptor, rest) :]
                torn[0] = 0

    def _open(self) -> tuple[int, bool]:
        if self._path is None:
            descriptor = sys.__stdout__.fileno() if sys.__stdout__ is not None else 1
            return descriptor, stat.S_ISREG(os.fstat(descriptor).st_mode)
        if self._descriptor is not None:
            try:
                named = self._path.stat()
            except FileNotFoundError:
                named = None
            ours = os.fstat(self._descriptor)
            if named is None or (named.st_dev, named.st_ino) != (ours.st_dev, ours.st_ino):
                os.close(self._descriptor)
                self._descriptor = None
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._descriptor, stat.S_ISREG(os.fstat(self._descriptor).st_mode)


def service_event(
    name: str, *, at: datetime, event_id: str, details: Mapping[str, Any], account: str | None = None
) -> Mapping[str, Any]:
    """The record of what the gateway did by itself; CloudTrail's `AwsServiceEvent`."""
    return {
        "eventVersion": "1.08",
        "userIdentity": {"type": "AWSService", "invokedBy": "sojourn"},
        "eventTime": iso8601(at),
        "eventSource": "sts.amazonaws.com",
        "eventName": name,
        "requestParameters": None,
        "responseElements": None,
        "eventID": event_id,
        "eventType": "AwsServiceEvent",
        "eventCategory": "Management",
        "managementEvent": True,
        "recipientAccountId": account,
        "serviceEventDetails": details,
    }


@contextlib.contextmanager
def _alone(descriptor: int) -> Iterator[None]:
    """No other worker writes meanwhile: a pipe takes a long line piece by piece, and theirs would stand in between."""
    locked = False
    with contextlib.suppress(OSError):  # there are systems that lock files only
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        locked = True
    try:
        yield
    finally:
        if locked:
            fcntl.lockf(descriptor, fcntl.LOCK_UN)


def cleaned(text: str, limit: int = 1024) -> str:
    """A caller's text, fit for a log: no control characters, and cut at `limit` characters."""
    kept = text[:limit]
    if kept.isprintable():
        return kept
    return "".join(character if character.isprintable() else "�" for character in kept)
