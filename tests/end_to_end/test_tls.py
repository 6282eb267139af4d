"""TLS, and proxies that end it."""

import datetime
import ssl
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.end_to_end.refusals import refused
from tests.end_to_end.world import ACCOUNTS, ALICE, DEV, allow, inline, role, role_arn
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, running, write_configuration


def certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate of localhost, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "server.pem", directory / "server.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


SECURE_ONLY: dict[str, Any] = {
    "Account": "555566667777",
    "Roles": [
        role(
            "secure",
            allow("sts:AssumeRole", principal={"AWS": DEV}, condition={"Bool": {"aws:SecureTransport": "true"}}),
            Policies=inline(allow("s3:*", "*")),
        ),
        role(
            "from-office",
            allow(
                "sts:AssumeRole", principal={"AWS": DEV}, condition={"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}
            ),
        ),
    ],
}


def test_boto3_over_tls(tmp_path: Path, redis: RedisServer) -> None:
    public, private = certificate(tmp_path)
    tls = {"certificate": public.name, "private_key": private.name}
    write_configuration(tmp_path, ACCOUNTS | {"secure": SECURE_ONLY}, {"server": {"tls": tls}})
    with running(Gateway(tmp_path, store=redis.url, authority=public)) as gateway:
        client = gateway.client(credentials=ALICE)
        client.assume_role(RoleArn=role_arn("secure", "555566667777"), RoleSessionName="tls")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.load_verify_locations(public)
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(OSError, match=r"(?i)ssl|protocol"):
            urllib.request.build_opener(urllib.request.HTTPSHandler(context=old)).open(gateway.url, timeout=5)


@pytest.mark.parametrize("trusted", [True, False])
def test_only_a_trusted_proxy_tells_the_clients_side(tmp_path: Path, redis: RedisServer, trusted: bool) -> None:
    server = {"trusted_proxies": ["127.0.0.0/8"]} if trusted else {}
    write_configuration(tmp_path, ACCOUNTS | {"secure": SECURE_ONLY}, {"server": server})
    with running(Gateway(tmp_path, store=redis.url)) as gateway:
        client = gateway.client(credentials=ALICE)
        forwarded = {"X-Forwarded-For": "198.51.100.9, 203.0.113.7, 127.0.0.2", "X-Forwarded-Proto": "https"}

        def forward(request: Any, **_: object) -> None:
            for name, value in forwarded.items():
                request.headers[name] = value

        client.meta.events.register("before-send.sts.AssumeRole", forward)
        for name in ("secure", "from-office"):
            parameters = {"RoleArn": role_arn(name, "555566667777"), "RoleSessionName": "proxied"}
            if trusted:
                client.assume_role(**parameters)
            else:
                with refused("AccessDenied"):
                    client.assume_role(**parameters)
        assert gateway.audit[-1]["sourceIPAddress"] == ("203.0.113.7" if trusted else "127.0.0.1")
