"""A SAML identity provider that signs real responses, correct by default, with a way to bend every part of them."""

import base64
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from lxml import etree
from xmlsec import constants

NS = {
    "saml": "urn:oasis:names:tc:SAML:2.0:assertion",
    "samlp": "urn:oasis:names:tc:SAML:2.0:protocol",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
    "xenc": "http://www.w3.org/2001/04/xmlenc#",
}
AWS = "https://aws.amazon.com/SAML/Attributes/"
ACS = "https://sts.example.test/saml/acs"
ENTITY_ID = "https://sts.example.test/saml/metadata"
ACCOUNT = "111122223333"
PROVIDER_ARN = f"arn:aws:iam::{ACCOUNT}:saml-provider/corp"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/deploy"
ATTRIBUTES: Mapping[str, Sequence[str]] = {
    f"{AWS}Role": [f"{ROLE_ARN},{PROVIDER_ARN}"],
    f"{AWS}RoleSessionName": ["alice@example.test"],
}
Bend = Callable[[Any], None]


@dataclass(frozen=True)
class KeyPair:
    """A private key as PEM and a self-signed certificate as DER."""

    pem: bytes = field(repr=False)
    certificate: bytes

    @property
    def base64(self) -> str:
        return base64.b64encode(self.certificate).decode()


@cache
def key_pair(name: str, bits: int = 2048, *, curve: str | None = None) -> KeyPair:
    """The same for the same name, for one run."""
    key: Any = rsa.generate_private_key(65537, bits) if curve is None else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2021, 1, 1, tzinfo=UTC))  # expired on purpose: metadata vouches for keys, not dates
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return KeyPair(pem, certificate.public_bytes(serialization.Encoding.DER))


def iso(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def find(root: Any, path: str) -> Any:
    """The first element at `path` with the prefixes of `NS`.

    (libxml2 shares names among documents that were parsed, not with what xmlsec adds: a name seen only there is not
    found.)
    """
    found = root.find(path, NS) if not path.startswith("/") else root.xpath(path, namespaces=NS)[0]
    assert found is not None, path
    return found


def encode(document: bytes) -> str:
    return base64.b64encode(document).decode()


@dataclass
class FakeIdp:
    """`now`: the clock that its responses are stamped by."""

    now: Callable[[], datetime]
    entity_id: str = "https://idp.example.test/metadata"
    key: KeyPair = field(default_factory=lambda: key_pair("idp"))

    def metadata(
        self,
        *,
        keys: Sequence[KeyPair] | None = None,
        valid_until: datetime | None = None,
        sign_with: KeyPair | None = None,
        sso: str = "https://idp.example.test/sso",
        bend: Bend | None = None,
    ) -> str:
        descriptors = "".join(
            f'<md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{key.base64}'
            "</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
            for key in (keys if keys is not None else [self.key])
        )
        until = f' validUntil="{iso(valid_until)}"' if valid_until is not None else ""
        root = etree.fromstring(
            f'<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="{NS["ds"]}"'
            f' ID="_metadata" entityID={quoteattr(self.entity_id)}{until}><md:IDPSSODescriptor'
            f' protocolSupportEnumeration="{NS["samlp"]}">{descriptors}'
            '<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"'
            f" Location={quoteattr(sso)}/>"
            '<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"'
            f" Location={quoteattr(sso + '/post')}/></md:IDPSSODescriptor></md:EntityDescriptor>"
        )
        if sign_with is not None:
            sign(root, sign_with, place=0)
        if bend is not None:
            bend(root)
        return str(etree.tostring(root, encoding="unicode"))

    def response(self, **bends: Any) -> str:
        """Base64, as posted; see `tree` and `finish` for what can be bent."""
        tree_bends = {name: bends.pop(name) for name in list(bends) if name in _TREE_BENDS}
        return self.finish(self.tree(**tree_bends), **bends)

    def tree(
        self,
        *,
        attributes: Mapping[str, Sequence[str]] | None = None,
        more: Mapping[str, Sequence[str]] | None = None,
        name_id: str = "alice",
        name_id_format: str | None = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
        issuer: str | None = None,
        response_issuer: str | None = None,
        audiences: Sequence[Sequence[str]] = ((ENTITY_ID,),),
        recipient: str = ACS,
        destination: str | None = ACS,
        in_response_to: str | None = None,
        issued: timedelta = timedelta(),
        not_before: timedelta | None = timedelta(minutes=-1),
        until: timedelta | None = timedelta(minutes=5),
        confirmed_until: timedelta = timedelta(minutes=5),
        authenticated: timedelta = timedelta(),
        session_until: timedelta | None = None,
        status: str = "urn:oasis:names:tc:SAML:2.0:status:Success",
        assertion_id: str | None = None,
    ) -> Any:
        """An unsigned Response. Times are relative to the clock."""
        now = self.now()
        stamp = iso(now + issued)
        reply = f" InResponseTo={quoteattr(in_response_to)}" if in_response_to is not None else ""
        where = f" Destination={quoteattr(destination)}" if destination is not None else ""
        begins = f' NotBefore="{iso(now + not_before)}"' if not_before is not None else ""
        ends = f' NotOnOrAfter="{iso(now + until)}"' if until is not None else ""
        session = f' SessionNotOnOrAfter="{iso(now + session_until)}"' if session_until is not None else ""
        form = f" Format={quoteattr(name_id_format)}" if name_id_format is not None else ""
        restrictions = "".join(
            "<saml:AudienceRestriction>"
            + "".join(f"<saml:Audience>{escape(audience)}</saml:Audience>" for audience in restriction)
            + "</saml:AudienceRestriction>"
            for restriction in audiences
        )
        values = "".join(
            f"<saml:Attribute Name={quoteattr(name)}>"
            + "".join(
                f'<saml:AttributeValue xsi:type="xs:string">{escape(text)}</saml:AttributeValue>' for text in texts
            )
            + "</saml:Attribute>"
            for name, texts in {**(attributes if attributes is not None else ATTRIBUTES), **(more or {})}.items()
        )
        return etree.fromstring(
            f'<samlp:Response xmlns:samlp="{NS["samlp"]}" xmlns:saml="{NS["saml"]}" ID="_{os.urandom(16).hex()}"'
            f' Version="2.0" IssueInstant="{stamp}"{where}{reply}>'
            f"<saml:Issuer>{escape(response_issuer or issuer or self.entity_id)}</saml:Issuer>"
            f'<samlp:Status><samlp:StatusCode Value="{status}"/></samlp:Status>'
            f'<saml:Assertion xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
            f' xmlns:xs="http://www.w3.org/2001/XMLSchema" ID="{assertion_id or "_" + os.urandom(16).hex()}"'
            f' Version="2.0" IssueInstant="{stamp}"><saml:Issuer>{escape(issuer or self.entity_id)}</saml:Issuer>'
            f"<saml:Subject><saml:NameID{form}>{escape(name_id)}</saml:NameID>"
            '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">'
            f'<saml:SubjectConfirmationData NotOnOrAfter="{iso(now + confirmed_until)}"'
            f" Recipient={quoteattr(recipient)}{reply}/></saml:SubjectConfirmation></saml:Subject>"
            f"<saml:Conditions{begins}{ends}>{restrictions}</saml:Conditions>"
            f'<saml:AuthnStatement AuthnInstant="{iso(now + authenticated)}" SessionIndex="_1"{session}>'
            "<saml:AuthnContext><saml:AuthnContextClassRef>"
            "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
            "</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>"
            f"<saml:AttributeStatement>{values}</saml:AttributeStatement></saml:Assertion></samlp:Response>"
        )

    def finish(
        self,
        root: Any,
        *,
        signed: Sequence[str] = ("assertion",),
        key: KeyPair | None = None,
        before: Bend | None = None,
        after: Bend | None = None,
        encrypt_to: KeyPair | None = None,
        encryption: Mapping[str, Any] | None = None,
        rewrite: Callable[[bytes], bytes] | None = None,
        **signing: Any,
    ) -> str:
        """`before` and `after` bend the tree around signing, `rewrite` the bytes at the end."""
        if before is not None:
            before(root)
        if "assertion" in signed:
            sign(find(root, "saml:Assertion"), key or self.key, place=1, **signing)
        if encrypt_to is not None:
            encrypt(root, encrypt_to, **(encryption or {}))
        if "response" in signed:
            sign(root, key or self.key, place=1, **signing)
        if after is not None:
            after(root)
        document = etree.tostring(root)
        return encode(rewrite(document) if rewrite is not None else document)


_TREE_BENDS = frozenset(FakeIdp.tree.__kwdefaults__ or {})


def sign(
    element: Any,
    key: KeyPair,
    *,
    place: int,
    signature: Any = constants.TransformRsaSha256,
    digest: Any = constants.TransformSha256,
    canonicalisation: Any = constants.TransformExclC14N,
    transforms: Sequence[Any] = (constants.TransformEnveloped, constants.TransformExclC14N),
    uri: str | None = None,
    prefixes: str | None = None,
    certificate: KeyPair | None = None,
) -> None:
    """An enveloped signature at `place`, its KeyInfo holding `certificate`, or the key's own."""
    node = xmlsec.template.create(element, canonicalisation, signature, ns="ds")
    element.insert(place, node)
    reference = xmlsec.template.add_reference(node, digest, uri=uri if uri is not None else f"#{element.get('ID')}")
    for each in transforms:
        transform = xmlsec.template.add_transform(reference, each)
        if prefixes is not None and each == constants.TransformExclC14N:
            etree.SubElement(
                transform,
                "{http://www.w3.org/2001/10/xml-exc-c14n#}InclusiveNamespaces",
                {"PrefixList": prefixes},
                nsmap={"ec": "http://www.w3.org/2001/10/xml-exc-c14n#"},
            )
    info = xmlsec.template.ensure_key_info(node)
    data = xmlsec.template.add_x509_data(info)
    etree.SubElement(data, f"{{{NS['ds']}}}X509Certificate").text = (certificate or key).base64
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(key.pem, constants.KeyDataFormatPem, None)
    context.register_id(element, "ID")
    context.sign(node)


def encrypt(
    root: Any,
    to: KeyPair,
    *,
    content: Any = constants.TransformAes256Gcm,
    transport: Any = constants.TransformRsaOaep,
    key_type: tuple[Any, int] | None = None,
) -> None:
    """Replace the assertion by an EncryptedAssertion."""
    assertion = find(root, "saml:Assertion")
    holder = etree.Element(f"{{{NS['saml']}}}EncryptedAssertion", nsmap={"saml": NS["saml"]})
    root.replace(assertion, holder)
    holder.append(assertion)
    template = xmlsec.template.encrypted_data_create(holder, content, type=constants.TypeEncElement, ns="xenc")
    xmlsec.template.encrypted_data_ensure_cipher_value(template)
    info = xmlsec.template.encrypted_data_ensure_key_info(template, ns="ds")
    encrypted_key = xmlsec.template.add_encrypted_key(info, transport)
    xmlsec.template.encrypted_data_ensure_cipher_value(encrypted_key)
    manager = xmlsec.KeysManager()
    certificate = x509.load_der_x509_certificate(to.certificate)
    manager.add_key(
        xmlsec.Key.from_memory(
            certificate.public_bytes(serialization.Encoding.PEM), constants.KeyDataFormatCertPem, None
        )
    )
    context = xmlsec.EncryptionContext(manager)
    kind, bits = key_type if key_type is not None else (constants.KeyDataAes, 256)
    context.key = xmlsec.Key.generate(kind, bits, constants.KeyDataTypeSession)
    context.encrypt_xml(template, assertion)
