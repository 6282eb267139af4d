"""The master key is rotated while it is used: two gateways, each with its own configuration, on one store."""

import asyncio
import base64
import contextlib
import json
import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pyotp
import pytest
import redis as redis_client

from broker.clock import utc_now
from broker.directory.entries import Entries
from broker.sealing import MasterKeys, parse_master_key
from broker.stores import open_store
from tests.end_to_end.administration import ACCOUNTS, ALICE, CHIEF, SETTINGS, administer, lives, sojourn
from tests.end_to_end.refusals import refused
from tests.end_to_end.test_mfa_devices import pair
from tests.end_to_end.test_operations import children, get
from tests.end_to_end.test_sessions_admin import assume
from tests.end_to_end.world import DEV, allow, inline, new_key
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, running, write_configuration
from tests.waiting import until

PERSON = new_key(DEV)
PEOPLE = {
    **ACCOUNTS,
    "people": {
        "Account": DEV,
        "Users": [
            {"UserName": "person", "AccessKeys": [PERSON], "Policies": inline(allow(["iam:*", "sts:*"], "*"))},
        ],
    },
}
OLD, NEW = (base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2))


def master_id(key: str) -> str:
    return MasterKeys([parse_master_key(key)], secrets.token_bytes).current_id


OLD_ID, NEW_ID = master_id(OLD), master_id(NEW)


def configure(gateway: Gateway, *keys: str) -> None:
    """Write the configuration with these master keys, and reload where it serves already."""
    write_configuration(gateway.directory, PEOPLE, SETTINGS | {"keys": {"master": list(keys) or None}})
    if gateway.process is not None:
        gateway.process.send_signal(signal.SIGHUP)


def master_keys(gateway: Gateway) -> dict[str, dict[str, Any]]:
    """Id to what ListSigningKeys tells of it."""
    answer = administer(gateway, CHIEF, "ListSigningKeys")
    return {each["MasterKeyId"]: each for each in answer["MasterKeys"]}


def statuses(gateway: Gateway) -> dict[str, str]:
    return {name: each["Status"] for name, each in master_keys(gateway).items()}


def stands(gateway: Gateway, expected: dict[str, str]) -> None:
    """Wait until the master keys have this status."""
    until(lambda: statuses(gateway) == expected)


def kids(gateway: Gateway) -> set[str]:
    return {key["kid"] for key in json.loads(get(gateway, "/.well-known/jwks.json")[1])["keys"]}


def reasons(gateway: Gateway) -> str:
    status, body = get(gateway, "/health/ready")
    return body.decode() if status == 503 else ""


@pytest.fixture
def gateways(tmp_path: Path, redis: RedisServer) -> Iterator[Sequence[Gateway]]:
    """Two, with the old key."""
    pair = [Gateway(tmp_path / name, store=redis.url) for name in ("one", "two")]
    for each in pair:
        configure(each, OLD)
    with running(pair[0]), running(pair[1]):
        yield pair


@contextlib.contextmanager
def under_load(one: Gateway, two: Gateway, held: list[Any]) -> Iterator[list[int]]:
    """Sessions are minted at each gateway and used at the other, and those of `held` are used all the time.

    Gives how many rounds there were of each so far. Any failed request raises in the end.
    """
    stop, rounds = threading.Event(), [0, 0]
    with ThreadPoolExecutor(2) as pool:
        loads = [
            pool.submit(_load, *both, held, stop, rounds, place) for place, both in enumerate(((one, two), (two, one)))
        ]
        try:
            yield rounds
        finally:
            stop.set()
            for load in loads:
                load.result()


def _load(
    minting: Gateway, using: Gateway, held: list[Any], stop: threading.Event, rounds: list[int], place: int
) -> None:
    while not stop.is_set():
        for each in (assume(minting, ALICE), *held):
            using.client(credentials=each).get_caller_identity()
        rounds[place] += 1
        time.sleep(0.02)


@pytest.mark.timeout(600)
def test_a_rotation_fails_no_request(gateways: Sequence[Gateway]) -> None:
    one, two = gateways
    iam = one.client("iam", PERSON)
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName="phone")["VirtualMFADevice"]
    authenticator = pyotp.TOTP(device["Base32StringSeed"].decode())
    iam.enable_mfa_device(UserName="person", SerialNumber=device["SerialNumber"], **pair(authenticator, -2))
    published, session = kids(one), assume(one, ALICE)
    held = [session]
    with under_load(one, two, held) as rounds:
        for each in gateways:
            configure(each, OLD, NEW)
            stands(each, {OLD_ID: "Current", NEW_ID: "Unused"})
        until(lambda: master_keys(two)[OLD_ID]["SealedValues"] == 4)
        for each in gateways:
            configure(each, NEW, OLD)
            stands(each, {NEW_ID: "Current", OLD_ID: "InUse"})
        until(lambda: master_keys(two)[OLD_ID]["SealedValues"] == 0)
        shown = master_keys(one)
        assert shown[NEW_ID]["SealedValues"] == 4
        assert 36 * 3600 < shown[OLD_ID]["LastSessionEndsAt"] - time.time() < 36 * 3600 + 240
        held.clear()  # in place of waiting until it has ended
        begun = tuple(rounds)
        until(lambda: all(now > before + 1 for now, before in zip(rounds, begun, strict=True)))
        for each in gateways:
            configure(each, NEW)
            stands(each, {NEW_ID: "Current"})
        time.sleep(6)  # the signing keys are read every five seconds
        assert not any(map(reasons, gateways))
        until(lambda: min(rounds) > 20)
    assert kids(one) == kids(two) == published
    assert not lives(one, session)
    assert f"master key '{OLD_ID}' is not among the configured ones" in one.log
    code = authenticator.at(int(time.time()))
    two.client(credentials=PERSON).get_session_token(SerialNumber=device["SerialNumber"], TokenCode=code)
    for each in gateways:
        assert each.stop() == 0
        each.start()
        assert lives(each, assume(each, ALICE))
    assert kids(one) == published
    events = [event for each in gateways for event in each.audit if event["eventName"] == "ResealValues"]
    sealed = [event["serviceEventDetails"]["sealedAnew"] for event in events]
    assert [each["signing keys"] for each in sealed if "signing keys" in each] == [{OLD_ID: 3}]
    for key in (OLD, NEW):
        for each in gateways:
            assert key not in each.log + json.dumps(each.audit)


def test_the_old_key_is_missed_while_something_is_under_it(gateways: Sequence[Gateway]) -> None:
    one, two = gateways
    held = assume(one, ALICE)
    assert sojourn(one, CHIEF, "keys", "list").stdout.splitlines()[-1].split()[:2] == [OLD_ID, "Current"]
    configure(one, NEW)
    assert OLD_ID in until(lambda: reasons(one))
    stands(one, {NEW_ID: "Current", OLD_ID: "Missing"})
    assert kids(one) == kids(two)
    until(
        lambda: f'sojourn_master_key{{master_key="{OLD_ID}",status="Missing"}} 1.0' in get(one, "/metrics")[1].decode()
    )
    assert not lives(one, held)
    shown = sojourn(one, CHIEF, "keys", "list")
    assert shown.stdout.splitlines()[-1].split() == [OLD_ID, "Missing", "3", "-"]
    configure(one, NEW, OLD)
    until(lambda: not reasons(one))
    assert lives(one, held)


def test_without_the_lost_key_an_administrator_begins_anew(tmp_path: Path, redis: RedisServer) -> None:
    gateway = Gateway(tmp_path, store=redis.url)
    configure(gateway, OLD)
    with running(gateway):
        held, lost = assume(gateway, ALICE), kids(gateway)
    configure(gateway, NEW)
    with running(gateway, ready=False):
        assert OLD_ID in until(lambda: reasons(gateway))
        with refused("ServiceUnavailable"):
            assume(gateway, ALICE)
        assert get(gateway, "/.well-known/jwks.json")[0] == 503
        administer(gateway, CHIEF, "RotateSigningKeys", EndSessions="true")
        gateway.wait()
        assert not kids(gateway) & lost
        assert not lives(gateway, held)
        assert lives(gateway, assume(gateway, ALICE))


def test_a_key_file_that_is_gone_changes_nothing(gateways: Sequence[Gateway]) -> None:
    one, _ = gateways
    held = assume(one, ALICE)
    configure(one)
    until(lambda: "the master keys before stay in force" in one.log)
    assert not (one.state / "master-key").exists()
    assert lives(one, held)
    assert statuses(one) == {OLD_ID: "Current"}


def test_from_the_key_of_the_state_directory_to_one_of_ones_own(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, workers=2)
    configure(gateway)
    with running(gateway):
        assert gateway.process is not None
        made = (gateway.state / "master-key").read_text().strip()
        held = assume(gateway, ALICE)
        file = "${file:state/master-key}"
        for keys, first in (((file, NEW), master_id(made)), ((NEW, file), NEW_ID)):
            configure(gateway, *keys)
            until(partial(_at_every_worker, gateway, first))
        assert lives(gateway, held)
        # A worker that comes later than the change knows it from its first request on.
        parent = gateway.process.pid
        workers = children(parent)["sojourn"]
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        until(lambda: not set(workers) & set(children(parent).get("sojourn", [])))
        gateway.wait()
        assert statuses(gateway)[NEW_ID] == "Current"
        assert lives(gateway, held)
        assert lives(gateway, assume(gateway, ALICE))


@pytest.mark.timeout(600)
def test_a_gateway_that_is_killed_in_the_middle_leaves_the_rest_for_later(tmp_path: Path, redis: RedisServer) -> None:
    devices = 6000
    asyncio.run(_create(redis.url, devices))
    gateway = Gateway(tmp_path, store=redis.url)
    configure(gateway, NEW, OLD)
    with redis_client.Redis.from_url(redis.url) as store, running(gateway):
        names = list(store.scan_iter("sojourn:entry:mfa:*", count=1000))
        assert len(names) == devices
        first, second = NEW, OLD
        # On a busy machine it may be through before it is killed: then it is to go the other way.
        while not 0 < (moved := _killed_on_the_way(gateway, store, names, master_id(first))) < devices:
            assert moved == devices
            first, second = second, first
            configure(gateway, first, second)
            gateway.start()
        gateway.start()
        until(lambda: master_keys(gateway)[master_id(second)].get("SealedValues") == 0)
        assert _under(store, names, master_id(first)) == devices
        assert _under(store, names, master_id(second)) == 0


def _killed_on_the_way(gateway: Gateway, store: Any, names: Sequence[bytes], to: str) -> int:
    """How many values are under the key `to` when the gateway is dead, which was killed when the first one was."""
    # Few are looked at, so that looking takes less time than the rest needs.
    until(lambda: _under(store, names[::100], to) > 0, every=0.01)
    gateway.kill()
    return _under(store, names, to)


def _at_every_worker(gateway: Gateway, first: str) -> bool:
    return all(statuses(gateway).get(first) == "Current" for _ in range(16))


async def _create(url: str, devices: int) -> None:
    store = open_store(url, now=utc_now, random=secrets.token_bytes)
    await store.found()
    masters = MasterKeys([parse_master_key(OLD)], secrets.token_bytes)
    entries = Entries(store, masters, now=utc_now, random=secrets.token_bytes)
    for start in range(0, devices, 200):
        made = (
            entries.create_mfa_device(f"arn:aws:iam::{DEV}:mfa/d{n}", account=DEV, name=f"d{n}", path="/", tags={})
            for n in range(start, start + 200)
        )
        assert all(await asyncio.gather(*made))
    await store.close()


def _under(store: Any, names: Sequence[bytes], master: str) -> int:
    return sum(master.encode() in value for value in store.mget(names))
