"""Sign-in at an identity provider that shares no code with us: npm's samlify (xml-crypto, xml-encryption)."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from yarl import URL

from providers.contract import SamlResponse
from providers.saml.metadata import parse_metadata
from providers.saml.names import HTTP_REDIRECT
from providers.saml.provider import SamlProvider
from providers.saml.service_provider import ServiceProvider
from tests.fakes.clock import Clock
from tests.fakes.idp import ACS, AWS, PROVIDER_ARN, ROLE_ARN
from tests.fakes.saml_idp import SamlIdpServer, form
from tests.providers.saml.conftest import MakeProvider

ATTRIBUTES = {
    f"{AWS}Role": [f"{PROVIDER_ARN},{ROLE_ARN}"],
    f"{AWS}RoleSessionName": ["alice"],
    f"{AWS}PrincipalTag:Team": ["Web & <co>"],
}


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime.now(UTC))


@pytest.fixture
async def server(service_provider: ServiceProvider) -> AsyncIterator[SamlIdpServer]:
    async with SamlIdpServer(service_provider.metadata.decode(), attributes=ATTRIBUTES) as server:
        yield server


@pytest.fixture
async def metadata(server: SamlIdpServer, session: aiohttp.ClientSession) -> str:
    async with session.get(f"{server.url}/metadata") as response:
        return await response.text()


@pytest.fixture
def provider(make_provider: MakeProvider, metadata: str) -> SamlProvider:
    return make_provider(metadata=metadata)


async def _page(session: aiohttp.ClientSession, url: str, **request: Any) -> Mapping[str, str]:
    method = "POST" if "data" in request else "GET"
    async with session.request(method, URL(url, encoded=True), **request) as response:
        text = await response.text()
        assert response.status == 200, text
        return form(text)


@pytest.mark.parametrize("encrypted", ["0", "1"])
@pytest.mark.parametrize("mode", ["assertion", "response", "both"])
async def test_sign_in_that_begins_at_the_identity_provider(
    provider: SamlProvider, server: SamlIdpServer, session: aiohttp.ClientSession, mode: str, encrypted: str
) -> None:
    fields = await _page(session, f"{server.url}/start?mode={mode}&encrypted={encrypted}")
    identity = await provider.verify(SamlResponse(fields["SAMLResponse"]))
    assert (identity.issuer, identity.subject, identity.audience) == (f"{server.url}/metadata", "alice", ACS)
    assert identity.roles == ((ROLE_ARN, PROVIDER_ARN),)
    assert identity.session_tags == {"Team": "Web & <co>"}


async def test_sign_in_that_begins_here_by_redirect(
    provider: SamlProvider, server: SamlIdpServer, session: aiohttp.ClientSession
) -> None:
    """samlify checks the signature of our request."""
    request = await provider.begin(random=lambda size: b"r" * size, relay_state="state & more")
    assert not request.fields
    fields = await _page(session, request.url)
    assert (fields["action"], fields["RelayState"]) == (ACS, "state & more")
    identity = await provider.verify(SamlResponse(fields["SAMLResponse"]), in_response_to=request.id)
    assert identity.subject == "alice"


async def test_sign_in_that_begins_here_by_post(
    make_provider: MakeProvider, metadata: str, server: SamlIdpServer, session: aiohttp.ClientSession
) -> None:
    provider = make_provider(metadata=metadata.replace(HTTP_REDIRECT, "urn:oasis:names:tc:SAML:2.0:bindings:SOAP"))
    request = await provider.begin(random=lambda size: b"p" * size, relay_state="state")
    assert request.url == f"{server.url}/sso/post"
    fields = await _page(session, request.url, data=request.fields)
    assert fields["RelayState"] == "state"
    identity = await provider.verify(SamlResponse(fields["SAMLResponse"]), in_response_to=request.id)
    assert identity.subject == "alice"


async def test_it_refuses_a_request_that_was_changed(provider: SamlProvider, session: aiohttp.ClientSession) -> None:
    request = await provider.begin(random=lambda size: b"c" * size, relay_state="state")
    async with session.get(URL(request.url.replace("=state&", "=other&"), encoded=True)) as response:
        assert response.status == 400


async def test_its_metadata_is_read(metadata: str, server: SamlIdpServer) -> None:
    idp = parse_metadata(metadata.encode())
    assert idp.entity_id == f"{server.url}/metadata"
    assert idp.single_sign_on[HTTP_REDIRECT] == f"{server.url}/sso"
    assert len(idp.keys) == 1
