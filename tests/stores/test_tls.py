"""`rediss://`: the server's certificate is verified against the authority of the URL."""

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from broker.stores.contract import StoreUnavailable
from tests.fakes.redis import RedisServer
from tests.fakes.server import free_port
from tests.stores.conftest import OpenStore


def self_signed(directory: Path, address: str) -> Path:
    """A certificate that is its own authority; its key lies beside it as `.key`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis.test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / f"{address}-{certificate.serial_number}.crt"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    path.with_suffix(".key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    return self_signed(tmp_path, "127.0.0.1")


@pytest.fixture
def tls_url(tmp_path: Path, authority: Path) -> Iterator[str]:
    port = free_port()
    settings = {
        "tls_port": str(port),
        "tls_cert_file": str(authority),
        "tls_key_file": str(authority.with_suffix(".key")),
        "tls_auth_clients": "no",
    }
    with RedisServer(tmp_path / "redis", **settings) as server:
        yield f"rediss://:{server.password}@127.0.0.1:{port}/0"


async def test_a_server_with_a_trusted_certificate_is_used(tls_url: str, authority: Path, opened: OpenStore) -> None:
    store = opened(f"{tls_url}?ssl_ca_certs={authority}")
    await store.put("k", b"v")
    assert await store.get("k") == b"v"


async def test_a_server_with_another_certificate_is_refused(tls_url: str, tmp_path: Path, opened: OpenStore) -> None:
    other = self_signed(tmp_path, "127.0.0.1")
    for options in (f"?ssl_ca_certs={other}", ""):
        with pytest.raises(StoreUnavailable, match="certificate"):
            await opened(tls_url + options).ping()


async def test_a_certificate_for_another_host_is_refused(tls_url: str, authority: Path, opened: OpenStore) -> None:
    with pytest.raises(StoreUnavailable, match="certificate"):
        await opened(f"{tls_url.replace('127.0.0.1', 'localhost')}?ssl_ca_certs={authority}").ping()
