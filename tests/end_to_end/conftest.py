"""One gateway on a real Redis for the whole run of these tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.world import ACCOUNTS, ALICE
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, running, write_configuration


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis for one test alone."""
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory: Path = tmp_path_factory.mktemp("gateway")
    write_configuration(directory, ACCOUNTS)
    with RedisServer(directory / "redis") as server, running(Gateway(directory, store=server.url)) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def alice(gateway: Gateway) -> Any:
    """An STS client with alice's long-term key."""
    return gateway.client(credentials=ALICE)
