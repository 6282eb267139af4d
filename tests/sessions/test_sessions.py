"""Sessions: what is recorded, what verifies, what ends."""

import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta

import msgspec
import pytest

from broker.ids import account_of
from broker.sealing import MasterKeys
from broker.sessions.keyring import Keyring
from broker.sessions.model import Grant, merged_tags
from broker.sessions.sessions import Sessions
from broker.stores.contract import Store, StoreUnavailable
from tests.fakes.clock import Clock
from tests.fakes.redis import RedisServer
from tests.sessions.conftest import ISSUER

MakeGrant = Callable[..., Grant]


async def test_what_was_minted_is_loaded(sessions: Sessions, grant: MakeGrant) -> None:
    minted = await sessions.mint(grant(tags={"a": "b"}, source_identity="alice"), principal_tags={"a": "b"})
    session = await sessions.load(minted.credentials.access_key_id)
    assert session == minted.session
    assert account_of(minted.credentials.access_key_id) == "444455556666"
    assert sessions.secret(minted.session) == minted.credentials.secret_access_key
    assert sessions.holds(minted.session, minted.credentials.session_token)


async def test_only_its_own_token_belongs_to_a_session(sessions: Sessions, grant: MakeGrant) -> None:
    one = await sessions.mint(grant(), principal_tags={})
    two = await sessions.mint(grant(), principal_tags={})
    token = one.credentials.session_token
    assert not sessions.holds(two.session, token)
    for bent in (token[:-1], token + "A", token.swapcase(), "", "é", token.rpartition(".")[0] + "."):
        assert not sessions.holds(one.session, bent)


async def test_a_session_ends_by_our_clock_too(sessions: Sessions, grant: MakeGrant, clock: Clock) -> None:
    minted = await sessions.mint(grant(), principal_tags={})
    clock.advance(timedelta(seconds=3599))
    assert await sessions.load(minted.credentials.access_key_id) is not None
    clock.advance(timedelta(seconds=1))
    assert await sessions.load(minted.credentials.access_key_id) is None


async def test_a_record_with_a_field_of_a_later_version_is_not_taken(
    sessions: Sessions, store: Store, masters: MasterKeys, grant: MakeGrant
) -> None:
    minted = await sessions.mint(grant(), principal_tags={})
    key_id = minted.credentials.access_key_id
    key, bound_to = f"session:{key_id}", key_id.encode()
    record = msgspec.msgpack.decode(masters.open("session record", await store.get(key) or b"", bound_to=bound_to))
    for content, readable in ((record, True), (record | {"only_from": "10.0.0.0/8"}, False), ({}, False)):
        sealed = masters.seal("session record", msgspec.msgpack.encode(content), bound_to=bound_to)
        await store.put(key, sealed)
        if readable:
            assert await sessions.load(key_id) == minted.session
        else:
            with pytest.raises(StoreUnavailable):
                await sessions.load(key_id)


async def test_who_writes_to_the_store_makes_no_session(sessions: Sessions, store: Store, grant: MakeGrant) -> None:
    one, two = [await sessions.mint(grant(), principal_tags={}) for _ in range(2)]
    key_id = one.credentials.access_key_id
    key = f"session:{key_id}"
    own = await store.get(key) or b""
    others = await store.get(f"session:{two.credentials.access_key_id}") or b""
    altered = own[:-20] + bytes([own[-20] ^ 1]) + own[-19:]
    for forged in (msgspec.msgpack.encode(one.session), altered, own[:40], b"x", others):
        await store.put(key, forged)
        assert await sessions.load(key_id) is None
    await store.put(key, own)
    assert await sessions.load(key_id) == one.session


async def test_an_expired_token_is_told_from_an_unknown_one(sessions: Sessions, grant: MakeGrant, clock: Clock) -> None:
    minted = await sessions.mint(grant(), principal_tags={})
    key_id, token = minted.credentials.access_key_id, minted.credentials.session_token
    assert not sessions.expired(key_id, token)
    clock.advance(timedelta(hours=25))
    assert sessions.expired(key_id, token)
    assert not sessions.expired("ASIAQAAAAAAAAAAAAAAA", token)
    head, claims, signature = token.split(".")
    other = ("B" if signature[0] == "A" else "A") + signature[1:]
    for bent in (f"{head}.{claims}.{other}", f"{head}.{claims}x.{signature}", "a.b.c", "", "x" * 20_000):
        assert not sessions.expired(key_id, bent)


async def test_nothing_can_be_read_or_signed_from_the_record_alone(
    sessions: Sessions,
    store: Store,
    keyring: Keyring,
    masters: MasterKeys,
    grant: MakeGrant,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    minted = await sessions.mint(grant(), principal_tags={})
    other = MasterKeys([secrets.token_bytes(32)], secrets.token_bytes)
    thief = Sessions(store, keyring, other, issuer=ISSUER, now=clock, random=secrets.token_bytes)
    assert await thief.load(minted.credentials.access_key_id) is None
    assert masters.current_id in caplog.text
    assert thief.signing_secret(minted.session) is None


async def test_the_same_id_is_never_given_twice(
    store: Store, keyring: Keyring, masters: MasterKeys, grant: MakeGrant, clock: Clock
) -> None:
    draws: Iterator[bytes] = iter([b"1" * 10, b"n" * 16, b"1" * 10, b"n" * 16, b"2" * 10, b"n" * 16])
    sessions = Sessions(store, keyring, masters, issuer=ISSUER, now=clock, random=lambda _: next(draws))
    first = await sessions.mint(grant(name="first"), principal_tags={})
    second = await sessions.mint(grant(name="second"), principal_tags={})
    assert first.credentials.access_key_id != second.credentials.access_key_id
    kept = await sessions.load(first.credentials.access_key_id)
    assert kept is not None
    assert kept.name == "first"


async def test_a_discarded_session_leaves_nothing(sessions: Sessions, server: RedisServer, grant: MakeGrant) -> None:
    minted = await sessions.mint(grant(), principal_tags={})
    await sessions.discard(minted.session)
    assert await sessions.load(minted.credentials.access_key_id) is None
    assert server.command("EXISTS", f"session:{minted.credentials.access_key_id}") == ":0"


async def test_a_store_that_is_away_mints_nothing(sessions: Sessions, server: RedisServer, grant: MakeGrant) -> None:
    server.pause()
    try:
        with pytest.raises(StoreUnavailable):
            await sessions.mint(grant(), principal_tags={})
    finally:
        server.resume()


def test_records_say_no_secret_when_printed(grant: MakeGrant) -> None:
    assert "secret" not in repr(msgspec.structs.asdict(grant()))


def test_later_tags_override_without_case() -> None:
    assert merged_tags({"Team": "a", "x": "1"}, {"team": "b"}) == {"team": "b", "x": "1"}
    assert merged_tags({"\u00c9quipe": "a"}, {"\u00e9quipe": "b"}) == {"\u00e9quipe": "b"}


def test_a_tag_does_not_take_away_one_that_only_looks_like_it() -> None:
    assert merged_tags({"stack": "closed"}, {"stac\u212a": "open"}) == {"stack": "closed", "stac\u212a": "open"}
