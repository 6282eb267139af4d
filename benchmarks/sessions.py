"""Seeing and revoking sessions among ten thousand, two gateways on one Redis."""

import asyncio
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlencode

import aiohttp

from benchmarks.report import Table
from tests.end_to_end.administration import (
    ACCOUNTS,
    ADMIN,
    ALICE,
    BOB,
    CHIEF,
    SETTINGS,
    administer,
    lives,
    signed,
)
from tests.end_to_end.world import DEV, PROD
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, running, write_configuration

HOME, DEPLOY, OTHER = (
    f"arn:aws:iam::{DEV}:role/home",
    f"arn:aws:iam::{PROD}:role/ci/deploy",
    f"arn:aws:iam::{PROD}:role/other",
)
LIVE: Mapping[str, int] = {HOME: 100, DEPLOY: 1_000, OTHER: 8_900}
CALLS = 50
AT_ONCE = 16
CHECKED = 25  # every so many of the revoked ones


def run() -> Table:
    """What an administrator waits for, and how many of the revoked sessions are good afterwards."""
    table = Table(
        f"{sum(LIVE.values()):,} live sessions, two gateways",
        ["call", "p50 ms", "slowest ms", "found", "alive afterwards"],
    )
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        server = stack.enter_context(RedisServer(Path(directory) / "redis"))
        gateways = []
        for name in ("one", "two"):
            write_configuration(Path(directory) / name, ACCOUNTS, SETTINGS)
            gateways.append(stack.enter_context(running(Gateway(Path(directory) / name, store=server.url))))
        for role, number in LIVE.items():
            asyncio.run(_mint(gateways, role, number))
        one = gateways[0]
        listings: Mapping[str, Callable[[], int]] = {
            "ListSessions, a role's 100": lambda: len(administer(one, BOB, "ListSessions", RoleArn=HOME)["Sessions"]),
            "ListSessions, the first 100 of all": lambda: len(administer(one, CHIEF, "ListSessions")["Sessions"]),
        }
        for name, listing in listings.items():
            took, found = _timed(listing)
            table.add(name, f"{statistics.median(took):.1f}", f"{max(took):.1f}", str(found), "-")
        held = [
            one.client(credentials=ALICE).assume_role(RoleArn=DEPLOY, RoleSessionName="held")["Credentials"]
            for _ in range(CHECKED)
        ]
        with _busy(gateways):
            begun = time.perf_counter()
            revoked = administer(one, ADMIN, "RevokeSessions", RoleArn=DEPLOY)["Revoked"]
            took = [(time.perf_counter() - begun) * 1e3]
            alive = sum(lives(gateway, each) for each in held for gateway in gateways)
        name = "RevokeSessions, a role's, both gateways under load"
        table.add(name, f"{took[0]:.0f}", f"{took[0]:.0f}", str(revoked), str(alive))
    return table


def _timed(call: Callable[[], int]) -> tuple[Sequence[float], int]:
    """Milliseconds of each of several calls, and what the last gave."""
    took, given = [], 0
    for _ in range(CALLS):
        begun = time.perf_counter()
        given = call()
        took.append((time.perf_counter() - begun) * 1e3)
    return took, given


async def _mint(gateways: Sequence[Gateway], role: str, number: int) -> None:
    form = {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": role, "RoleSessionName": "bench"}
    body = urlencode(form)
    async with aiohttp.ClientSession() as http:
        left = iter(range(number))

        async def mint(gateway: Gateway) -> None:
            headers = signed(gateway, ALICE, "/", body)
            for _ in left:
                async with http.post(gateway.url + "/", data=body, headers=headers) as answer:
                    answer.raise_for_status()

        await asyncio.gather(*(mint(gateways[position % 2]) for position in range(AT_ONCE)))


@contextmanager
def _busy(gateways: Sequence[Gateway]) -> Iterator[None]:
    """Both gateways under load."""
    over = threading.Event()

    def ask(gateway: Gateway) -> None:
        client = gateway.client(credentials=ALICE)
        while not over.is_set():
            client.get_caller_identity()

    with ThreadPoolExecutor(len(gateways)) as pool:
        asking = [pool.submit(ask, each) for each in gateways]
        try:
            yield
        finally:
            over.set()
        for each in asking:
            each.result()
