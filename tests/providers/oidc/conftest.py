"""An issuer on a loopback socket, and providers for it that are closed after the test."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from providers.contract import IdToken
from providers.errors import ProviderUnavailable
from providers.jwks import KeySets, Times
from providers.oidc import OidcConfig, OidcProvider
from tests.fakes.issuer import AUDIENCE, FakeIssuer

MakeProvider = Callable[..., OidcProvider]


class Steps:
    """A monotonic clock that moves only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def accepted_in_the_end(provider: OidcProvider, token: IdToken) -> None:
    """Try again until the issuer has been reached, without help."""
    async with asyncio.timeout(30):
        while True:
            try:
                await provider.verify(token)
            except ProviderUnavailable:
                await asyncio.sleep(0.02)
            else:
                return


class Memory:
    """A `Once` for one process."""

    def __init__(self) -> None:
        self.claimed: dict[str, tuple[datetime, datetime]] = {}

    async def claim(self, purpose: str, value: str, *, issued_at: datetime, until: datetime) -> bool:
        assert purpose == "oidc"
        if value in self.claimed:
            return False
        self.claimed[value] = (issued_at, until)
        return True


@pytest.fixture
async def issuer() -> AsyncIterator[FakeIssuer]:
    async with FakeIssuer() as issuer:
        yield issuer


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    """A self-signed certificate of 127.0.0.1, its key in `key.pem` beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "key.pem").write_bytes(private)
    return tmp_path / "ca.pem"


@pytest.fixture
async def tls_issuer(ca_file: Path) -> AsyncIterator[FakeIssuer]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(ca_file, ca_file.with_name("key.pem"))
    async with FakeIssuer(tls=tls) as issuer:
        yield issuer


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture
async def make_provider(issuer: FakeIssuer, session: aiohttp.ClientSession) -> AsyncIterator[MakeProvider]:
    made: list[KeySets] = []

    def make(
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        times: Times | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        **config: Any,
    ) -> OidcProvider:
        made.append(key_sets := KeySets(session, times=times, monotonic=monotonic))
        whole = {"issuer": issuer.url, "audiences": frozenset({AUDIENCE}), "allow_http": True, **config}
        return OidcProvider(OidcConfig(**whole), key_sets=key_sets, once=Memory(), now=now)

    yield make
    for key_sets in made:
        await key_sets.close()


@pytest.fixture
def provider(make_provider: MakeProvider) -> OidcProvider:
    return make_provider()
