"""PEM files of authorities and of their revocation lists, read strictly (RFC 7468, RFC 5280 §4 and §5).

The errors continue the words "a file that".
"""

import re
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from providers.keys import accepted_key

UNREADABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What reading a certificate or a list, or a part of one, may raise: parts are parsed when they are first looked at."""

_LIST = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_PARTIAL = (x509.IssuingDistributionPoint, x509.DeltaCRLIndicator)


def authorities(pem: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of a file, all of them authorities'. Raises `ValueError`."""
    try:
        found = tuple(x509.load_pem_x509_certificates(pem))
        for each in found:
            accepted_key(each.public_key())
        others = [each.subject.rfc4514_string() for each in found if not _is_authority(each)]
    except UNREADABLE as error:
        raise ValueError(f"holds no PEM certificates that can be read and accepted: {error}") from error
    if others:
        raise ValueError(f"holds a certificate that is no authority's: {others[0]}")
    return found


def revocation_lists(pem: bytes) -> tuple[x509.CertificateRevocationList, ...]:
    """The lists of a file, each complete and with the time of the next one. Raises `ValueError`."""
    try:
        found = tuple(map(x509.load_pem_x509_crl, _LIST.findall(pem)))
        faults = [f"{fault}: {each.issuer.rfc4514_string()}" for each in found if (fault := _fault(each)) is not None]
    except UNREADABLE as error:
        raise ValueError(f"holds no PEM certificate revocation lists that can be read: {error}") from error
    if not found:
        raise ValueError("holds no PEM certificate revocation list")
    if faults:
        raise ValueError(faults[0])
    return found


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _fault(revoked: x509.CertificateRevocationList) -> str | None:
    if revoked.next_update_utc is None:
        return "holds a list that does not say when the next one comes (nextUpdate)"
    if not isinstance(revoked.signature_hash_algorithm, _HASHES):
        return "holds a list that is not signed with SHA-256, SHA-384 or SHA-512"
    if any(each.critical or isinstance(each.value, _PARTIAL) for each in revoked.extensions):
        return "holds a list that is not complete (issuing distribution point, delta or another critical extension)"
    return None
