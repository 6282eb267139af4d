"""A few threads for a blocking library, with a bounded queue and an end to waiting."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from providers.errors import ProviderUnavailable

_Result = TypeVar("_Result")


class Pool:
    """`threads` calls run at once, `waiting` more may queue; whatever comes on top is refused at once."""

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._admitted = threads + waiting
        self._present = 0

    async def run(
        self, call: Callable[[], _Result], *, seconds: float, abort: Callable[[], None] | None = None
    ) -> _Result:
        """What `call` returns or raises, `seconds` from now at the latest, the time in the queue included.

        A call that is given up (time-out or cancellation) never starts, or is told to end by `abort`, which must not
        block; its place stays taken until it has ended.
        Raises `ProviderUnavailable` where the queue is full or the time is over.
        """
        if self._present >= self._admitted:
            raise ProviderUnavailable("The identity provider is busy; try again.", reason="busy")
        loop = asyncio.get_running_loop()
        future = self._executor.submit(call)
        self._present += 1
        future.add_done_callback(lambda done: self._tell(loop, done))
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if abort is not None:
                abort()
            raise ProviderUnavailable(
                "The identity provider did not answer in time.", reason="timeout", detail=f"no result in {seconds:g} s"
            ) from None
        except asyncio.CancelledError:
            if abort is not None:
                abort()
            raise

    def close(self) -> None:
        """Drop what waits; what runs ends by itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _tell(self, loop: asyncio.AbstractEventLoop, _: "Future[_Result]") -> None:
        try:
            loop.call_soon_threadsafe(self._leave)
        except RuntimeError:  # the loop has ended, and nobody asks this pool again
            return

    def _leave(self) -> None:
        self._present -= 1
