"""Metadata of identity providers: what is read, what is refused, and what serves while an address fails."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from lxml import etree

from providers.contract import SamlResponse
from providers.errors import ProofRejected, ProviderUnavailable
from providers.saml.metadata import MetadataFault, parse_metadata
from providers.saml.provider import SamlConfig
from providers.saml.source import Times
from tests.fakes.clock import Clock
from tests.fakes.idp import NS, FakeIdp, KeyPair, find, key_pair
from tests.providers.saml.conftest import MakeProvider

MD = "urn:oasis:names:tc:SAML:2.0:metadata"
FEDERATION = key_pair("federation")


def _pem(key: KeyPair) -> bytes:
    return x509.load_der_x509_certificate(key.certificate).public_bytes(serialization.Encoding.PEM)


def _parse(document: str, **arguments: Any) -> Any:
    return parse_metadata(document.encode(), **arguments)


def test_signed_metadata_is_read(idp: FakeIdp, clock: Clock) -> None:
    until = clock().replace(microsecond=0) + timedelta(days=1)
    document = idp.metadata(keys=[key_pair("idp"), key_pair("next")], valid_until=until, sign_with=FEDERATION)
    metadata = _parse(document, certificates=[key_pair("other").certificate, FEDERATION.certificate])
    assert (metadata.entity_id, metadata.valid_until, len(metadata.keys)) == (idp.entity_id, until, 2)


def test_comments_and_a_declaration_are_no_harm(idp: FakeIdp) -> None:
    document = '<?xml version="1.0" encoding="utf-8"?>\n<!-- corp -->' + idp.metadata().replace("AAO", "A<!-- -->AO")
    assert _parse(document).entity_id == idp.entity_id


def test_a_key_descriptor_without_use_signs_too(idp: FakeIdp) -> None:
    assert len(_parse(idp.metadata().replace(' use="signing"', "")).keys) == 1


def _change(path: str, **attributes: str | None) -> Any:
    def bend(root: Any) -> None:
        element = root if path == "." else root.find(path, {"md": MD, **NS})
        for name, value in attributes.items():
            if value is None:
                del element.attrib[name]
            else:
                element.set(name, value)

    return bend


def _drop(path: str) -> Any:
    def bend(root: Any) -> None:
        element = root.find(path, {"md": MD, **NS})
        element.getparent().remove(element)

    return bend


def _one_transform(root: Any) -> None:
    transform = find(root, ".//ds:Transform")
    transform.getparent().remove(transform)


def _wrap(root: Any) -> None:
    """The signed document inside one that speaks for another."""
    inner = etree.fromstring(etree.tostring(root))
    root.set("ID", "_other")
    root.set("entityID", "https://evil.test")
    find(root, "ds:Signature").append(inner)


@pytest.mark.parametrize(
    ("bend", "fault"),
    [
        (_drop("ds:Signature"), "not signed"),
        (_change(".", entityID="https://evil.test"), "signature is not valid"),
        (_change(".", ID="_x"), "signature is not valid"),
        (_change(".", ID=None), "missing or not unique"),
        (_change("md:IDPSSODescriptor", ID="_metadata"), "missing or not unique"),
        (_wrap, "signature is not valid"),
        (_one_transform, "signature is not valid"),
    ],
)
def test_metadata_that_its_certificate_did_not_sign(idp: FakeIdp, bend: Any, fault: str) -> None:
    with pytest.raises(MetadataFault, match=fault):
        _parse(idp.metadata(sign_with=FEDERATION, bend=bend), certificates=[FEDERATION.certificate])


def test_metadata_signed_by_another(idp: FakeIdp) -> None:
    with pytest.raises(MetadataFault, match="signature is not valid"):
        _parse(idp.metadata(sign_with=key_pair("mallory")), certificates=[FEDERATION.certificate])


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ("", "well-formed"),
        ("<a>", "well-formed"),
        ("<EntityDescriptor/>", "root"),
        (f'<EntitiesDescriptor xmlns="{MD}"/>', "root"),
        (f'<EntityDescriptor xmlns="{MD}" entityID="x"/>', "0 identity providers"),
        ('<!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]><x>&y;</x>', "DOCTYPE"),
        ("<a>" * 100 + "</a>" * 100, "root"),
    ],
)
def test_documents_that_are_no_metadata(document: str, fault: str) -> None:
    with pytest.raises(MetadataFault, match=fault):
        _parse(document)


@pytest.mark.parametrize(
    ("bend", "fault"),
    [
        (_drop("md:IDPSSODescriptor/md:KeyDescriptor"), "0 signing keys"),
        (_drop("md:IDPSSODescriptor/md:KeyDescriptor/ds:KeyInfo"), "0 signing keys|not SAML metadata"),
        (_change(".", validUntil="2026-03-04T05:06:07"), "validUntil"),
        (_change("md:IDPSSODescriptor/md:KeyDescriptor", use="encryption"), "0 signing keys"),
        (
            _change("md:IDPSSODescriptor", protocolSupportEnumeration="urn:oasis:names:tc:SAML:1.1:protocol"),
            "0 identity",
        ),
        (_change("md:IDPSSODescriptor/md:SingleSignOnService", Location="javascript:alert(1)"), "not a web address"),
        (_change("md:IDPSSODescriptor/md:SingleSignOnService", Location="/sso"), "not a web address"),
        (_change(".", validUntil="tomorrow"), "not SAML metadata"),
        (_change(".", entityID=None), "not SAML metadata"),
    ],
)
def test_metadata_that_cannot_be_used(idp: FakeIdp, bend: Any, fault: str) -> None:
    with pytest.raises(MetadataFault, match=fault):
        _parse(idp.metadata(bend=bend))


def test_a_weak_key_is_refused(idp: FakeIdp) -> None:
    with pytest.raises(MetadataFault, match="1024 bits"):
        _parse(idp.metadata(keys=[key_pair("weak", 1024)]))


@pytest.mark.parametrize("text", ["!", "AAAA"])
def test_a_certificate_that_is_none(idp: FakeIdp, text: str) -> None:
    def bend(root: Any) -> None:
        find(root, ".//ds:X509Certificate").text = text

    with pytest.raises(MetadataFault, match="certificate"):
        _parse(idp.metadata(bend=bend))


async def test_broken_metadata_is_reported_while_others_serve(make_provider: MakeProvider, idp: FakeIdp) -> None:
    broken, whole = make_provider(metadata="<EntityDescriptor/>"), make_provider()
    with pytest.raises(ProviderUnavailable):
        await broken.issuer()
    assert broken.fault is not None
    with pytest.raises(ProviderUnavailable) as refusal:
        await broken.verify(SamlResponse(idp.response()))
    assert (refusal.value.reason, refusal.value.detail) == ("metadata", broken.fault)
    assert (await whole.verify(SamlResponse(idp.response()))).subject == "alice"
    assert whole.fault is None


async def test_valid_until_is_honoured(make_provider: MakeProvider, idp: FakeIdp, clock: Clock) -> None:
    provider = make_provider(metadata=idp.metadata(valid_until=clock() + timedelta(minutes=1)))
    await provider.verify(SamlResponse(idp.response()))
    clock.advance(timedelta(minutes=1))
    with pytest.raises(ProviderUnavailable):
        await provider.verify(SamlResponse(idp.response()))
    assert provider.fault is not None
    assert "validUntil" in provider.fault


class Site:
    """An address that answers with `document`, or fails with `status`; None: not at all."""

    def __init__(self) -> None:
        self.document = ""
        self.status: int | None = 200
        self.asked = 0
        self.url = ""
        self.end = asyncio.Event()

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        if self.status is None:
            await self.end.wait()
        return web.Response(text=self.document, status=self.status or 200)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    application = web.Application()
    application.router.add_get("/metadata", site.answer)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}/metadata"
    yield site
    site.end.set()
    await runner.cleanup()


EVERY_TIME = Times(refresh=0, maximum_age=0, retry=0, timeout=30)


def _remote(make_provider: MakeProvider, site: Site, times: Times = EVERY_TIME) -> Any:
    return make_provider(metadata_url=site.url, metadata_certificates=_pem(FEDERATION), times=times)


async def test_metadata_from_an_address_follows_a_change_of_keys(
    make_provider: MakeProvider, idp: FakeIdp, site: Site
) -> None:
    site.document = idp.metadata(sign_with=FEDERATION)
    provider = _remote(make_provider, site)
    await provider.verify(SamlResponse(idp.response()))
    site.document = idp.metadata(keys=[key_pair("next")], sign_with=FEDERATION)
    with pytest.raises(ProofRejected, match="signature"):
        await provider.verify(SamlResponse(idp.response()))
    await provider.verify(SamlResponse(idp.response(key=key_pair("next"))))


@pytest.mark.parametrize("failure", ["status", "silence", "garbage", "unsigned", "other signer", "expired"])
async def test_the_last_good_metadata_serves_until_its_end(
    make_provider: MakeProvider, idp: FakeIdp, site: Site, clock: Clock, failure: str
) -> None:
    site.document = idp.metadata(sign_with=FEDERATION, valid_until=clock() + timedelta(hours=1))
    times = replace(EVERY_TIME, timeout=2) if failure == "silence" else EVERY_TIME  # which is waited for twice
    provider = _remote(make_provider, site, times)
    await provider.issuer()
    if failure == "status":
        site.status = 500
    elif failure == "silence":
        site.status = None
    else:
        site.document = {
            "garbage": "<",
            "unsigned": idp.metadata(),
            "other signer": idp.metadata(sign_with=key_pair("mallory")),
            "expired": idp.metadata(sign_with=FEDERATION, valid_until=clock()),
        }[failure]
    assert (await provider.verify(SamlResponse(idp.response()))).subject == "alice"
    assert provider.fault is not None
    clock.advance(timedelta(hours=1))
    with pytest.raises(ProviderUnavailable):
        await provider.verify(SamlResponse(idp.response()))
    site.status, site.document = 200, idp.metadata(sign_with=FEDERATION)
    assert (await provider.verify(SamlResponse(idp.response()))).subject == "alice"
    assert provider.fault is None


async def test_one_fetch_serves_all_who_wait_and_retries_are_spaced(
    make_provider: MakeProvider, idp: FakeIdp, site: Site
) -> None:
    site.status = 503
    provider = _remote(make_provider, site, Times(timeout=30))
    answers = await asyncio.gather(*(provider.issuer() for _ in range(5)), return_exceptions=True)
    assert all(isinstance(answer, ProviderUnavailable) for answer in answers)
    with pytest.raises(ProviderUnavailable):
        await provider.issuer()
    assert site.asked == 1


async def test_whoever_waits_for_a_fetch_that_a_reload_ends_is_answered(
    make_provider: MakeProvider, site: Site
) -> None:
    site.status = None
    provider = _remote(make_provider, site, Times())
    waiting = asyncio.create_task(provider.issuer())
    while not site.asked:
        await asyncio.sleep(0.01)
    await provider.close()
    with pytest.raises(ProviderUnavailable):
        await waiting


async def test_fresh_metadata_is_not_asked_for_again(make_provider: MakeProvider, idp: FakeIdp, site: Site) -> None:
    site.document = idp.metadata(sign_with=FEDERATION)
    provider = _remote(make_provider, site, Times())
    for _ in range(3):
        await provider.issuer()
    assert site.asked == 1


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"metadata": "x", "metadata_url": "https://idp.test", "metadata_certificates": b"x"},
        {"metadata_url": "https://idp.test"},
        {"metadata": "x", "metadata_certificates": b"x"},
        {"metadata": "x", "skew": timedelta(hours=1)},
        {"metadata": "x", "skew": timedelta(seconds=-1)},
    ],
)
def test_configurations_that_mean_nothing(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        SamlConfig(account="1", name="n", **config)


@pytest.mark.parametrize("url", ["http://idp.example.test/metadata", "ftp://idp.test", "https://user@idp.test/"])
async def test_addresses_that_are_not_asked(make_provider: MakeProvider, url: str) -> None:
    with pytest.raises(ValueError):
        make_provider(metadata_url=url, metadata_certificates=_pem(FEDERATION))
