"""An identity provider, a clock, and providers for them that are closed after the test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec
import pytest

from providers.contract import Once, SamlIdentity, SamlResponse
from providers.saml.provider import SamlConfig, SamlProvider
from providers.saml.service_provider import ServiceProvider
from providers.saml.source import Times
from providers.saml.worker import Answer, Task, answer
from providers.saml.workers import Workers
from tests.fakes.clock import Clock
from tests.fakes.idp import ACCOUNT, ACS, ENTITY_ID, FakeIdp, key_pair

MakeProvider = Callable[..., SamlProvider]
Verify = Callable[..., Awaitable[SamlIdentity]]


class Memory:
    """A `Once` for one process."""

    def __init__(self) -> None:
        self.claimed: dict[str, tuple[datetime, datetime]] = {}

    async def claim(self, purpose: str, value: str, *, issued_at: datetime, until: datetime) -> bool:
        assert purpose == "saml"
        if value in self.claimed:
            return False
        self.claimed[value] = (issued_at, until)
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC))


@pytest.fixture
def idp(clock: Clock) -> FakeIdp:
    return FakeIdp(clock)


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def service_provider() -> ServiceProvider:
    return ServiceProvider(
        entity_id=ENTITY_ID,
        acs_url=ACS,
        signing_key=key_pair("signing").pem,
        encryption_keys=(key_pair("new").pem, key_pair("old").pem),
        audiences=frozenset({"urn:amazon:webservices"}),
        recipients=frozenset({"https://signin.aws.amazon.com/saml"}),
    )


class InProcess(Workers):
    """Does in the test's own process what `Workers` has done in another, for tests of what is decided there."""

    async def _exchange(self, message: bytes) -> Answer:
        answered = answer(msgspec.msgpack.decode(message, type=Task))
        crossed: Answer = msgspec.msgpack.decode(msgspec.msgpack.encode(answered), type=Answer)
        return crossed


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    workers = InProcess()
    yield workers
    await workers.close()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture
async def make_provider(
    idp: FakeIdp,
    clock: Clock,
    memory: Memory,
    service_provider: ServiceProvider,
    session: aiohttp.ClientSession,
    workers: Workers,
) -> AsyncIterator[MakeProvider]:
    made: list[SamlProvider] = []

    def make(*, times: Times | None = None, once: Once = memory, **config: Any) -> SamlProvider:
        whole = {"account": ACCOUNT, "name": "corp", "allow_idp_initiated": True, **config}
        if "metadata_url" not in whole:
            whole.setdefault("metadata", idp.metadata())
        provider = SamlProvider(
            SamlConfig(**whole),
            service_provider,
            session=session,
            workers=workers,
            once=once,
            now=clock,
            times=times,
        )
        made.append(provider)
        return provider

    yield make
    for provider in made:
        await provider.close()


@pytest.fixture
def verify(make_provider: MakeProvider) -> Verify:
    """Verify a response in base64 at a provider of its own."""
    provider = make_provider()

    async def verify(raw: str, **arguments: Any) -> SamlIdentity:
        return await provider.verify(SamlResponse(raw), **arguments)

    return verify
