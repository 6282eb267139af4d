"""When sessions were last used: remembered, written, read."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from broker.sessions.model import Grant
from broker.sessions.sessions import Sessions
from broker.sessions.usage import Usage
from broker.stores.contract import Store, StoreUnavailable
from tests.fakes.clock import Clock
from tests.fakes.redis import RedisServer

MakeGrant = Callable[..., Grant]


async def test_what_was_written_is_known_elsewhere(
    sessions: Sessions, store: Store, grant: MakeGrant, clock: Clock
) -> None:
    used, unused = [(await sessions.mint(grant(), principal_tags={})).session for _ in range(2)]
    keys = [used.access_key_id, unused.access_key_id]
    here, there = Usage(store, clock), Usage(store, clock)
    clock.advance(timedelta(seconds=5))
    here.note(used)
    at = int(clock().timestamp())
    assert await here.last_used(keys) == {used.access_key_id: at}
    assert await there.last_used(keys) == {}
    await here.write()
    assert await there.last_used(keys) == {used.access_key_id: at}
    clock.advance(timedelta(seconds=60))
    there.note(used)
    assert await there.last_used(keys) == {used.access_key_id: at + 60}


async def test_it_is_forgotten_with_the_session(
    sessions: Sessions, store: Store, server: RedisServer, grant: MakeGrant, clock: Clock
) -> None:
    session = (await sessions.mint(grant(), principal_tags={})).session
    usage = Usage(store, clock)
    usage.note(session)
    await usage.write()
    left = int(server.command("TTL", f"sojourn:session-used:{session.access_key_id}").removeprefix(":"))
    assert 3500 < left <= 3600
    usage.note(session)
    clock.advance(timedelta(hours=1))
    await usage.write()


async def test_a_store_that_is_away_forgets_only_uses(
    sessions: Sessions, store: Store, server: RedisServer, grant: MakeGrant, clock: Clock
) -> None:
    session = (await sessions.mint(grant(), principal_tags={})).session
    usage = Usage(store, clock)
    usage.note(session)
    server.pause()
    try:
        with pytest.raises(StoreUnavailable):
            await usage.write()
    finally:
        server.resume()
