"""A revocation never un-happens: tombstones, durability, indexes."""

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from broker.sealing import MasterKeys
from broker.sessions import indexes
from broker.sessions.keyring import Keyring, KeysUnavailable
from broker.sessions.model import Grant, Session
from broker.sessions.sessions import Sessions
from broker.stores import open_store
from broker.stores.contract import Store, StoreUnavailable
from tests.fakes.clock import Clock
from tests.fakes.deployments import until
from tests.fakes.redis import RedisServer
from tests.sessions.conftest import ISSUER, ROLE

MakeGrant = Callable[..., Grant]


class Replicated(NamedTuple):
    """A store whose server has a replica."""

    store: Store
    keyring: Keyring
    primary: RedisServer
    replica: RedisServer

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Without the replica; afterwards it has caught up."""
        self.replica.pause()
        try:
            yield
        finally:
            self.replica.resume()
            until(self.primary.followed, "the replica does not follow")


async def minted(sessions: Sessions, grant: Grant) -> Session:
    return (await sessions.mint(grant, principal_tags={})).session


async def test_what_is_revoked_is_gone_for_its_whole_time(
    sessions: Sessions, store: Store, server: RedisServer, grant: MakeGrant
) -> None:
    session, other = await minted(sessions, grant()), await minted(sessions, grant())
    key = f"session:{session.access_key_id}"
    record = await store.get(key)
    assert record is not None
    await sessions.revoke([session])
    assert await sessions.load(session.access_key_id) is None
    assert await sessions.load(other.access_key_id) == other
    assert not await store.add(key, record, ttl=timedelta(hours=1))
    assert await sessions.load(session.access_key_id) is None
    assert int(server.command("TTL", f"sojourn:{key}").removeprefix(":")) >= 3600
    assert await sessions.revoked(session.access_key_id)
    assert not await sessions.revoked(other.access_key_id)


async def test_its_id_is_not_drawn_again(
    store: Store, keyring: Keyring, masters: MasterKeys, grant: MakeGrant, clock: Clock
) -> None:
    draws: Iterator[bytes] = iter([b"1" * 10, b"n" * 16, b"1" * 10, b"n" * 16, b"2" * 10, b"n" * 16])
    sessions = Sessions(store, keyring, masters, issuer=ISSUER, now=clock, random=lambda _: next(draws))
    first = await minted(sessions, grant())
    await sessions.revoke([first])
    assert (await minted(sessions, grant())).access_key_id != first.access_key_id


async def test_what_is_over_is_no_trouble(sessions: Sessions, grant: MakeGrant, clock: Clock) -> None:
    session = await minted(sessions, grant())
    clock.advance(timedelta(hours=2))
    await sessions.revoke([session])
    assert await sessions.load(session.access_key_id) is None


async def test_the_indexes_forget_it(sessions: Sessions, store: Store, grant: MakeGrant) -> None:
    everything = {
        "origin_arn": "arn:aws:iam::111122223333:user/a",
        "federated_provider": "arn:aws:iam::444455556666:saml-provider/p",
        "source_identity": "alice",
    }
    revoked = [await minted(sessions, grant(**everything)) for _ in range(3)]
    kept = await minted(sessions, grant(**everything))
    names = [entry.index for entry in indexes.entries(kept)]
    assert len(names) == len(set(names)) == 6
    await sessions.revoke(revoked)
    for name in names:
        assert [member for _, member in await store.members(name)] == [kept.access_key_id]


async def test_a_page_holds_the_living_and_where_to_go_on(
    sessions: Sessions, store: Store, grant: MakeGrant, clock: Clock
) -> None:
    made = []
    for _ in range(5):
        clock.advance(timedelta(seconds=1))
        made.append(await minted(sessions, grant()))
    await store.delete(f"session:{made[3].access_key_id}")
    index = indexes.of_principal(ROLE)
    first, position = await sessions.page(index, limit=2)
    assert (first, position) == ([made[4]], (made[3].issued_at, made[3].access_key_id))
    rest, position = await sessions.page(index, after=position, limit=4)
    assert (rest, position) == ([made[2], made[1], made[0]], None)


@pytest.fixture
async def replicated(tmp_path: Path, masters: MasterKeys, clock: Clock) -> AsyncIterator[Replicated]:
    with RedisServer(tmp_path / "primary") as primary:
        replica = RedisServer(tmp_path / "replica", replicaof=f"127.0.0.1 {primary.port}", masterauth=primary.password)
        with replica:
            store = open_store(primary.url, now=lambda: datetime.now(UTC), random=secrets.token_bytes)
            keyring = Keyring(store, masters, now=clock, rotate_every=timedelta(days=30))
            await keyring.refresh()
            until(primary.followed, "the replica does not follow")
            yield Replicated(store, keyring, primary, replica)
            await store.close()


async def test_it_is_not_told_before_a_replica_has_it(
    replicated: Replicated, masters: MasterKeys, grant: MakeGrant, clock: Clock
) -> None:
    store, keyring = replicated.store, replicated.keyring
    sessions = Sessions(store, keyring, masters, issuer=ISSUER, now=clock, random=secrets.token_bytes)
    session = await minted(sessions, grant())
    with replicated.paused():
        with pytest.raises(StoreUnavailable):
            await sessions.revoke([session])
        # A replica that takes over now has the session and its index entries: a second try finds them.
        assert await store.members(indexes.of_principal(ROLE)) != []
        with pytest.raises(StoreUnavailable):
            await sessions.revoke([])
        with pytest.raises(StoreUnavailable):
            await sessions.revoked(session.access_key_id)
    await sessions.revoke([session])
    assert await store.members(indexes.of_principal(ROLE)) == []


async def test_credentials_wait_for_replicas_where_they_are_to(
    replicated: Replicated, masters: MasterKeys, grant: MakeGrant, clock: Clock
) -> None:
    store, keyring = replicated.store, replicated.keyring
    quick, safe = (
        Sessions(store, keyring, masters, issuer=ISSUER, now=clock, random=secrets.token_bytes, on_replicas=wait)
        for wait in (False, True)
    )
    with replicated.paused():
        handed_out = await minted(quick, grant())
        with pytest.raises(StoreUnavailable):
            await safe.mint(grant(), principal_tags={})
    # What was not handed out is not on record either.
    filed = await store.members(indexes.of_principal(ROLE))
    assert [key_id for _, key_id in filed] == [handed_out.access_key_id]
    assert await safe.load((await minted(safe, grant())).access_key_id) is not None


async def test_an_emergency_ends_what_no_index_leads_to(
    sessions: Sessions, store: Store, keyring: Keyring, masters: MasterKeys, grant: MakeGrant, clock: Clock
) -> None:
    other = Keyring(store, masters, now=clock, rotate_every=timedelta(days=30))
    await other.refresh()
    elsewhere = Sessions(store, other, masters, issuer=ISSUER, now=clock, random=secrets.token_bytes)
    session = await minted(sessions, grant())
    await store.unfile(indexes.of_account(session.account), [session.access_key_id])
    await keyring.replace(until_known=timedelta(seconds=7))
    assert await sessions.load(session.access_key_id) is None
    assert await elsewhere.load(session.access_key_id) == session
    late = await minted(elsewhere, grant())
    await other.refresh()
    for each in (session, late):
        assert await elsewhere.load(each.access_key_id) is None
    with pytest.raises(KeysUnavailable, match="emergency"):
        await minted(sessions, grant())
    clock.advance(timedelta(seconds=7))
    again = await minted(sessions, grant())
    assert await elsewhere.load(again.access_key_id) == again


async def test_all_sessions_of_accounts_are_ended_page_by_page(
    sessions: Sessions, store: Store, keyring: Keyring, grant: MakeGrant, clock: Clock
) -> None:
    made = [await minted(sessions, grant(issued_at=int(clock().timestamp()) - n % 3)) for n in range(450)]
    kept = await minted(sessions, grant(account="999988887777"))
    await sessions.revoke(made[:10])
    await keyring.replace(until_known=timedelta(0))
    assert await sessions.end_all(["444455556666", "123456789012"]) == 440
    assert await store.members(indexes.of_account("444455556666")) == []
    assert [await store.get(f"session:{each.access_key_id}") for each in made] == [b""] * 450
    assert await store.get(f"session:{kept.access_key_id}")
    assert await sessions.end_all(["444455556666"]) == 0
