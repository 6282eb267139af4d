"""The records of people's security keys, in a real Redis."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from broker.directory.model import LdapProvider, User
from broker.directory.security_keys import KeyHolder, SecurityKey, SecurityKeys
from broker.stores import open_store
from broker.stores.contract import Store, StoreUnavailable
from tests.fakes.clock import Clock
from tests.fakes.redis import RedisServer

ALICE = KeyHolder("111122223333", "arn:aws:iam::111122223333:u2f/user/alice", "AIDAALICE")
CLOCK = Clock(datetime.fromtimestamp(1_800_000_000, UTC))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


@pytest_asyncio.fixture
async def store(server: RedisServer) -> AsyncIterator[Store]:
    opened = open_store(server.url, now=CLOCK, random=secrets.token_bytes)
    yield opened
    await opened.close()


@pytest.fixture
def keys(store: Store) -> SecurityKeys:
    return SecurityKeys(store, now=CLOCK, random=secrets.token_bytes)


def key(name: str) -> SecurityKey:
    return SecurityKey(
        serial_number=f"{ALICE.place}/{name}",
        name=name,
        credential_id=name.encode(),
        public_key=b"",
        aaguid=bytes(16),
        sign_count=0,
        backup_eligible=False,
        created=CLOCK().timestamp(),
    )


async def test_of_changes_to_one_reading_one_is_made(keys: SecurityKeys) -> None:
    for _ in range(2):
        ring = await keys.ring(ALICE)
        made = await asyncio.gather(*(keys.replace(ring, [*ring.keys, key(f"key{i}")]) for i in range(10)))
        assert made.count(True) == 1
    assert len((await keys.ring(ALICE)).keys) == 2


async def test_a_use_is_remembered_once(keys: SecurityKeys) -> None:
    await keys.replace(await keys.ring(ALICE), [key("first"), key("second")])
    ring = await keys.ring(ALICE)
    used = await asyncio.gather(*(keys.used(ring, ring.keys[1], count) for count in range(1, 6)))
    assert used.count(True) == 1
    first, second = (await keys.ring(ALICE)).keys
    assert (first, second.sign_count) == (ring.keys[0], used.index(True) + 1)
    assert second.last_used_at == CLOCK()


async def test_a_person_is_told_to_keys_by_the_same_number(keys: SecurityKeys) -> None:
    ring = await keys.ring(ALICE)
    assert (await keys.ring(ALICE)).user_handle != ring.user_handle, "nothing is stored by asking"
    await keys.replace(ring, [key("only")])
    await keys.replace(await keys.ring(ALICE), [])
    assert (await keys.ring(ALICE)).user_handle == ring.user_handle
    another = KeyHolder(ALICE.account, ALICE.place, "AIDAANOTHER")
    assert (await keys.ring(another)).keys == ()
    assert (await keys.ring(another)).user_handle != ring.user_handle


async def test_a_record_that_cannot_be_read_is_no_empty_ring(
    keys: SecurityKeys, store: Store, server: RedisServer
) -> None:
    await keys.replace(await keys.ring(ALICE), [key("only")])
    async with Redis.from_url(server.url, decode_responses=True) as raw:
        (name,) = [name async for name in raw.scan_iter("*entry:keys:*")]
    await store.put(name[name.index("entry:") :], b"garbage")
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        await keys.ring(ALICE)


def test_where_a_users_keys_are() -> None:
    arn = "arn:aws:iam::111122223333:user/people/alice"
    user = User(account="111122223333", name="alice", path="/people/", arn=arn, unique_id="AIDAALICE")
    place = "arn:aws:iam::111122223333:u2f/user/people/alice"
    assert KeyHolder.user(user) == KeyHolder("111122223333", place, "AIDAALICE")


def test_where_a_persons_keys_are() -> None:
    provider = LdapProvider(
        arn="arn:aws:iam::111122223333:ldap-provider/corp",
        account="111122223333",
        name="corp",
        urls=(),
        user_search_base="",
        user_search_filter="",
        group_search_filter="",
    )
    holder = KeyHolder.person(provider, "dn:uid=alice, ou=people")
    stem, _, digest = holder.place.rpartition("/")
    assert (stem, len(digest)) == ("arn:aws:iam::111122223333:u2f/ldap-provider/corp", 26)
    assert holder != KeyHolder.person(provider, "dn:uid=bob, ou=people")
    assert KeyHolder.of_directory("111122223333", f"{holder.place}/blue-KEY") == holder
    assert KeyHolder.of_directory("444455556666", f"{holder.place}/blue-KEY") is None
    assert KeyHolder.of_directory("111122223333", f"{ALICE.place}/blue-KEY") is None
