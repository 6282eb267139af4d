"""The keyring: several processes, rotation, retirement, sealed keys."""

import asyncio
import secrets
from collections.abc import Callable
from datetime import timedelta

import jwt
import pytest

from broker.sealing import MasterKeys
from broker.sessions import token
from broker.sessions.keyring import (
    PROPAGATION,
    PUBLISHED_AHEAD,
    SESSION_ALGORITHM,
    Keyring,
    KeysUnavailable,
)
from broker.sessions.model import MAXIMUM_LIFETIME, Grant
from broker.stores.contract import Store, StoreUnavailable
from tests.fakes.clock import Clock
from tests.fakes.redis import RedisServer
from tests.sessions.conftest import ISSUER

MONTH = timedelta(days=30)


def of(store: Store, masters: MasterKeys, clock: Clock) -> Keyring:
    return Keyring(store, masters, now=clock, rotate_every=MONTH)


def session_keys(keyring: Keyring) -> list[str]:
    return [key["kid"] for key in keyring.jwks()["keys"] if key["alg"] == SESSION_ALGORITHM]


async def test_processes_that_start_together_agree(store: Store, masters: MasterKeys, clock: Clock) -> None:
    rings = [of(store, masters, clock) for _ in range(5)]
    await asyncio.gather(*(ring.refresh() for ring in rings))
    await asyncio.gather(*(ring.refresh() for ring in rings))
    assert len({ring.current().kid for ring in rings}) == 1


async def test_a_rotated_key_signs_when_all_have_read_it(store: Store, masters: MasterKeys, clock: Clock) -> None:
    one, two = of(store, masters, clock), of(store, masters, clock)
    await one.refresh()
    await two.refresh()
    old = one.current().kid
    await one.rotate()
    assert one.current().kid == old
    assert len(session_keys(one)) == 2
    await two.refresh()
    clock.advance(PROPAGATION)
    assert one.current().kid == two.current().kid != old


async def test_rotation_by_schedule(store: Store, masters: MasterKeys, clock: Clock) -> None:
    ring = of(store, masters, clock)
    await ring.refresh()
    old = ring.current().kid
    clock.advance(MONTH - PUBLISHED_AHEAD - timedelta(seconds=1))
    await ring.refresh()
    assert session_keys(ring) == [old]
    clock.advance(timedelta(seconds=1))
    await ring.refresh()
    assert len(session_keys(ring)) == 2
    assert ring.current().kid == old
    clock.advance(PUBLISHED_AHEAD)
    assert ring.current().kid != old


async def test_a_retired_key_is_published_as_long_as_its_tokens_may_live(
    store: Store, masters: MasterKeys, clock: Clock, grant: Callable[..., Grant]
) -> None:
    ring = of(store, masters, clock)
    await ring.refresh()
    old = ring.current().kid
    signed = token.sign(grant(), "ASIAX", {}, issuer=ISSUER, keyring=ring)
    await ring.rotate()
    clock.advance(PROPAGATION)
    keys = jwt.PyJWKSet.from_dict(ring.jwks())
    assert jwt.decode(signed, keys[old], algorithms=["ES256"], audience=ISSUER)["jti"] == "ASIAX"
    clock.advance(MAXIMUM_LIFETIME - timedelta(seconds=1))
    await ring.refresh()
    assert old in session_keys(ring)
    clock.advance(timedelta(seconds=1))
    await ring.refresh()
    assert old not in session_keys(ring)
    assert token.expired(signed, "ASIAX", issuer=ISSUER, keyring=ring, now=clock())
    clock.advance(timedelta(hours=24))
    await ring.refresh()
    assert not token.expired(signed, "ASIAX", issuer=ISSUER, keyring=ring, now=clock())


async def test_another_master_key_opens_nothing(store: Store, masters: MasterKeys, clock: Clock) -> None:
    await of(store, masters, clock).refresh()
    stranger = of(store, MasterKeys([secrets.token_bytes(32)], secrets.token_bytes), clock)
    await stranger.refresh()
    assert "keys.master" in (stranger.problem or "")
    with pytest.raises(KeysUnavailable):
        stranger.current()


async def test_an_old_master_key_still_opens(store: Store, clock: Clock) -> None:
    old, new = secrets.token_bytes(32), secrets.token_bytes(32)
    before = of(store, MasterKeys([old], secrets.token_bytes), clock)
    await before.refresh()
    after = of(store, MasterKeys([new, old], secrets.token_bytes), clock)
    await after.refresh()
    assert after.current().kid == before.current().kid


async def test_keys_that_cannot_be_opened_are_not_made_anew(
    store: Store, masters: MasterKeys, clock: Clock, keyring: Keyring
) -> None:
    old, before = masters.current_id, await store.get("signing-keys")
    stranger = of(store, MasterKeys([secrets.token_bytes(32)], secrets.token_bytes), clock)
    clock.advance(MONTH)  # a successor is due
    for _ in range(2):
        await stranger.refresh()
        assert old in (stranger.problem or "")
    with pytest.raises(KeysUnavailable, match=old):
        await stranger.rotate()
    assert await store.get("signing-keys") == before
    await keyring.refresh()
    assert keyring.problem is None


async def test_an_emergency_makes_them_anew_whoever_opens_them(store: Store, clock: Clock, keyring: Keyring) -> None:
    stranger = of(store, MasterKeys([secrets.token_bytes(32)], secrets.token_bytes), clock)
    await stranger.refresh()
    lost = keyring.current().kid
    assert keyring.sessions_from == stranger.sessions_from == 0
    await stranger.replace(until_known=timedelta(0))
    assert stranger.problem is None
    assert lost not in session_keys(stranger)
    assert stranger.sessions_from == clock().timestamp()
    await stranger.rotate()
    clock.advance(PROPAGATION)
    await stranger.refresh()
    assert stranger.sessions_from == (clock() - PROPAGATION).timestamp()


async def test_a_master_key_that_is_gone_is_told_before_the_next_start(store: Store, clock: Clock) -> None:
    old, new = secrets.token_bytes(32), secrets.token_bytes(32)
    masters = MasterKeys([old], secrets.token_bytes)
    ring, old_id = of(store, masters, clock), masters.current_id
    await ring.refresh()
    kid = ring.current().kid
    masters.adopt([new])
    await ring.refresh()
    assert old_id in (ring.problem or "")
    assert ring.current().kid == kid
    masters.adopt([new, old])
    await ring.refresh()
    assert ring.problem is None


async def test_keys_go_over_to_another_master_key_as_they_are(store: Store, clock: Clock) -> None:
    old, new = secrets.token_bytes(32), secrets.token_bytes(32)
    masters = MasterKeys([old], secrets.token_bytes)
    ring = of(store, masters, clock)
    await ring.refresh()
    published = ring.jwks()
    record = await store.get("signing-keys") or b""
    assert set(ring.masters(record)) == {masters.current_id}
    masters.adopt([new, old])
    resealed = ring.resealed(record)
    assert set(ring.masters(resealed)) == {masters.current_id}
    assert ring.resealed(resealed) == resealed
    await store.put("signing-keys", resealed)
    fresh = of(store, MasterKeys([new], secrets.token_bytes), clock)
    await fresh.refresh()
    assert fresh.problem is None
    assert fresh.jwks() == published
    assert fresh.current().sign(b"{}", "t")


async def test_an_altered_key_is_refused(store: Store, masters: MasterKeys, clock: Clock, server: RedisServer) -> None:
    ring = of(store, masters, clock)
    await ring.refresh()
    raw = await store.get("signing-keys")
    assert raw is not None
    await store.put("signing-keys", raw.replace(b'"sealed":"', b'"sealed":"AAAA', 1))
    fresh = of(store, masters, clock)
    await fresh.refresh()
    assert fresh.problem is not None


def test_a_keyring_that_was_never_read_signs_nothing(store: Store, masters: MasterKeys, clock: Clock) -> None:
    ring = of(store, masters, clock)
    with pytest.raises(KeysUnavailable):
        ring.current()
    with pytest.raises(StoreUnavailable):
        assert ring.sessions_from
