"""The limits in front of a real directory: a thousand guesses, one text, one duration."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest_asyncio

from broker.flows.guessing import Guessing, even_refusals
from broker.settings.model import GuessingSettings
from broker.stores import open_store
from broker.stores.contract import Store
from providers.contract import Identity, Password
from providers.errors import ProofRejected
from providers.ldap import LdapConfig, LdapProvider
from providers.refusal import SENTENCE
from tests.fakes.clock import Clock
from tests.fakes.redis import RedisServer
from tests.fakes.slapd import GROUPS, PEOPLE, SERVICE_DN, SERVICE_PASSWORD, Slapd
from tests.flows.test_guessing import fixed_key

RIGHT = "correct horse"


class Gateway:
    """Sign-in as a flow does it. `asked`: how often the directory judged a password."""

    def __init__(self, store: Store, ldap: LdapProvider, clock: Clock) -> None:
        self.clock = clock
        self.ldap = ldap
        self.asked = 0
        self._guessing = Guessing(store, GuessingSettings(), key=fixed_key, now=clock, sleep=_at_once)

    async def sign_in(self, username: str, password: str, address: str) -> Identity | str:
        """The identity, or the reason of the refusal."""
        try:
            attempt = await self._guessing.attempt("corp", username, address)

            async def gate(subject: str) -> None:
                await attempt.known_as(subject)
                self.asked += 1

            async with even_refusals():
                identity = await self.ldap.verify(Password(username, password), gate=gate)
            await attempt.succeeded()
        except ProofRejected as error:
            assert error.sentence == SENTENCE
            return error.reason
        return identity


async def _at_once(_: float) -> None:
    return None


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    clock = Clock()
    with RedisServer(tmp_path / "redis") as redis, Slapd(tmp_path / "slapd", people=5) as slapd:
        store = open_store(redis.url, now=clock, random=os.urandom)
        await store.epoch()
        clock.advance(timedelta(hours=1))
        config = LdapConfig(
            issuer="corp",
            urls=(slapd.url,),
            bind_dn=SERVICE_DN,
            bind_password=SERVICE_PASSWORD,
            user_search_base=PEOPLE,
            user_search_filter="(|(uid={username})(mail={username}))",
            group_search_base=GROUPS,
            waiting=2000,
            timeout=timedelta(minutes=1),
        )
        ldap = LdapProvider(config, now=clock)
        yield Gateway(store, ldap, clock)
        await ldap.close()
        await store.close()


async def test_a_thousand_guesses_at_one_user_are_ten_and_the_user_still_gets_in(gateway: Gateway) -> None:
    home = "198.51.100.7"
    assert isinstance(await gateway.sign_in("alice", RIGHT, home), Identity)
    gateway.asked = 0
    names = ["alice", "ALICE", " alice", "alice@acme.test", "Alice@ACME.test"]
    for start in range(0, 1000, 100):
        guesses = (
            gateway.sign_in(names[i % 5], f"guess {i}", f"203.0.{i % 7}.{i % 251}") for i in range(start, start + 100)
        )
        assert not any(isinstance(end, Identity) for end in await asyncio.gather(*guesses))
    assert gateway.asked == 10
    assert await gateway.sign_in("alice", RIGHT, "203.0.113.9") == "delayed"
    for name in ("alice", " ALICE "):
        assert isinstance(await gateway.sign_in(name, RIGHT, home), Identity)


async def test_every_refusal_takes_the_same_time(gateway: Gateway) -> None:
    taken: dict[str, list[float]] = {"alice": [], "nobody": [], "locked": [], "expired": []}
    for i in range(8):
        for name, times in taken.items():
            began = time.perf_counter()
            await gateway.sign_in(name, "wrong" if name == "alice" else RIGHT, f"203.0.113.{i}")
            times.append(time.perf_counter() - began)
    quickest = [min(times) for times in taken.values()]  # whatever else the machine was busy with
    assert min(quickest) > 0.25
    assert max(quickest) - min(quickest) < 0.2
