"""Where signatures are verified: a bounded thread beside the event loop.

One thread: what it runs holds the interpreter's lock for most of its few milliseconds, so more would only take turns.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import ParamSpec, TypeVar

from providers.errors import ProviderUnavailable

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Workers:
    """For all SAML providers of one event loop. `waiting`: how many calls may run or wait; more are refused."""

    def __init__(self, *, waiting: int = 64, timeout: timedelta = timedelta(seconds=5)) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="saml")
        self._free = waiting
        self._timeout = timeout.total_seconds()

    async def run(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Raises `ProviderUnavailable` where it does not get its turn in time, and what `function` raises."""
        if self._free <= 0:
            raise _busy()
        self._free -= 1
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.wrap_future(self._executor.submit(function, *args, **kwargs))
        except TimeoutError as error:
            raise _busy() from error
        finally:
            self._free += 1

    def close(self) -> None:
        """What waits is dropped, what runs ends by itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _busy() -> ProviderUnavailable:
    return ProviderUnavailable("Too many SAML responses are being verified; try again.", reason="busy")
