"""One authority for all tests of the room, and providers that trust it."""

from collections.abc import Callable, Iterator

import pytest

from providers.pool import Pool
from providers.x509 import CertificateConfig, CertificateProvider
from tests.fakes.certificates import CertificateAuthority
from tests.fakes.clock import Clock

ARN = "arn:aws:iam::111122223333:certificate-provider/machines"
MakeProvider = Callable[..., CertificateProvider]


@pytest.fixture(scope="session")
def authority() -> CertificateAuthority:
    return CertificateAuthority()


@pytest.fixture
def clock(authority: CertificateAuthority) -> Clock:
    return Clock(authority.now)


@pytest.fixture
def provider(authority: CertificateAuthority, clock: Clock) -> Iterator[MakeProvider]:
    """Makes providers: of the authority, or of the PEM given; `lists`: revocation lists, PEM."""
    pool = Pool("x509", threads=1, waiting=10)

    def make(authorities: bytes = authority.pem, *, lists: bytes | None = None) -> CertificateProvider:
        config = CertificateConfig(issuer=ARN, authorities=authorities, revocation_lists=lists)
        return CertificateProvider(config, now=clock, pool=pool)

    yield make
    pool.close()
