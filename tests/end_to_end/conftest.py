"""What many of these tests share: one gateway on a real Redis for the whole run, and issuers of tokens."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import federated_world, saml_world
from tests.end_to_end.saml_world import Corporation
from tests.end_to_end.world import ACCOUNTS, ALICE
from tests.fakes.background import Background
from tests.fakes.idp import FakeIdp
from tests.fakes.issuer import FakeIssuer
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


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    """An issuer of tokens whose identifier has a path."""
    issuer = FakeIssuer(path="/apps")
    with Background(issuer):
        yield issuer


@pytest.fixture(scope="module")
def issuers() -> Iterator[dict[str, FakeIssuer]]:
    """Those that `federated_gateway` trusts, by what is special about each."""
    fakes = {name: FakeIssuer(path=f"/{name}") for name in ("github", "mapped", "once")}
    with Background(fakes["github"]), Background(fakes["mapped"]), Background(fakes["once"]):
        yield fakes


@pytest.fixture(scope="module")
def github(issuers: dict[str, FakeIssuer]) -> FakeIssuer:
    """The issuer that most roles trust."""
    return issuers["github"]


@pytest.fixture(scope="module")
def federated_gateway(tmp_path_factory: pytest.TempPathFactory, issuers: dict[str, FakeIssuer]) -> Iterator[Gateway]:
    """A gateway whose roles trust the issuers, on a Redis of its own."""
    directory: Path = tmp_path_factory.mktemp("federated")
    write_configuration(directory, federated_world.accounts(**{name: fake.url for name, fake in issuers.items()}))
    with RedisServer(directory / "redis") as server, running(Gateway(directory, store=server.url)) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def saml_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The Redis of `saml_gateway`."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield saml_world.with_a_past(server)


@pytest.fixture(scope="module")
def saml_gateway(tmp_path_factory: pytest.TempPathFactory, saml_store: RedisServer) -> Iterator[Gateway]:
    """A gateway whose roles trust an identity provider."""
    metadata = FakeIdp(lambda: pytest.fail("metadata has no time")).metadata()
    with running(saml_world.gateway_of(tmp_path_factory.mktemp("saml"), metadata, saml_store.url)) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def corporation(saml_gateway: Gateway) -> Corporation:
    """That identity provider."""
    return Corporation(f"http://localhost:{saml_gateway.port}")
