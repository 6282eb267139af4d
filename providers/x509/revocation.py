"""Certificate revocation lists (RFC 5280 §6.3): each certificate of a path is looked up in its authority's list.

A list that is missing, unsigned by the authority or out of date gives no verdict: then nobody is let in.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from cryptography import x509

from providers.errors import ProofRejected, ProviderUnavailable
from providers.keys import accepted_key


class Revocations:
    """The lists of several authorities. For one thread at a time."""

    def __init__(self, lists: Sequence[x509.CertificateRevocationList]) -> None:
        self._lists = sorted(lists, key=lambda each: each.last_update_utc, reverse=True)
        # Checking the signature of a long list takes longer than everything else.
        self._signed_by: dict[x509.Certificate, x509.CertificateRevocationList | None] = {}

    def require_good(self, path: Sequence[x509.Certificate], at: datetime) -> None:
        """The last certificate of `path` is the trusted one, which nobody revokes.

        Raises:
            ProofRejected: one is revoked, for good or for a while.
            ProviderUnavailable: that cannot be told.
        """
        for certificate, authority in pairwise(path):
            name = authority.subject.rfc4514_string()
            if authority not in self._signed_by:
                self._signed_by[authority] = next((each for each in self._lists if _signed(each, authority)), None)
            revoked = self._signed_by[authority]
            if revoked is None:
                raise _no_verdict(f"there is no list of {name}")
            if revoked.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
                raise ProofRejected(
                    "The certificate has been revoked, or that of an authority between it and this provider's.",
                    reason="revoked",
                    detail=f"serial number {certificate.serial_number:x} of {name}",
                )
            if revoked.next_update_utc is None or not revoked.last_update_utc <= at < revoked.next_update_utc:
                raise _no_verdict(f"the list of {name} is for {revoked.last_update_utc} to {revoked.next_update_utc}")


def _signed(revoked: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    if revoked.issuer != authority.subject:
        return False
    usages = [each.value for each in authority.extensions if isinstance(each.value, x509.KeyUsage)]
    return all(each.crl_sign for each in usages) and revoked.is_signature_valid(accepted_key(authority.public_key()))


def _no_verdict(detail: str) -> ProviderUnavailable:
    return ProviderUnavailable(
        "It cannot be told whether the certificate was revoked; the provider's revocation list must be renewed.",
        reason="crl",
        detail=detail,
    )
