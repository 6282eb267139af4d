"""What we tell identity providers: metadata and requests, read back by other libraries."""

import base64
import zlib
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import saml2.xml.schema
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from lxml import etree
from saml2.data import schemas

from providers.saml.metadata import parse_metadata
from providers.saml.names import HTTP_POST, HTTP_REDIRECT
from providers.saml.service_provider import ServiceProvider
from providers.saml.signature import signature_of, signed_bytes, verification_key
from tests.fakes.idp import ACS, ENTITY_ID, NS, FakeIdp, find, key_pair

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
MD = {"md": "urn:oasis:names:tc:SAML:2.0:metadata", **NS}


def _schema(name: str) -> Any:
    return saml2.xml.schema._create_xml_schema_validator(str(files(schemas).joinpath(name)))


def _certificates(root: Any, use: str) -> list[x509.Certificate]:
    found = root.xpath(f"//md:KeyDescriptor[@use='{use}']//ds:X509Certificate", namespaces=MD)
    return [x509.load_der_x509_certificate(base64.b64decode(each.text)) for each in found]


def test_metadata_is_valid_signed_and_the_same_everywhere(service_provider: ServiceProvider) -> None:
    document = service_provider.metadata
    saml2.xml.schema.validate(document.decode(), _schema("saml-schema-metadata-2.0.xsd"))
    twin = ServiceProvider(
        entity_id=ENTITY_ID,
        acs_url=ACS,
        signing_key=service_provider.signing_key,
        encryption_keys=service_provider.encryption_keys,
    )
    assert twin.metadata == document
    root = etree.fromstring(document)
    (signing,) = _certificates(root, "signing")
    signature = signature_of(root)
    assert signature is not None
    assert signed_bytes(root, signature, [verification_key(signing.public_key())])
    assert root.get("entityID") == ENTITY_ID
    service = find(root, "//*[local-name()='AssertionConsumerService']")
    assert (service.get("Location"), service.get("Binding")) == (ACS, HTTP_POST)


def test_both_encryption_keys_are_published_newest_first(service_provider: ServiceProvider) -> None:
    published = _certificates(etree.fromstring(service_provider.metadata), "encryption")
    expected = [x509.load_der_x509_certificate(key_pair(name).certificate) for name in ("new", "old")]
    assert [each.public_key() for each in published] == [each.public_key() for each in expected]


def test_no_private_key_is_shown(service_provider: ServiceProvider) -> None:
    assert "PRIVATE" not in repr(service_provider)
    assert b"PRIVATE" not in service_provider.metadata


def test_a_redirect_carries_a_signed_request(idp: FakeIdp, service_provider: ServiceProvider) -> None:
    metadata = parse_metadata(idp.metadata(sso="https://idp.example.test/sso?tenant=1").encode())
    request = service_provider.request(metadata, nonce=b"n" * 16, now=NOW, relay_state="a&b")
    assert request.url.startswith("https://idp.example.test/sso?tenant=1&SAMLRequest=")
    signed, _, _ = urlsplit(request.url).query.removeprefix("tenant=1&").partition("&Signature=")
    fields = dict(parse_qsl(urlsplit(request.url).query))
    assert fields["RelayState"] == "a&b"
    (certificate,) = _certificates(etree.fromstring(service_provider.metadata), "signing")
    public = certificate.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    value = base64.b64decode(fields["Signature"])
    public.verify(value, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    document = zlib.decompress(base64.b64decode(fields["SAMLRequest"]), wbits=-15)
    saml2.xml.schema.validate(document.decode())
    root = etree.fromstring(document)
    assert root.get("ID") == request.id == "_" + "6e" * 16
    assert root.get("AssertionConsumerServiceURL") == ACS
    assert root.get("Destination") == "https://idp.example.test/sso?tenant=1"
    assert root.get("IssueInstant") == "2026-03-04T05:06:07Z"
    assert find(root, "saml:Issuer").text == ENTITY_ID


def test_a_form_carries_a_signed_request(idp: FakeIdp, service_provider: ServiceProvider) -> None:
    metadata = parse_metadata(idp.metadata().replace(HTTP_REDIRECT, "urn:x:other").encode())
    request = service_provider.request(metadata, nonce=b"n" * 16, now=NOW, relay_state="a&b")
    assert (request.url, request.fields["RelayState"]) == ("https://idp.example.test/sso/post", "a&b")
    document = base64.b64decode(request.fields["SAMLRequest"])
    saml2.xml.schema.validate(document.decode())
    root = etree.fromstring(document)
    signature = signature_of(root)
    assert signature is not None
    (certificate,) = _certificates(etree.fromstring(service_provider.metadata), "signing")
    assert signed_bytes(root, signature, [verification_key(certificate.public_key())])


def test_requests_that_cannot_be_made(idp: FakeIdp, service_provider: ServiceProvider) -> None:
    metadata = parse_metadata(idp.metadata().encode())
    with pytest.raises(ValueError, match="RelayState"):
        service_provider.request(metadata, nonce=b"n" * 16, now=NOW, relay_state="é" * 41)
    with pytest.raises(ValueError, match="nonce"):
        service_provider.request(metadata, nonce=b"n" * 15, now=NOW)
    neither = parse_metadata(idp.metadata().replace("bindings:HTTP-", "bindings:X-").encode())
    with pytest.raises(ValueError, match="SingleSignOnService"):
        service_provider.request(neither, nonce=b"n" * 16, now=NOW)


@pytest.mark.parametrize("key", [b"", b"x", key_pair("curve", curve="P-256").pem, key_pair("weak", 1024).pem])
def test_keys_that_cannot_be_used(key: bytes) -> None:
    for keys in ({"signing_key": key}, {"signing_key": key_pair("signing").pem, "encryption_keys": (key,)}):
        arguments: dict[str, Any] = {"entity_id": ENTITY_ID, "acs_url": ACS, **keys}
        with pytest.raises(ValueError):
            ServiceProvider(**arguments)
