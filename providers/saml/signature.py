"""XML signatures, in process: what they cover, as the bytes that were digested (XML Signature §3, SAML Core §5).

A signature is accepted on the element that it is a child of and on nothing else. The canonical bytes are made here a
second time, apart from libxmlsec, and must have the digest that was signed: whoever reads them reads what was signed,
whatever else the document holds.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import xmlsec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree
from xmlsec import constants

from providers.errors import ProofRejected
from providers.keys import accepted_key
from providers.saml.document import MAX_NAMES, malformed, strict_base64
from providers.saml.names import CANONICAL, DIGESTS, DS, ENVELOPED, EXC, SIGNATURES, SignatureAlgorithm

_CANONICALISATIONS = (constants.TransformExclC14N, constants.TransformExclC14NWithComments)
_REFERENCE_TRANSFORMS = (
    *_CANONICALISATIONS,
    constants.TransformEnveloped,
    constants.TransformSha256,
    constants.TransformSha384,
    constants.TransformSha512,
)
_SIGNATURE_TRANSFORMS = {
    "rsa-sha256": constants.TransformRsaSha256,
    "rsa-sha384": constants.TransformRsaSha384,
    "rsa-sha512": constants.TransformRsaSha512,
    "ecdsa-sha256": constants.TransformEcdsaSha256,
    "ecdsa-sha384": constants.TransformEcdsaSha384,
    "ecdsa-sha512": constants.TransformEcdsaSha512,
}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key as PEM, and its type: RSA or EC."""

    type: str
    pem: bytes


def verification_key(public: object) -> VerificationKey:
    """Raises `ValueError` for a key that no accepted signature can be of."""
    key = accepted_key(public)
    kind = "RSA" if isinstance(key, rsa.RSAPublicKey) else "EC"
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return VerificationKey(kind, pem)


def signature_of(element: etree._Element) -> etree._Element | None:
    """The signature that is a child of `element`."""
    return element.find(f"{{{DS}}}Signature")


def signed_bytes(element: etree._Element, signature: etree._Element, keys: Iterable[VerificationKey]) -> bytes:
    """The canonical bytes of `element` without `signature`, a child of it that one of `keys` has made over them.

    Raises `ProofRejected`. `element` was checked against the grammar: one SignedInfo with one Reference, ids unique.
    """
    algorithm, digest, prefixes = _require_algorithms(element, signature)
    _require_signature(element, signature, algorithm, keys)
    canonical = canonical_without(element, signature, prefixes)
    try:
        presented = strict_base64(_text(signature, "SignedInfo", "Reference", "DigestValue"))
    except ValueError as error:
        raise _invalid("its digest is not base64") from error
    if not hmac.compare_digest(hashlib.new(digest, canonical).digest(), presented):
        raise _invalid("the canonical form is not what was signed")
    return canonical


def canonical_without(element: etree._Element, child: etree._Element, prefixes: list[str]) -> bytes:
    """The exclusive canonical form of `element` as if `child` were not in it. The tree is as before afterwards.

    Raises `ProofRejected` where there is none.
    """
    place, tail = element.index(child), child.tail
    child.tail = None
    element.remove(child)
    before = element[place - 1] if place else None
    kept = element.text if before is None else before.tail
    try:
        _set_text_after(element, before, (kept or "") + (tail or ""))
        canonical = canonical_bytes(element, prefixes)
    finally:
        _set_text_after(element, before, kept)
        element.insert(place, child)
        child.tail = tail
    return canonical


def canonical_bytes(element: etree._Element, prefixes: list[str] | None = None) -> bytes:
    """The exclusive canonical form without comments. Raises `ProofRejected` where there is none."""
    try:
        canonical = etree.tostring(
            element, method="c14n", exclusive=True, with_comments=False, inclusive_ns_prefixes=prefixes, with_tail=False
        )
    except (etree.LxmlError, ValueError) as error:
        raise _invalid(f"no canonical form: {error}") from error
    if not canonical:
        raise _invalid("the canonical form is empty")
    return bytes(canonical)


def sign(element: etree._Element, *, private_key: bytes, certificate: bytes, place: int) -> None:
    """Give `element` (with an `ID`) an enveloped RSA-SHA256 signature as its child at `place`."""
    signature = xmlsec.template.create(element, constants.TransformExclC14N, constants.TransformRsaSha256)
    element.insert(place, signature)
    reference = xmlsec.template.add_reference(signature, constants.TransformSha256, uri=f"#{element.get('ID')}")
    xmlsec.template.add_transform(reference, constants.TransformEnveloped)
    xmlsec.template.add_transform(reference, constants.TransformExclC14N)
    data = xmlsec.template.add_x509_data(xmlsec.template.ensure_key_info(signature))
    etree.SubElement(data, f"{{{DS}}}X509Certificate").text = base64.b64encode(certificate).decode("ascii")
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(private_key, constants.KeyDataFormatPem, None)
    context.register_id(element, "ID")
    context.sign(signature)


def _set_text_after(element: etree._Element, before: etree._Element | None, text: str | None) -> None:
    if before is None:
        element.text = text
    else:
        before.tail = text


def _require_algorithms(
    element: etree._Element, signature: etree._Element
) -> tuple[SignatureAlgorithm, str, list[str]]:
    info = _child(signature, "SignedInfo")
    if _child(info, "CanonicalizationMethod").get("Algorithm") not in CANONICAL:
        raise _refused_algorithm("canonicalisation")
    for inclusive in info.iter(f"{{{EXC}}}InclusiveNamespaces"):
        if len(_prefixes(inclusive)) > MAX_NAMES:
            raise _refused_algorithm("list of namespaces")
    algorithm = SIGNATURES.get(_child(info, "SignatureMethod").get("Algorithm") or "")
    if algorithm is None:
        raise _refused_algorithm("signature algorithm")
    reference = _child(info, "Reference")
    digest = DIGESTS.get(_child(reference, "DigestMethod").get("Algorithm") or "")
    if digest is None:
        raise _refused_algorithm("digest algorithm")
    if reference.get("URI") != f"#{element.get('ID')}":
        raise _invalid("it refers to another element")
    transforms = list(_child(reference, "Transforms"))
    if len(transforms) != 2:
        raise _refused_algorithm("transform")
    enveloped, canonicalisation = transforms
    if enveloped.get("Algorithm") != ENVELOPED or canonicalisation.get("Algorithm") not in CANONICAL:
        raise _refused_algorithm("transform")
    inclusive = canonicalisation.find(f"{{{EXC}}}InclusiveNamespaces")
    return algorithm, digest, _prefixes(inclusive) if inclusive is not None else []


def _prefixes(inclusive: etree._Element) -> list[str]:
    return (inclusive.get("PrefixList") or "").split()


def _require_signature(
    element: etree._Element, signature: etree._Element, algorithm: SignatureAlgorithm, keys: Iterable[VerificationKey]
) -> None:
    fault: Exception | None = None
    for key in keys:
        if key.type != algorithm.key:
            continue
        context = xmlsec.SignatureContext()
        # A key that is set keeps libxmlsec from looking for one in KeyInfo.
        context.key = _loaded(key)
        context.register_id(element, "ID")
        for allowed in _REFERENCE_TRANSFORMS:
            context.enable_reference_transform(allowed)
        for allowed in (*_CANONICALISATIONS, _SIGNATURE_TRANSFORMS[algorithm.name]):
            context.enable_signature_transform(allowed)
        try:
            context.verify(signature)
        except xmlsec.Error as error:
            fault = error
            continue
        return
    raise _invalid(f"no key of the metadata has made it: {fault}") from fault


@lru_cache(maxsize=256)
def _loaded(key: VerificationKey) -> xmlsec.Key:
    return xmlsec.Key.from_memory(key.pem, constants.KeyDataFormatPem, None)


def _child(element: etree._Element, name: str) -> etree._Element:
    child = element.find(f"{{{DS}}}{name}")
    if child is None:
        raise malformed(f"a signature lacks {name}.", reason="grammar")
    return child


def _text(element: etree._Element, *path: str) -> str:
    for name in path:
        element = _child(element, name)
    return "".join((element.text or "").split())


def _refused_algorithm(what: str) -> ProofRejected:
    return ProofRejected(f"Response signature invalid: its {what} is not accepted.", reason="algorithm")


def _invalid(detail: str) -> ProofRejected:
    return ProofRejected("Response signature invalid", reason="signature", detail=detail)
