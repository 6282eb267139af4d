"""Liveness, readiness and metrics."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from broker import telemetry
from broker.sessions.keyring import Keyring
from broker.stores.contract import StoreMisconfigured, StoreUnavailable


class Health:
    """`/health/live`, `/health/ready`, `/metrics`."""

    def __init__(
        self, ping: Callable[[], Awaitable[None]], keyring: Keyring, problems: Callable[[], Sequence[str]]
    ) -> None:
        """`problems`: with other keys than those of the ring."""
        self._ping = ping
        self._keyring = keyring
        self._problems = problems

    async def live(self, _request: web.Request) -> web.Response:
        """200 while the process answers at all."""
        return web.json_response({"status": "live"})

    async def ready(self, _request: web.Request) -> web.Response:
        """200 while sessions can be minted and verified, else 503 with every reason.

        Strangers may ask, too: what went wrong on the way to the store, hosts and all, is for the log.
        """
        reasons = []
        try:
            await self._ping()
        except StoreMisconfigured as error:
            reasons.append(f"store: {error}")
        except StoreUnavailable:
            reasons.append("store: it is unavailable; the log says why")
        if self._keyring.problem is not None:
            reasons.append(f"keys: {self._keyring.problem}")
        reasons += (f"keys: {problem}" for problem in self._problems())
        if reasons:
            return web.json_response({"status": "not ready", "reasons": reasons}, status=503)
        return web.json_response({"status": "ready"})

    async def metrics(self, _request: web.Request) -> web.Response:
        """Prometheus's text format."""
        text = await asyncio.to_thread(telemetry.metrics)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
