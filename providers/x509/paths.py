"""From a presented certificate to a trusted authority (RFC 5280 §6), for TLS client authentication.

The library builds and validates the path: signatures (never SHA-1), validity at the given time, constraints on path
length and names, critical extensions, key usage. Here is what it is told beyond its defaults, which are the web's.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, Store, VerificationError

from providers.errors import ProofRejected
from providers.keys import accepted_key
from providers.x509.files import UNREADABLE

_MOST_AUTHORITIES = 6
"""Between a certificate and the trusted one, which is more than any hierarchy in use."""
_CONSTRAINED_NAMES = (x509.DNSName, x509.IPAddress, x509.RFC822Name)


class Authorities:
    """Certificates of authorities: those that no other of them issued are trusted, the others help to get there."""

    def __init__(self, certificates: Sequence[x509.Certificate]) -> None:
        subjects = {each.subject for each in certificates}
        trusted = [each for each in certificates if each.issuer == each.subject or each.issuer not in subjects]
        self._between = [each for each in certificates if each not in trusted]
        self._store = Store(trusted)

    def path(
        self, leaf: x509.Certificate, presented: Sequence[x509.Certificate], at: datetime
    ) -> Sequence[x509.Certificate]:
        """The certificates from `leaf` to a trusted one. `presented`: others that came along, in any order.

        Raises `ProofRejected`.
        """
        verifier = (
            PolicyBuilder()
            .store(self._store)
            .time(at)
            .max_chain_depth(_MOST_AUTHORITIES)
            .extension_policies(ee_policy=_LEAF, ca_policy=_AUTHORITY)
            .build_client_verifier()
        )
        try:
            path = verifier.verify(leaf, [*self._between, *presented]).chain
            for each in path:
                accepted_key(each.public_key())
        except (VerificationError, *UNREADABLE) as error:
            raise ProofRejected(
                "The certificate is not accepted: it must come from an authority of this provider, and be for client "
                "authentication.",
                reason="path",
                detail=str(error),
            ) from error
        return path


def is_constrained(authority: x509.Certificate) -> bool:
    """Whether the names that it may certify are limited (RFC 5280 §4.2.1.10)."""
    return any(isinstance(each.value, x509.NameConstraints) for each in authority.extensions)


def _require_client_authentication(_: Policy, __: x509.Certificate, usage: x509.ExtendedKeyUsage) -> None:
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise ValueError("the extended key usage is not clientAuth")


def _require_signing(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("an authority's key usage is not keyCertSign")


def _require_checked_names(_: Policy, __: x509.Certificate, names: x509.NameConstraints | None) -> None:
    """The library checks these kinds; it passes over others where the extension is not critical."""
    if names is None:
        return
    for name in (*(names.permitted_subtrees or ()), *(names.excluded_subtrees or ())):
        if not isinstance(name, _CONSTRAINED_NAMES):
            raise ValueError(f"an authority's name constraints are of a kind that is not checked: {name!r}")  # noqa: TRY004


_LEAF: Final = (
    ExtensionPolicy.webpki_defaults_ee()
    .may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    .may_be_present(x509.AuthorityKeyIdentifier, Criticality.AGNOSTIC, None)
    .require_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _require_client_authentication)
)
"""Private authorities need not name hosts; a certificate that is good for anything is good for nothing here."""
_AUTHORITY: Final = (
    ExtensionPolicy.webpki_defaults_ca()
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _require_signing)
    .may_be_present(x509.NameConstraints, Criticality.AGNOSTIC, _require_checked_names)
)
"""An authority without a key usage may sign (§6.1.4 n), as roots that `openssl req -x509` makes."""
