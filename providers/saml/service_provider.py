"""Our side of SAML: metadata of the service provider, requests for authentication (SAML Metadata §2, Core §3.4.1)."""

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from urllib.parse import quote, urlsplit

import saml2.md as md
import saml2.saml as saml
import saml2.samlp as samlp
import saml2.xmldsig as ds
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from lxml import etree

from providers.saml.encryption import private_key
from providers.saml.metadata import IdpMetadata
from providers.saml.names import (
    CONTENT_CIPHERS,
    HTTP_POST,
    HTTP_REDIRECT,
    NAME_ID_FORMATS,
    RSA_OAEP,
    RSA_OAEP_MGF1P,
    SAMLP,
)
from providers.saml.signature import sign
from providers.saml.times import text

_RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
_RELAY_STATE_BYTES = 80  # SAML Bindings §3.4.3
_URI = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"
_ATTRIBUTES = ("Role", "RoleSessionName")


@dataclass(frozen=True, slots=True)
class SignInRequest:
    """Where to send the browser. With `fields` as a form that is posted there, without as a redirect."""

    id: str
    url: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ServiceProvider:
    """One for the gateway. Keys are RSA, as PEM without a password; `encryption_keys` newest first.

    `audiences` and `recipients` are accepted beside the entity id and the address of the assertion consumer service.
    Raises `ValueError` for a key that cannot be used.
    """

    entity_id: str
    acs_url: str
    signing_key: bytes = field(repr=False)
    encryption_keys: tuple[bytes, ...] = field(default=(), repr=False)
    audiences: frozenset[str] = frozenset()
    recipients: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for key in (self.signing_key, *self.encryption_keys):
            private_key(key)
        if not self.entity_id or len(self.entity_id) > 1024 or "" in self.audiences | self.recipients:
            raise ValueError("the entity id, audiences and recipients may not be empty")

    @cached_property
    def metadata(self) -> bytes:
        """Signed metadata as XML, the same in every process: certificates are made from the keys alone."""
        root = etree.fromstring(str(self._descriptor()).encode("utf-8"))
        sign(root, private_key=self.signing_key, certificate=self._certificate, place=0)
        return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))

    def request(self, idp: IdpMetadata, *, nonce: bytes, now: datetime, relay_state: str = "") -> SignInRequest:
        """A signed AuthnRequest, redirected where the identity provider takes that, else posted.

        `nonce`: at least 16 random bytes. Raises `ValueError` where the identity provider takes neither, and for a
        RelayState of more than 80 bytes.
        """
        if len(nonce) < 16 or len(relay_state.encode("utf-8")) > _RELAY_STATE_BYTES:
            raise ValueError("the nonce is too short or the RelayState too long")
        redirect = idp.single_sign_on.get(HTTP_REDIRECT)
        url = redirect or idp.single_sign_on.get(HTTP_POST)
        if url is None:
            raise ValueError("the identity provider's metadata has no SingleSignOnService for redirect or POST")
        request = self._request(f"_{nonce.hex()}", url, now)
        if redirect is not None:
            return SignInRequest(request.id, self._redirect(str(request).encode("utf-8"), url, relay_state))
        root = etree.fromstring(str(request).encode("utf-8"))
        sign(root, private_key=self.signing_key, certificate=self._certificate, place=1)
        fields = {"SAMLRequest": base64.b64encode(etree.tostring(root)).decode("ascii")}
        return SignInRequest(request.id, url, fields | ({"RelayState": relay_state} if relay_state else {}))

    @cached_property
    def _signer(self) -> rsa.RSAPrivateKey:
        return private_key(self.signing_key)

    @cached_property
    def _certificate(self) -> bytes:
        return _certificate(self._signer, self.entity_id)

    def _request(self, identifier: str, destination: str, now: datetime) -> samlp.AuthnRequest:
        return samlp.AuthnRequest(
            id=identifier,
            version="2.0",
            issue_instant=text(now),
            destination=destination,
            protocol_binding=HTTP_POST,
            assertion_consumer_service_url=self.acs_url,
            issuer=saml.Issuer(text=self.entity_id),
            name_id_policy=samlp.NameIDPolicy(allow_create="true"),
        )

    def _redirect(self, request: bytes, url: str, relay_state: str) -> str:
        """SAML Bindings §3.4.4.1: the signature is over the query as it is sent, in this order."""
        deflated = zlib.compress(request, wbits=-15)
        parameters = {"SAMLRequest": base64.b64encode(deflated).decode("ascii")}
        if relay_state:
            parameters["RelayState"] = relay_state
        parameters["SigAlg"] = _RSA_SHA256
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
        signature = self._signer.sign(query.encode("ascii"), padding.PKCS1v15(), hashes.SHA256())
        separator = "&" if urlsplit(url).query else "?"
        return f"{url}{separator}{query}&Signature={quote(base64.b64encode(signature), safe='')}"

    def _descriptor(self) -> md.EntityDescriptor:
        encryption = [
            _key("encryption", _certificate(private_key(key), self.entity_id)) for key in self.encryption_keys
        ]
        for descriptor in encryption:
            descriptor.encryption_method = [
                md.EncryptionMethod(algorithm=name) for name in (*CONTENT_CIPHERS, RSA_OAEP, RSA_OAEP_MGF1P)
            ]
        role = md.SPSSODescriptor(
            protocol_support_enumeration=SAMLP,
            authn_requests_signed="true",
            want_assertions_signed="true",
            key_descriptor=[_key("signing", self._certificate), *encryption],
            name_id_format=[md.NameIDFormat(text=f"{NAME_ID_FORMATS}{name}") for name in ("persistent", "transient")],
            assertion_consumer_service=[
                md.AssertionConsumerService(binding=HTTP_POST, location=self.acs_url, index="0", is_default="true")
            ],
            attribute_consuming_service=[_requested_attributes()],
        )
        identifier = f"_{sha256(self.entity_id.encode('utf-8')).hexdigest()}"
        return md.EntityDescriptor(entity_id=self.entity_id, id=identifier, spsso_descriptor=[role])


def _requested_attributes() -> md.AttributeConsumingService:
    return md.AttributeConsumingService(
        index="0",
        service_name=[md.ServiceName(text="Sojourn", lang="en")],
        requested_attribute=[
            md.RequestedAttribute(
                name=f"https://aws.amazon.com/SAML/Attributes/{name}",
                friendly_name=name,
                name_format=_URI,
                is_required="true",
            )
            for name in _ATTRIBUTES
        ],
    )


def _key(use: str, certificate: bytes) -> md.KeyDescriptor:
    encoded = ds.X509Certificate(text=base64.b64encode(certificate).decode("ascii"))
    return md.KeyDescriptor(use=use, key_info=ds.KeyInfo(x509_data=[ds.X509Data(x509_certificate=encoded)]))


def _certificate(key: rsa.RSAPrivateKey, entity_id: str) -> bytes:
    """Self-signed, DER, the same for the same key. Only its public key counts; its dates are wide and fixed."""
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, (urlsplit(entity_id).hostname or entity_id)[:64])])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), int.from_bytes(sha256(public).digest()[:15]))
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2049, 12, 31, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.DER)
