"""One-time codes with their memory in a real Redis, used by several processes at once."""

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
import pytest
import pytest_asyncio

from broker.flows.second_factor import StoredDeviceStates
from broker.stores import open_store
from broker.stores.contract import Store, StoreUnavailable
from providers.devices import Device, DeviceState
from providers.errors import ProofRejected
from providers.totp import Totp
from tests.fakes.clock import Clock
from tests.fakes.redis import RedisServer

DEVICE = Device("arn:aws:iam::111122223333:mfa/alice", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
_OTHER_PROCESS = """
import asyncio, json, os, sys
from datetime import UTC, datetime
from broker.flows.second_factor import StoredDeviceStates
from broker.stores import open_store
from providers.devices import Device
from providers.errors import ProofRejected
from providers.totp import Totp

async def main(url, device, seed, at, code):
    now = lambda: datetime.fromtimestamp(at, UTC)
    store = open_store(url, now=now, random=os.urandom)
    totp = Totp(StoredDeviceStates(store), now=now)
    async def use():
        try:
            await totp.verify(Device(device, seed), code)
        except ProofRejected:
            return 0
        return 1
    print(sum(await asyncio.gather(*(use() for _ in range(25)))))
    await store.close()

asyncio.run(main(*json.loads(sys.argv[1])))
"""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime.fromtimestamp(1_800_000_000, UTC))


@pytest_asyncio.fixture
async def store(redis: RedisServer, clock: Clock) -> AsyncIterator[Store]:
    opened = open_store(redis.url, now=clock, random=os.urandom)
    await opened.epoch()
    clock.advance(timedelta(seconds=90))
    yield opened
    await opened.close()


def code_at(clock: Clock, *, steps: int = 0) -> str:
    return pyotp.TOTP(DEVICE.seed).at(clock() + timedelta(seconds=30 * steps))


async def accepted(totp: Totp, code: str) -> bool:
    try:
        await totp.verify(DEVICE, code)
    except ProofRejected:
        return False
    return True


async def test_one_of_fifty_uses_of_a_code_by_two_processes_wins(
    redis: RedisServer, store: Store, clock: Clock
) -> None:
    given = json.dumps([redis.url, DEVICE.id, DEVICE.seed, clock().timestamp(), code_at(clock)])
    runs = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", _OTHER_PROCESS, given, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(2)
    ]
    counts = [int((await run.communicate())[0]) for run in runs]
    assert sum(counts) == 1


async def test_two_hundred_parallel_guesses_are_five(store: Store, redis: RedisServer, clock: Clock) -> None:
    others = open_store(redis.url, now=clock, random=os.urandom)
    gateways = [Totp(StoredDeviceStates(each), now=clock) for each in (store, others)]
    right = code_at(clock)
    wrong = [f"{i:06d}" for i in range(200) if f"{i:06d}" not in (code_at(clock, steps=s) for s in (-1, 0, 1))]
    reasons: list[str] = []

    async def guess(i: int) -> None:
        with pytest.raises(ProofRejected) as refusal:
            await gateways[i % 2].verify(DEVICE, wrong[i])
        reasons.append(refusal.value.reason)

    await asyncio.gather(*(guess(i) for i in range(len(wrong))))
    assert reasons.count("code") == 5
    assert set(reasons) == {"code", "code_delayed"}
    assert not await accepted(gateways[0], right)
    await others.close()


async def test_a_code_used_before_the_store_was_emptied_is_refused(
    store: Store, redis: RedisServer, clock: Clock
) -> None:
    totp = Totp(StoredDeviceStates(store), now=clock)
    code = code_at(clock)
    assert await accepted(totp, code)
    redis.command("FLUSHALL")
    assert not await accepted(totp, code)
    clock.advance(timedelta(seconds=60))
    assert not await accepted(totp, code_at(clock))
    clock.advance(timedelta(seconds=31))
    assert await accepted(totp, code_at(clock))


async def test_without_the_store_no_code_is_accepted(store: Store, redis: RedisServer, clock: Clock) -> None:
    totp = Totp(StoredDeviceStates(store), now=clock)
    redis.kill()
    with pytest.raises(StoreUnavailable):
        await totp.verify(DEVICE, code_at(clock))


async def test_a_record_is_read_as_written_swapped_once_and_forgotten(store: Store) -> None:
    states = StoredDeviceStates(store)
    assert await states.read("d") is None
    until = datetime.fromtimestamp(1_800_000_000, UTC)
    first = DeviceState(last_step=5, drift=-2, wrong=3, delayed_until=until, unused=2)
    assert await states.swap("d", None, first)
    assert not await states.swap("d", None, DeviceState())
    assert await states.read("d") == first
    assert await states.swap("d", first, DeviceState(last_step=6))
    assert not await states.swap("d", first, DeviceState(last_step=7))
    await states.forget("d")
    assert await states.read("d") is None


async def test_a_record_that_knows_nothing_of_earlier_steps_has_none_unused(store: Store) -> None:
    states = StoredDeviceStates(store)
    record = b'{"device":"d","last_step":5,"drift":0,"wrong":0,"delayed_until":null}'
    await store.put(f"mfa:{hashlib.sha256(b'd').hexdigest()}", record)
    known = await states.read("d")
    assert known == DeviceState(last_step=5)
    assert await states.swap("d", known, DeviceState(last_step=7, unused=1))


async def test_a_record_of_another_device_or_of_no_form_is_refused(store: Store) -> None:
    states = StoredDeviceStates(store)
    await states.swap("one", None, DeviceState(last_step=5))
    one, two = (f"mfa:{hashlib.sha256(device.encode()).hexdigest()}" for device in ("one", "two"))
    for value in (await store.get(one), b"{}"):
        assert value is not None
        await store.put(two, value)
        with pytest.raises(StoreUnavailable):
            await states.read("two")
