"""Responses and metadata are read in a process of their own, one for each event loop.

What is posted by anybody costs up to some 30 ms of CPU before it is refused. In a thread that held the event loop up
for as long as 90 ms (measured, 99th percentile, responses of 96 KB); beside a process the loop does not feel it.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec

from providers.errors import ProofExpired, ProofRejected, ProviderUnavailable
from providers.saml.document import require_size
from providers.saml.metadata import IdpMetadata, MetadataFault
from providers.saml.response import Expectation, Presented, VerifiedAssertion
from providers.saml.worker import (
    LENGTH,
    Answer,
    Faulty,
    MetadataTask,
    Peeked,
    PeekTask,
    Read,
    Refused,
    ResponseTask,
    Task,
    Verified,
)

_COMMAND: Final = (sys.executable, "-P", "-m", "providers.saml.worker")
_ENVIRONMENT: Final = ("PYTHON", "LC_", "LANG", "LD_")  # names begin so; secrets in others stay here


class Workers:
    """For all SAML providers of one event loop. The process starts when it is needed, and anew when it broke.

    `waiting`: how many tasks may run or wait; more are refused. `timeout`: for waiting, and again for the task.
    """

    def __init__(self, *, waiting: int = 64, timeout: timedelta = timedelta(seconds=5)) -> None:
        self._free = waiting
        self._timeout = timeout.total_seconds()
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._decoder = msgspec.msgpack.Decoder(Answer)
        self._closed = False

    async def verify_response(self, raw: str, expected: Expectation) -> VerifiedAssertion:
        """As `response.verify_response`. Raises `ProofRejected`, `ProofExpired` and `ProviderUnavailable`."""
        require_size(raw)
        answer = await self._verdict(ResponseTask(raw, expected))
        if isinstance(answer, Verified):
            return answer.assertion
        raise _broken("another task was answered")

    async def peek(self, raw: str) -> Presented:
        """As `response.peek`. Raises `ProofRejected` and `ProviderUnavailable`."""
        require_size(raw)
        answer = await self._verdict(PeekTask(raw))
        if isinstance(answer, Peeked):
            return answer.presented
        raise _broken("another task was answered")

    async def parse_metadata(self, document: bytes, certificates: Sequence[bytes] = ()) -> IdpMetadata:
        """As `metadata.parse_metadata`. Raises `MetadataFault` and `ProviderUnavailable`."""
        answer = await self._ask(MetadataTask(document, tuple(certificates)))
        if isinstance(answer, Read):
            return answer.metadata
        if isinstance(answer, Faulty):
            raise MetadataFault(answer.fault)
        raise _broken("another task was answered")

    async def close(self) -> None:
        """End the process; what waits is refused."""
        self._closed = True
        async with self._turn:
            process, self._process = self._process, None
            if process is not None and process.stdin is not None:
                process.stdin.close()
                await process.wait()

    async def _verdict(self, task: Task) -> Answer:
        answer = await self._ask(task)
        if isinstance(answer, Refused):
            verdict = ProofExpired if answer.expired else ProofRejected
            raise verdict(answer.sentence, reason=answer.reason, detail=answer.detail)
        return answer

    async def _ask(self, task: Task) -> Answer:
        if self._free <= 0:
            raise _busy()
        self._free -= 1
        job = asyncio.create_task(self._run(task))
        job.add_done_callback(self._done)
        return await asyncio.shield(job)  # a caller that leaves does not break what runs off in the middle

    def _done(self, job: asyncio.Task[Answer]) -> None:
        self._free += 1
        if not job.cancelled():
            job.exception()  # it is the caller's, who may have left

    async def _run(self, task: Task) -> Answer:
        try:
            async with asyncio.timeout(self._timeout):
                await self._turn.acquire()
        except TimeoutError as error:
            raise _busy() from error
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(msgspec.msgpack.encode(task))
        except (TimeoutError, OSError, asyncio.IncompleteReadError, msgspec.MsgspecError) as error:
            await self._kill()
            raise _broken(f"{type(error).__name__}: {error}") from error
        finally:
            self._turn.release()

    async def _exchange(self, message: bytes) -> Answer:
        if self._closed:
            raise _broken("closed")
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                *_COMMAND,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={name: value for name, value in os.environ.items() if name.startswith(_ENVIRONMENT)},
                start_new_session=True,  # an interrupt from the terminal is for its parent, who closes its input
            )
        tasks, answers = self._process.stdin, self._process.stdout
        if tasks is None or answers is None:
            raise OSError("no pipes")
        tasks.write(LENGTH.pack(len(message)) + message)
        await tasks.drain()
        (length,) = LENGTH.unpack(await answers.readexactly(LENGTH.size))
        answer: Answer = self._decoder.decode(await answers.readexactly(length))
        return answer

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()


def _busy() -> ProviderUnavailable:
    return ProviderUnavailable("Too many SAML responses are being verified; try again.", reason="busy")


def _broken(detail: str) -> ProviderUnavailable:
    return ProviderUnavailable("The SAML response could not be verified; try again.", reason="worker", detail=detail)
