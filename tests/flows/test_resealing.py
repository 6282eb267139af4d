"""Sealed values go over to another master key: when, by whom, and what an operator is told; on a real Redis."""

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.audit import Trail
from broker.clock import utc_now
from broker.directory.entries import Entries, EntryBusy, MfaEntry
from broker.directory.model import User
from broker.flows.resealing import Resealing
from broker.sealing import MasterKeys
from broker.sessions.key_use import FIRST_NOWHERE_AFTER, NOTE_EVERY, KeyUse, MasterKey, Status
from broker.sessions.keyring import Keyring, KeysUnavailable
from broker.sessions.model import MAXIMUM_LIFETIME
from broker.sessions.shared_secrets import guessing_key, saml_signing_key
from broker.stores import open_store
from broker.stores.contract import Store, StoreUnavailable
from tests.fakes.clock import Clock
from tests.fakes.redis import RedisServer

ACCOUNT = "111122223333"
OLD, NEW = secrets.token_bytes(32), secrets.token_bytes(32)
OLD_ID, NEW_ID = (MasterKeys([key], secrets.token_bytes).current_id for key in (OLD, NEW))
ALICE = User(
    arn=f"arn:aws:iam::{ACCOUNT}:user/alice",
    account=ACCOUNT,
    name="alice",
    path="/",
    unique_id="AIDAALICE",
)
KINDS = {"seeds of MFA devices", "key of the counts of attempts", "SAML signing key", "signing keys"}


class Gateway:
    """What a process has of all this."""

    def __init__(self, store: Store, clock: Clock, trail: Trail, *keys: bytes) -> None:
        self.store = store
        self.masters = MasterKeys(keys, secrets.token_bytes)
        self.keyring = Keyring(store, self.masters, now=clock, rotate_every=timedelta(days=30))
        self.entries = Entries(store, self.masters, now=clock, random=secrets.token_bytes)
        self.guessing = guessing_key(store, self.masters, secrets.token_bytes)
        self.saml = saml_signing_key(store, self.masters)
        self.use = KeyUse(store, self.masters, clock)
        sealed = (self.entries, self.guessing, self.saml, self.keyring)
        self.resealing = Resealing(store, self.masters, self.use, sealed, trail, clock, secrets.token_bytes)

    async def round(self) -> None:
        await self.resealing.round()
        await asyncio.sleep(0.005)  # what a round holds ends a millisecond later

    async def device(self, name: str) -> MfaEntry:
        entry = await self.entries.mfa_device(serial_number(name))
        assert entry is not None
        return entry

    async def create(self, name: str) -> MfaEntry:
        entry = await self.entries.create_mfa_device(serial_number(name), account=ACCOUNT, name=name, path="/", tags={})
        assert entry is not None
        return entry

    async def under(self, kind: str) -> dict[str, int]:
        """Of one kind how many values are under which master key, as last counted."""
        survey = await self.use.survey()
        assert survey is not None
        return survey.counts[kind]

    async def master_key(self, master_id: str) -> MasterKey:
        (found,) = [each for each in await self.use.master_keys() if each.master_id == master_id]
        return found


def serial_number(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:mfa/{name}"


class World:
    """Gateways on one store, with one clock and one trail."""

    def __init__(self, server: RedisServer, directory: Path) -> None:
        self.server = server
        self.clock = Clock()
        self._stores: list[Store] = []
        self._path = directory / "audit.jsonl"
        self._trail = Trail(self._path)

    def gateway(self, *keys: bytes) -> Gateway:
        self._stores.append(open_store(self.server.url, now=utc_now, random=secrets.token_bytes))
        return Gateway(self._stores[-1], self.clock, self._trail, *keys)

    @property
    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._path.read_text().splitlines()] if self._path.exists() else []

    async def close(self) -> None:
        for store in self._stores:
            await store.close()
        await asyncio.to_thread(self._trail.close)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    with RedisServer(tmp_path / "redis") as server:
        world = World(server, tmp_path)
        yield world
        await world.close()


async def before(world: World, devices: int = 3) -> Gateway:
    """A gateway that has only ever known the old key, and one of everything that is sealed."""
    gateway = world.gateway(OLD)
    await gateway.keyring.refresh()
    await gateway.guessing.value()
    await gateway.saml.value()
    for number in range(devices):
        await gateway.create(f"d{number}")
    await gateway.round()
    return gateway


async def test_everything_goes_over_and_stays_what_it_is(world: World) -> None:
    old = await before(world)
    seeds = [old.entries.seed(await old.device(f"d{number}")) for number in range(3)]
    world.clock.advance(FIRST_NOWHERE_AFTER + NOTE_EVERY)
    gateway = world.gateway(NEW, OLD)
    await gateway.round()
    survey = await gateway.use.survey()
    assert survey is not None
    assert survey.counts.keys() == KINDS
    assert survey.totals == {NEW_ID: 8}
    alone = world.gateway(NEW)
    await alone.keyring.refresh()
    assert alone.keyring.problem is None
    assert alone.keyring.jwks() == old.keyring.jwks()
    assert [alone.entries.seed(await alone.device(f"d{number}")) for number in range(3)] == seeds
    assert await alone.guessing.value() == await old.guessing.value()
    assert await alone.saml.value() == await old.saml.value()
    (event,) = world.audit
    assert event["eventName"] == "ResealValues"
    assert event["serviceEventDetails"] == {
        "masterKey": NEW_ID,
        "sealedAnew": {
            "seeds of MFA devices": {OLD_ID: 3},
            "key of the counts of attempts": {OLD_ID: 1},
            "SAML signing key": {OLD_ID: 1},
            "signing keys": {OLD_ID: 3},
        },
    }


async def test_nothing_goes_over_while_another_gateway_has_the_old_key_first(world: World) -> None:
    old = await before(world)
    gateway = world.gateway(NEW, OLD)
    for _ in range(10):
        world.clock.advance(NOTE_EVERY)
        await old.round()
        await gateway.round()
    world.clock.advance(FIRST_NOWHERE_AFTER - timedelta(seconds=1))
    await gateway.round()
    survey = await gateway.use.survey()
    assert survey is not None
    assert survey.totals == {OLD_ID: 8}
    world.clock.advance(timedelta(seconds=2))
    await gateway.round()
    survey = await gateway.use.survey()
    assert survey is not None
    assert survey.totals == {NEW_ID: 8}


async def test_nothing_goes_to_and_fro(world: World) -> None:
    """Two gateways that do not agree which key is first, each with something that it sealed."""
    await before(world)
    behind, ahead = world.gateway(OLD, NEW), world.gateway(NEW, OLD)
    await ahead.create("made-ahead")
    for _ in range(70):
        world.clock.advance(NOTE_EVERY)
        await behind.round()
        await ahead.round()
    assert await ahead.under("seeds of MFA devices") == {OLD_ID: 3, NEW_ID: 1}
    assert world.audit == []
    behind.masters.adopt([NEW, OLD])
    for _ in range(4):
        world.clock.advance(NOTE_EVERY)
        await behind.round()
    assert await ahead.under("seeds of MFA devices") == {NEW_ID: 4}


async def test_a_change_can_be_taken_back(world: World) -> None:
    gateway = await before(world)
    for keys, first in (((NEW, OLD), NEW_ID), ((OLD, NEW), OLD_ID)):
        gateway.masters.adopt(keys)
        for _ in range(5):
            world.clock.advance(NOTE_EVERY)
            await gateway.round()
        survey = await gateway.use.survey()
        assert survey is not None
        assert survey.totals == {first: 8}


async def test_an_operator_sees_when_the_old_key_may_go(world: World) -> None:
    gateway = await before(world)
    assert await gateway.use.master_keys() == [MasterKey(OLD_ID, Status.CURRENT, 8, None)]
    gateway.masters.adopt([OLD, NEW])
    assert await gateway.master_key(NEW_ID) == MasterKey(NEW_ID, Status.UNUSED, 0, None)
    await gateway.round()
    noted = world.clock().replace(microsecond=0)
    await gateway.create("later")
    gateway.masters.adopt([NEW, OLD])
    await gateway.round()
    ends = noted + MAXIMUM_LIFETIME + timedelta(minutes=1)
    assert await gateway.use.master_keys() == [
        MasterKey(NEW_ID, Status.CURRENT, 0, None),
        MasterKey(OLD_ID, Status.IN_USE, 9, ends),
    ]
    await gateway.entries.delete_mfa_device(await gateway.device("later"))
    world.clock.advance(FIRST_NOWHERE_AFTER + NOTE_EVERY)
    await gateway.round()
    assert await gateway.master_key(OLD_ID) == MasterKey(OLD_ID, Status.IN_USE, 0, ends)
    kept = int(world.server.command("PTTL", f"sojourn:master-key-first:{OLD_ID}").removeprefix(":"))
    assert 0 <= MAXIMUM_LIFETIME.total_seconds() + 60 - kept / 1000 < 30
    world.server.command("DEL", f"sojourn:master-key-first:{OLD_ID}")  # as it ends by itself then
    assert await gateway.master_key(OLD_ID) == MasterKey(OLD_ID, Status.UNUSED, 0, None)


async def test_a_key_that_was_removed_too_early_is_missed_and_nothing_is_made_anew(world: World) -> None:
    await before(world)
    gateway = world.gateway(NEW)
    names = ["signing-keys", "saml:signing-key", "guessing-key"]
    kept = [await gateway.store.get(name) for name in names]
    await gateway.keyring.refresh()
    assert OLD_ID in (gateway.keyring.problem or "")
    for secret in (gateway.guessing, gateway.saml):
        with pytest.raises(KeysUnavailable, match=OLD_ID):
            await secret.value()
    with pytest.raises(StoreUnavailable, match=OLD_ID):
        gateway.entries.seed(await gateway.device("d0"))
    world.clock.advance(timedelta(minutes=6))
    await gateway.round()
    assert await gateway.master_key(OLD_ID) == MasterKey(OLD_ID, Status.MISSING, 8, None)
    assert len(gateway.resealing.problems) == 3
    assert all(OLD_ID in problem and "keys.master" in problem for problem in gateway.resealing.problems)
    assert [await gateway.store.get(name) for name in names] == kept
    await gateway.store.delete("saml:signing-key")
    world.clock.advance(timedelta(seconds=30))
    await gateway.round()
    assert len(gateway.resealing.problems) == 2
    gateway.masters.adopt([NEW, OLD])
    await gateway.round()
    await gateway.round()
    assert gateway.resealing.problems == []
    assert await gateway.under("signing keys") == {NEW_ID: 3}


async def test_one_device_that_cannot_be_opened_is_no_reason_to_stop(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await before(world)
    stranger = world.gateway(NEW)
    await stranger.create("strange")
    altered = await gateway.device("d1")
    raw = await gateway.store.get(f"entry:mfa:{await _digest(gateway, 'd1')}") or b""
    await gateway.store.put(f"entry:mfa:{await _digest(gateway, 'd1')}", raw.replace(altered.sealed_seed[-4:], b"bent"))
    third = secrets.token_bytes(32)
    gateway.masters.adopt([third, OLD])
    world.clock.advance(FIRST_NOWHERE_AFTER + NOTE_EVERY)
    await gateway.round()
    assert gateway.resealing.problems == []
    assert await gateway.under("seeds of MFA devices") == {gateway.masters.current_id: 2, NEW_ID: 1}
    assert await gateway.under("signing keys") == {gateway.masters.current_id: 3}
    assert (await gateway.device("d1")).sealed_seed == altered.sealed_seed[:-4] + b"bent"
    assert NEW_ID in caplog.text
    assert "altered" in caplog.text


async def _digest(gateway: Gateway, name: str) -> str:
    for _, digest in await gateway.store.members("entries:mfa"):
        if (await gateway.store.get(f"entry:mfa:{digest}") or b"").find(serial_number(name).encode()) > 0:
            return digest
    raise AssertionError(name)


async def test_what_is_sealed_after_the_last_count_goes_over_too(world: World) -> None:
    old = await before(world)
    gateway = world.gateway(NEW, OLD)
    await old.create("later")
    await old.create("last")
    world.clock.advance(FIRST_NOWHERE_AFTER + NOTE_EVERY)
    assert await gateway.under("seeds of MFA devices") == {OLD_ID: 3}
    await gateway.round()
    assert await gateway.under("seeds of MFA devices") == {NEW_ID: 5}


async def test_a_key_that_seemed_to_hold_nothing_is_looked_at_once_more(world: World) -> None:
    old = world.gateway(OLD)
    await old.round()
    assert await old.under("seeds of MFA devices") == {}
    await old.create("later")
    gateway = world.gateway(NEW, OLD)
    world.clock.advance(FIRST_NOWHERE_AFTER + NOTE_EVERY)
    await gateway.round()
    assert await gateway.under("seeds of MFA devices") == {NEW_ID: 1}
    world.clock.advance(NOTE_EVERY)
    survey = await gateway.use.survey()
    await gateway.round()
    assert await gateway.use.survey() == survey


async def test_one_process_goes_through_the_values_at_a_time(world: World) -> None:
    await before(world, devices=5)
    world.clock.advance(FIRST_NOWHERE_AFTER + NOTE_EVERY)
    gateways = [world.gateway(NEW, OLD) for _ in range(4)]
    await asyncio.gather(*(each.round() for each in gateways))
    assert len(world.audit) == 1
    await world.gateway(NEW, OLD).round()
    assert len(world.audit) == 1


async def test_a_process_that_was_overtaken_stops(world: World) -> None:
    gateway = await before(world, devices=450)
    gateway.masters.adopt([NEW, OLD])
    world.clock.advance(FIRST_NOWHERE_AFTER + NOTE_EVERY)
    task = asyncio.create_task(gateway.round())
    while world.server.command("EXISTS", "sojourn:resealing") != ":1":
        await asyncio.sleep(0)
    await gateway.store.put("resealing", b"another", ttl=timedelta(seconds=15))
    await task
    survey = await gateway.use.survey()
    assert survey is not None
    assert survey.totals[OLD_ID] > 0  # it is the one from before
    assert await gateway.store.get("resealing") == b"another"


async def test_what_a_killed_process_left_goes_over_later(world: World) -> None:
    gateway = await before(world, devices=450)
    gateway.masters.adopt([NEW, OLD])
    world.clock.advance(FIRST_NOWHERE_AFTER + NOTE_EVERY)
    task = asyncio.create_task(gateway.round())
    first = f"entry:mfa:{(await gateway.store.members('entries:mfa', limit=1))[0][1]}"
    while gateway.entries.masters(await gateway.store.get(first) or b"") == [OLD_ID]:
        assert not task.done(), task.exception()
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    alone = world.gateway(OLD)
    await alone.keyring.refresh()
    assert alone.keyring.problem is None  # the signing keys go last
    world.server.command("DEL", "sojourn:resealing")  # as it ends by itself after 15 seconds
    await world.gateway(NEW, OLD).round()
    assert await gateway.under("seeds of MFA devices") == {NEW_ID: 450}
    moved = [each["serviceEventDetails"]["sealedAnew"]["seeds of MFA devices"][OLD_ID] for each in world.audit]
    assert 0 < moved[-1] < 450


async def test_who_changes_a_device_meanwhile_is_not_overwritten_and_not_refused(world: World) -> None:
    gateway = await before(world, devices=30)
    read = [await gateway.device(f"d{number}") for number in range(30)]
    gateway.masters.adopt([NEW, OLD])
    world.clock.advance(FIRST_NOWHERE_AFTER + NOTE_EVERY)
    await asyncio.gather(
        gateway.round(),
        *(gateway.entries.assign(entry, ALICE) for entry in read[:20]),
        *(gateway.entries.delete_mfa_device(entry) for entry in read[20:29]),
    )
    await gateway.round()
    assert await gateway.under("seeds of MFA devices") == {NEW_ID: 21}
    assigned = [await gateway.device(f"d{number}") for number in range(20)]
    assert all(entry.belongs_to(ALICE) and entry.version == 2 for entry in assigned)
    # What was read before it went over still serves a change, and the seal stays the new one.
    await gateway.entries.assign(read[29], ALICE)
    assert gateway.entries.masters(await gateway.store.get(f"entry:mfa:{await _digest(gateway, 'd29')}") or b"") == [
        NEW_ID
    ]
    for stale in (read[0], read[29]):
        with pytest.raises(EntryBusy):
            await gateway.entries.assign(stale, ALICE)
