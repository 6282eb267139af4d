"""Names of SAML 2.0, XML Signature and XML Encryption, and the algorithms that are accepted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from cryptography.hazmat.primitives import hashes

SAML: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP: Final = "urn:oasis:names:tc:SAML:2.0:protocol"
MD: Final = "urn:oasis:names:tc:SAML:2.0:metadata"
DS: Final = "http://www.w3.org/2000/09/xmldsig#"
DS11: Final = "http://www.w3.org/2009/xmldsig11#"
EXC: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
XENC: Final = "http://www.w3.org/2001/04/xmlenc#"
XENC11: Final = "http://www.w3.org/2009/xmlenc11#"
_MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
XML: Final = "http://www.w3.org/XML/1998/namespace"

HTTP_REDIRECT: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
HTTP_POST: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
SUCCESS: Final = "urn:oasis:names:tc:SAML:2.0:status:Success"
BEARER: Final = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
ENTITY: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
UNSPECIFIED: Final = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
NAME_ID_FORMATS: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:"

ENVELOPED: Final = f"{DS}enveloped-signature"
CANONICAL: Final = frozenset({EXC, f"{EXC}WithComments"})
"""Exclusive canonicalisation only (SAML Core §5.4.3); there are no comments in what is accepted."""


@dataclass(frozen=True, slots=True)
class SignatureAlgorithm:
    """What a SignatureMethod means."""

    key: Literal["RSA", "EC"]
    name: str


SIGNATURES: Final[Mapping[str, SignatureAlgorithm]] = {
    **{f"{_MORE}rsa-sha{bits}": SignatureAlgorithm("RSA", f"rsa-sha{bits}") for bits in (256, 384, 512)},
    **{f"{_MORE}ecdsa-sha{bits}": SignatureAlgorithm("EC", f"ecdsa-sha{bits}") for bits in (256, 384, 512)},
}
DIGESTS: Final[Mapping[str, str]] = {
    f"{XENC}sha256": "sha256",
    f"{_MORE}sha384": "sha384",
    f"{XENC}sha512": "sha512",
}
"""To the names of `hashlib`."""

RSA_OAEP_MGF1P: Final = f"{XENC}rsa-oaep-mgf1p"
RSA_OAEP: Final = f"{XENC11}rsa-oaep"
CONTENT_CIPHERS: Final[Mapping[str, tuple[Literal["GCM", "CBC"], int]]] = {
    **{f"{XENC11}aes{bits}-gcm": ("GCM", bits // 8) for bits in (256, 192, 128)},
    **{f"{XENC}aes{bits}-cbc": ("CBC", bits // 8) for bits in (256, 192, 128)},
}
"""Mode and key length in bytes."""

# SHA-1 in OAEP rests on nothing that was broken, and most identity providers know no other.
OAEP_DIGESTS: Final[Mapping[str, hashes.HashAlgorithm]] = {
    f"{DS}sha1": hashes.SHA1(),  # noqa: S303
    f"{XENC}sha256": hashes.SHA256(),
    f"{_MORE}sha384": hashes.SHA384(),
    f"{XENC}sha512": hashes.SHA512(),
}
OAEP_MASKS: Final[Mapping[str, hashes.HashAlgorithm]] = {
    f"{XENC11}mgf1sha1": hashes.SHA1(),  # noqa: S303
    f"{XENC11}mgf1sha256": hashes.SHA256(),
    f"{XENC11}mgf1sha384": hashes.SHA384(),
    f"{XENC11}mgf1sha512": hashes.SHA512(),
}
