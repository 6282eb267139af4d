"""Sessions on a real Redis, with a clock that moves when told."""

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broker.sealing import MasterKeys
from broker.sessions.keyring import Keyring
from broker.sessions.model import Grant, SessionKind
from broker.sessions.sessions import Sessions
from broker.stores import open_store
from broker.stores.contract import Store
from tests.fakes.clock import Clock
from tests.fakes.redis import RedisServer

ISSUER = "https://sts.acme.test"
ROLE = "arn:aws:iam::444455556666:role/deploy"


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    directory: Path = tmp_path_factory.mktemp("redis")
    with RedisServer(directory) as server:
        yield server


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[Store]:
    server.command("FLUSHALL")
    store = open_store(server.url, now=lambda: datetime.now(UTC), random=secrets.token_bytes)
    yield store
    await store.close()


@pytest.fixture
def masters() -> MasterKeys:
    return MasterKeys([secrets.token_bytes(32)], secrets.token_bytes)


@pytest.fixture
async def keyring(store: Store, masters: MasterKeys, clock: Clock) -> Keyring:
    keyring = Keyring(store, masters, now=clock, rotate_every=timedelta(days=30))
    await keyring.refresh()
    return keyring


@pytest.fixture
def sessions(store: Store, keyring: Keyring, masters: MasterKeys, clock: Clock) -> Sessions:
    return Sessions(store, keyring, masters, issuer=ISSUER, now=clock, random=secrets.token_bytes)


@pytest.fixture
def grant(clock: Clock) -> Callable[..., Grant]:
    """A grant of one hour, bent as told."""

    def make(**bend: object) -> Grant:
        now = int(clock().timestamp())
        plain: dict[str, object] = {
            "kind": SessionKind.ASSUMED_ROLE,
            "account": "444455556666",
            "arn": "arn:aws:sts::444455556666:assumed-role/deploy/s",
            "user_id": "AROAX:s",
            "principal_arn": ROLE,
            "principal_id": "AROAX",
            "name": "s",
            "issued_at": now,
            "expires_at": now + 3600,
        }
        return Grant(**{**plain, **bend})  # type: ignore[arg-type]

    return make
