"""Metadata of an identity provider (SAML Metadata §2): who it is, its signing keys, where sign-in begins."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import saml2.md
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from lxml import etree
from saml2 import SAMLError
from saml2.validate import NotValid

from providers.errors import ProofRejected
from providers.saml.document import deeper_than
from providers.saml.names import HTTP_POST, HTTP_REDIRECT, MD, SAMLP, XML
from providers.saml.signature import VerificationKey, canonical_bytes, signature_of, signed_bytes, verification_key
from providers.saml.times import instant

MAX_BYTES: Final = 10_000_000  # AWS's limit for SAMLMetadataDocument, in characters
_MAX_DEPTH: Final = 64
_MAX_KEYS: Final = 10  # each is tried against a signature
_ADDRESS = re.compile(r"https?://[!-~]+")  # a browser is sent there
_DOCTYPE = re.compile(rb"<!DOCTYPE", re.IGNORECASE)


class MetadataFault(ValueError):
    """A metadata document that cannot be used; the message says why, for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdpMetadata:
    """`single_sign_on`: binding to address. `valid_until`: the earliest that the document says."""

    entity_id: str
    keys: tuple[VerificationKey, ...]
    single_sign_on: dict[str, str]
    valid_until: datetime | None


def parse_metadata(document: bytes, *, certificates: Sequence[bytes] = ()) -> IdpMetadata:
    """Of the one EntityDescriptor in `document`; given `certificates` (DER), one of their keys must have signed it.

    What is read is what was signed. Whether it is past `valid_until` is for the caller to ask.
    Raises `MetadataFault`.
    """
    root = _root(document)
    try:
        canonical = _signed(root, certificates) if certificates else canonical_bytes(root)
    except ProofRejected as error:
        raise MetadataFault(f"its signature is not valid: {error.detail or error.sentence}") from error
    try:
        entity: Any = saml2.md.entity_descriptor_from_string(canonical)
        entity.verify()
    except (NotValid, SAMLError, ValueError) as error:
        raise MetadataFault(f"it is not SAML metadata: {error}") from error
    return _read(entity)


def _root(document: bytes) -> etree._Element:
    if len(document) > MAX_BYTES:
        raise MetadataFault(f"it has more than {MAX_BYTES} bytes")
    try:
        text = document.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MetadataFault("it is not UTF-8") from error
    body = re.sub(r"\A\s*<\?xml[^>]*\?>", "", text).encode("utf-8")
    if _DOCTYPE.search(body) is not None:
        raise MetadataFault("a DOCTYPE is not accepted")
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise MetadataFault(f"it is not well-formed XML: {error}") from error
    if root.tag != f"{{{MD}}}EntityDescriptor":
        raise MetadataFault("its root is not the EntityDescriptor of one identity provider")
    if deeper_than(root, _MAX_DEPTH):
        raise MetadataFault("it is nested too deeply")
    return root


def _signed(root: etree._Element, certificates: Sequence[bytes]) -> bytes:
    signature = signature_of(root)
    if signature is None:
        raise MetadataFault("it is not signed, although a certificate is configured")
    identifier = root.get("ID")
    ids = [element for element in root.iter() for name in ("ID", f"{{{XML}}}id") if element.get(name) == identifier]
    if not identifier or len(ids) != 1:
        raise MetadataFault("the ID that its signature refers to is missing or not unique")
    return signed_bytes(root, signature, [_key(certificate) for certificate in certificates])


def _read(entity: Any) -> IdpMetadata:
    roles = [role for role in entity.idpsso_descriptor if SAMLP in role.protocol_support_enumeration.split()]
    if len(roles) != 1:
        raise MetadataFault(f"it describes {len(roles)} identity providers for SAML 2.0, not one")
    role = roles[0]
    try:
        bounds = [instant(text) for text in (entity.valid_until, role.valid_until) if text]
    except ValueError as error:
        raise MetadataFault(f"its validUntil is not usable: {error}") from error
    return IdpMetadata(
        entity_id=entity.entity_id,
        keys=_keys(role),
        single_sign_on=_single_sign_on(role),
        valid_until=min(bounds, default=None),
    )


def _keys(role: Any) -> tuple[VerificationKey, ...]:
    encoded = [
        certificate.x509_certificate.text
        for descriptor in role.key_descriptor
        if descriptor.use in (None, "", "signing") and descriptor.key_info is not None
        for certificate in descriptor.key_info.x509_data
        if certificate.x509_certificate is not None
    ]
    keys = dict.fromkeys(_key(_der(text)) for text in encoded)
    if not 0 < len(keys) <= _MAX_KEYS:
        raise MetadataFault(f"it has {len(keys)} signing keys, not 1 to {_MAX_KEYS}")
    return tuple(keys)


def _key(certificate: bytes) -> VerificationKey:
    # The metadata vouches for the key: a certificate is only its wrapping, and its dates say nothing (SAML V2.0
    # Metadata Interoperability Profile §2.6.1).
    try:
        return verification_key(x509.load_der_x509_certificate(certificate).public_key())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise MetadataFault(f"a certificate in it cannot be used: {error}") from error


def _der(text: str | None) -> bytes:
    try:
        return base64.b64decode("".join((text or "").split()), validate=True)
    except binascii.Error as error:
        raise MetadataFault("a certificate in it is not base64") from error


def _single_sign_on(role: Any) -> dict[str, str]:
    addresses: dict[str, str] = {}
    for service in role.single_sign_on_service:
        if service.binding in (HTTP_REDIRECT, HTTP_POST):
            if _ADDRESS.fullmatch(service.location) is None:
                raise MetadataFault(f"its SingleSignOnService is at {service.location[:200]!r}, not a web address")
            addresses.setdefault(service.binding, service.location)
    return addresses
