"""Real servers, one of each kind for all tests of the room, emptied before each test."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from broker.stores import open_store
from broker.stores.contract import Store
from broker.stores.embedded import EmbeddedServer
from tests.fakes.clock import Clock
from tests.fakes.deployments import RedisCluster, SentinelTrio
from tests.fakes.redis import RedisServer

OpenStore = Callable[[str], Store]


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(tmp_path_factory.mktemp("state"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The embedded server of a machine that has none on its PATH."""
    server = EmbeddedServer(tmp_path_factory.mktemp("packaged"))
    with pytest.MonkeyPatch.context() as machine:
        machine.setenv("PATH", "")
        server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def shared_trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelTrio]:
    with SentinelTrio(tmp_path_factory.mktemp("trio")) as trio:
        yield trio


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may kill, pause and empty."""
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def opened(clock: Clock) -> AsyncIterator[OpenStore]:
    """Opens stores on the test's clock and closes them after it."""
    stores: list[Store] = []

    def open_at(url: str) -> Store:
        stores.append(open_store(url, now=clock, random=os.urandom))
        return stores[-1]

    yield open_at
    for store in stores:
        await store.close()
