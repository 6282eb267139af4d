"""TLS client certificates: the handshake proved the key, here it is judged whose it is, at each request anew."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from providers.contract import ClientCertificate, Identity, Now
from providers.errors import ProofExpired, ProofRejected, ProviderUnavailable
from providers.pool import Pool
from providers.spelling import session_name
from providers.x509.files import UNREADABLE, authorities, revocation_lists
from providers.x509.names import ALTERNATIVES, CARRIED, attributes
from providers.x509.paths import Authorities, is_constrained
from providers.x509.revocation import Revocations

_MOST_PRESENTED = 10
_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateConfig:
    """Who is trusted. `issuer`: what the identities name as theirs, the provider's ARN. Both files are PEM.

    `revocation_lists`: None: none are asked. Otherwise there must be one of each authority on the way.
    """

    issuer: str
    authorities: bytes = field(repr=False)
    revocation_lists: bytes | None = field(default=None, repr=False)


class CertificateProvider:
    """A `Verifier[ClientCertificate]`. `pool` has one thread, in which all the work is done."""

    def __init__(self, config: CertificateConfig, *, now: Now, pool: Pool) -> None:
        self._config = config
        self._now = now
        self._pool = pool
        self._trusted: tuple[Authorities, Revocations | None] | None = None

    async def verify(self, proof: ClientCertificate) -> Identity:
        """Who holds the key, with the method `pop`.

        Raises `ProofRejected`; `ProofExpired`; `ProviderUnavailable`, also where a revocation list gives no verdict.
        """
        return await self._pool.run(lambda: self._judge(proof, self._now()), seconds=_SECONDS)

    def _judge(self, proof: ClientCertificate, now: datetime) -> Identity:
        if not 1 <= len(proof.chain) <= _MOST_PRESENTED:
            most = _MOST_PRESENTED - 1
            raise ProofRejected(f"Present one certificate, and at most {most} of authorities.", reason="malformed")
        try:
            return self._vouch([x509.load_der_x509_certificate(each) for each in proof.chain], now)
        except UNREADABLE as error:
            raise ProofRejected("The certificate cannot be read.", reason="malformed", detail=str(error)) from error

    def _vouch(self, presented: Sequence[x509.Certificate], now: datetime) -> Identity:
        leaf, *others = presented
        if now < leaf.not_valid_before_utc:
            raise ProofRejected("The certificate is not valid yet.", reason="not_yet_valid")
        if now >= leaf.not_valid_after_utc:
            raise ProofExpired("The certificate has expired; get a new one.", reason="expired")
        trusted, revocations = self._files()
        path = trusted.path(leaf, others, now)
        if revocations is not None:
            revocations.require_good(path, now)
        return self._identity(path, now)

    def _files(self) -> tuple[Authorities, Revocations | None]:
        if self._trusted is None:
            lists = self._config.revocation_lists
            try:
                trusted = Authorities(authorities(self._config.authorities))
                revocations = Revocations(revocation_lists(lists)) if lists is not None else None
            except ValueError as error:
                raise ProviderUnavailable(
                    "The identity provider is not usable as it is configured.",
                    reason="configuration",
                    detail=f"a file {error}",
                ) from error
            self._trusted = trusted, revocations
        return self._trusted

    def _identity(self, path: Sequence[x509.Certificate], now: datetime) -> Identity:
        """A constrained authority may certify any subject, for constraints on hosts do not reach it."""
        leaf, *issuers = path
        known = attributes(leaf, with_subject=not any(map(is_constrained, issuers)))
        names = known.get("x509:subject/CN", ())
        return Identity(
            issuer=self._config.issuer,
            subject=leaf.subject.rfc4514_string() or known["x509:fingerprint"][0],
            audience=self._config.issuer,
            methods=frozenset(("pop",)),
            authenticated_at=now,
            expires_at=leaf.not_valid_after_utc,
            session_until=min(each.not_valid_after_utc for each in path),
            attributes=known,
            multivalued=frozenset(ALTERNATIVES),
            carried=CARRIED,
            session_name=session_name(names[0]) if len(names) == 1 else None,
        )
