"""An issuer on a loopback socket, and providers for it that are closed after the test."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from providers.jwks import Times
from providers.oidc import OidcConfig, OidcProvider
from tests.fakes.issuer import AUDIENCE, FakeIssuer

MakeProvider = Callable[..., OidcProvider]


class Memory:
    """A `Once` for one process."""

    def __init__(self) -> None:
        self.claimed: dict[str, tuple[datetime, datetime]] = {}

    async def claim(self, purpose: str, value: str, *, issued_at: datetime, until: datetime) -> bool:
        assert purpose == "oidc"
        if value in self.claimed:
            return False
        self.claimed[value] = (issued_at, until)
        return True


@pytest.fixture
async def issuer() -> AsyncIterator[FakeIssuer]:
    async with FakeIssuer() as issuer:
        yield issuer


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture
async def make_provider(issuer: FakeIssuer, session: aiohttp.ClientSession) -> AsyncIterator[MakeProvider]:
    made: list[OidcProvider] = []

    def make(
        *, now: Callable[[], datetime] = lambda: datetime.now(UTC), times: Times | None = None, **config: Any
    ) -> OidcProvider:
        whole = {"issuer": issuer.url, "audiences": frozenset({AUDIENCE}), "allow_http": True, **config}
        provider = OidcProvider(OidcConfig(**whole), session=session, once=Memory(), now=now, times=times)
        made.append(provider)
        return provider

    yield make
    for provider in made:
        await provider.close()


@pytest.fixture
def provider(make_provider: MakeProvider) -> OidcProvider:
    return make_provider()
