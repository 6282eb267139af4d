"""A real gateway whose callers are those of `resource_world`, for resource servers of these tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.resource_world import with_issuer
from tests.fakes.background import Background
from tests.fakes.issuer import FakeIssuer
from tests.gateway import Gateway, running, write_configuration


@pytest.fixture(scope="session")
def issuer() -> Iterator[FakeIssuer]:
    fake = FakeIssuer(path="/apps")
    with Background(fake):
        yield fake


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory, issuer: FakeIssuer) -> Iterator[Gateway]:
    directory: Path = tmp_path_factory.mktemp("gateway")
    write_configuration(directory, with_issuer(issuer.url))
    with running(Gateway(directory)) as gateway:
        yield gateway
