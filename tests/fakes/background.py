"""Asynchronous fakes for tests that are not: a loop of its own in a thread."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from tests.waiting import WITHIN

T = TypeVar("T")
R = TypeVar("R")


class Background(Generic[T]):
    """`with Background(fake) as running:` enters `fake` on the loop; `running.run(...)` runs coroutines there."""

    def __init__(self, fake: AbstractAsyncContextManager[T]) -> None:
        self._fake = fake
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self._fake.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(self._fake.__aexit__(kind, error, trace))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WITHIN)
        self._loop.close()

    def run(self, story: Coroutine[Any, Any, R]) -> R:
        """The result of `story`, run on the loop."""
        return asyncio.run_coroutine_threadsafe(story, self._loop).result(WITHIN)
