"""`rediss…://`: the servers' certificates are verified against the authority of the URL."""

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fakes.deployments import SERVICE, RedisCluster, SentinelTrio
from tests.fakes.redis import RedisServer
from tests.fakes.server import free_port
from tests.stores.conftest import OpenStore
from tests.stores.test_faults import recover, slowest_until, told


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


def speak_tls(server: RedisServer, authority: Path) -> int:
    """On a port of its own, beside the plain one."""
    port = free_port()
    server.settings |= {
        "tls-port": str(port),
        "tls-cert-file": str(authority),
        "tls-key-file": str(authority.with_suffix(".key")),
        "tls-ca-cert-file": str(authority),
        "tls-auth-clients": "no",
    }
    return port


@pytest.fixture
def tls_url(tmp_path: Path, authority: Path) -> Iterator[str]:
    server = RedisServer(tmp_path / "redis")
    port = speak_tls(server, authority)
    with server:
        yield f"rediss://:{server.password}@127.0.0.1:{port}/0"


@pytest.fixture
def sentinel_url(tmp_path: Path, authority: Path) -> Iterator[str]:
    trio = SentinelTrio(tmp_path / "trio")
    primary, hosts = speak_tls(trio.primary, authority), []
    for sentinel in trio.sentinels:
        hosts.append(f"127.0.0.1:{speak_tls(sentinel, authority)}")
        sentinel.settings |= {"tls-replication": "yes", "sentinel monitor": f"{SERVICE} 127.0.0.1 {primary} 2"}
    with trio:
        own = trio.sentinels[0].password
        yield f"rediss+sentinel://:{trio.password}@{','.join(hosts)}/{SERVICE}?sentinel_password={own}"


@pytest.fixture
def cluster_url(tmp_path: Path, authority: Path) -> Iterator[str]:
    cluster = RedisCluster(tmp_path / "cluster")
    port = [speak_tls(server, authority) for server in cluster.servers][1]
    for server in cluster.servers:
        server.settings["tls-cluster"] = "yes"
    with cluster:
        yield f"rediss+cluster://:{cluster.password}@127.0.0.1:{port}/?"


async def test_a_server_with_a_trusted_certificate_is_used(tls_url: str, authority: Path, opened: OpenStore) -> None:
    store = opened(f"{tls_url}?ssl_ca_certs={authority}")
    await recover(store)
    await store.put("k", b"v")
    assert await store.get("k") == b"v"


async def test_a_server_with_another_certificate_is_refused(tls_url: str, tmp_path: Path, opened: OpenStore) -> None:
    other = self_signed(tmp_path, "127.0.0.1")
    for options in (f"?ssl_ca_certs={other}", ""):
        await told(opened(tls_url + options).ping, "certificate")


async def test_a_certificate_for_another_host_is_refused(tls_url: str, authority: Path, opened: OpenStore) -> None:
    await told(opened(f"{tls_url.replace('127.0.0.1', 'localhost')}?ssl_ca_certs={authority}").ping, "certificate")


@pytest.mark.parametrize("deployment", ["sentinel_url", "cluster_url"])
async def test_every_server_of_a_deployment_is_verified(
    deployment: str, request: pytest.FixtureRequest, authority: Path, tmp_path: Path, opened: OpenStore
) -> None:
    url = f"{request.getfixturevalue(deployment)}&ssl_ca_certs="
    store = opened(f"{url}{authority}")
    await recover(store)
    for number in range(10):
        await store.put(f"k{number}", b"v")
    await slowest_until(store.durable)
    await told(opened(f"{url}{self_signed(tmp_path, '127.0.0.1')}").ping, "certificate")
