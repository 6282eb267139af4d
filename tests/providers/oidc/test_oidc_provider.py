"""Against the certified `oidc-provider` of npm: real sign-ins, real rotation, real outages."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from providers.contract import IdToken
from providers.errors import ProofRejected, ProviderUnavailable
from providers.jwks import Times
from tests.fakes.oidc_provider import OidcProviderServer
from tests.providers.oidc.conftest import MakeProvider, Steps, accepted_in_the_end, until

SOON = Times(refresh=0.2, maximum_age=16, retry=0.1, timeout=15)
AUDIENCES = frozenset({"app-RS256", "app-ES256"})


@pytest.fixture
async def server() -> AsyncIterator[OidcProviderServer]:
    async with OidcProviderServer() as server:
        yield server


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_a_sign_in_becomes_an_identity(
    server: OidcProviderServer, make_provider: MakeProvider, algorithm: str
) -> None:
    provider = make_provider(issuer=server.url, audiences=AUDIENCES, session_tags={"Mail": "email"})
    identity = await provider.verify(IdToken(await server.sign_in("alice", algorithm=algorithm)))
    prefix = server.url.removeprefix("http://")
    assert (identity.issuer, identity.subject, identity.audience) == (server.url, "alice", f"app-{algorithm}")
    assert identity.attributes[f"{prefix}:email_verified"] == ("true",)
    assert identity.attributes[f"{prefix}:groups"] == ("developers", "oncall")
    assert identity.session_tags == {"Mail": "alice@acme.test"}
    with pytest.raises(ProofRejected, match=f"the token is for app-{algorithm}"):
        await make_provider(issuer=server.url, audiences=frozenset({"other"})).verify(
            IdToken(await server.sign_in("alice", algorithm=algorithm))
        )


async def test_keys_rotate_while_serving(server: OidcProviderServer, make_provider: MakeProvider) -> None:
    provider = make_provider(issuer=server.url, audiences=AUDIENCES, times=SOON)
    before = IdToken(await server.sign_in("alice"))
    await provider.verify(before)
    await server.rotate()
    await asyncio.sleep(SOON.retry)
    await provider.verify(IdToken(await server.sign_in("alice")))
    with pytest.raises(ProofRejected, match="Couldn't retrieve verification key"):
        await provider.verify(before)


async def test_cached_keys_serve_while_it_is_stopped(
    server: OidcProviderServer, make_provider: MakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Steps()
    provider = make_provider(issuer=server.url, audiences=AUDIENCES, times=SOON, monotonic=clock)
    token = IdToken(await server.sign_in("alice"))
    await provider.verify(token)
    await server.stop()
    clock.advance(1)
    await until(lambda: "are not refreshed" in caplog.text)
    clock.advance(SOON.maximum_age)
    await provider.verify(token)
    await server.start()
    await provider.verify(IdToken(await server.sign_in("bob")))


async def test_one_that_starts_late_is_found_without_help(make_provider: MakeProvider) -> None:
    server = OidcProviderServer()
    provider = make_provider(issuer=server.url, audiences=AUDIENCES, times=SOON)
    async with server:
        token = IdToken(await server.sign_in("alice"))
    with pytest.raises(ProviderUnavailable, match="could not be reached"):
        await provider.verify(token)
    async with server:
        await accepted_in_the_end(provider, token)
