"""Clients of AssumeRoleWithCertificate: curl, MinIO's, `sojourn assume`, boto3 by it, and what its page says."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from minio.credentials.providers import CertificateIdentityProvider

from tests.end_to_end.certificate_world import ACTION, Authorities, provider_arn, trusting, write_world
from tests.end_to_end.unsigned_client import NS, Refusal, ask
from tests.end_to_end.world import DEV, role, role_arn
from tests.fakes.certificates import SERVER, CertificateAuthority
from tests.fakes.redis import RedisServer
from tests.gateway import SOJOURN, Gateway, clean_environment, running
from tests.waiting import until

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "certificates.md"
AUTHORITIES = Authorities()
MACHINE = AUTHORITIES.machines.issue("build-7")
ARN = f"arn:aws:sts::{DEV}:assumed-role/build/build-7"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory: Path = tmp_path_factory.mktemp("gateway")
    account = {
        "Account": DEV,
        "CertificateProviders": [
            {"Name": "machines", "CaFile": "machines.pem", "CrlFile": "machines.crl"},
            {"Name": "guests", "CaFile": "guests.pem"},
            {"Name": "visitors", "CaFile": "guests.pem"},
        ],
        "Roles": [role("build", trusting({"StringEquals": {"x509:subject/CN": "build-7"}}))],
    }
    authority = write_world(directory, AUTHORITIES, account)
    with (
        RedisServer(directory / "redis") as server,
        running(Gateway(directory, store=server.url, authority=authority)) as gateway,
    ):
        yield gateway


@pytest.fixture
def machine(gateway: Gateway, tmp_path: Path) -> list[object]:
    """The words that present the machine's certificate."""
    certificate, key = MACHINE.files(tmp_path)
    where = ["--endpoint", gateway.url, "--certificate", certificate, "--key", key]
    return [SOJOURN, "assume", role_arn("build", DEV), *where]


def run(gateway: Gateway, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command as a user of the gateway gives it."""
    variables = clean_environment() | {"AWS_CA_BUNDLE": str(gateway.authority)} | environment
    done = subprocess.run(list(map(str, words)), env=variables, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr
    return done


def test_curl(gateway: Gateway, tmp_path: Path) -> None:
    certificate, key = MACHINE.files(tmp_path)
    form = (f"Action={ACTION}", "Version=2011-06-15", f"RoleArn={role_arn('build', DEV)}")
    words = [word for each in form for word in ("-d", each)]
    done = run(
        gateway, "curl", "-sS", "--cert", certificate, "--key", key, "--cacert", gateway.authority, gateway.url, *words
    )
    assert f'<{ACTION}Response xmlns="{NS[1:-1]}">' in done.stdout
    assert ARN in done.stdout


def test_minio_s(gateway: Gateway, tmp_path: Path) -> None:
    certificate, key = MACHINE.files(tmp_path)
    found = CertificateIdentityProvider(
        sts_endpoint=gateway.url,
        cert_file=False,  # type: ignore[arg-type]  # its check wants a flag where it documents a path
        http_client=urllib3.PoolManager(cert_file=str(certificate), key_file=str(key), ca_certs=str(gateway.authority)),
    ).retrieve()
    keys = {
        "AccessKeyId": found.access_key,
        "SecretAccessKey": found.secret_key,
        "SessionToken": found.session_token or "",
    }
    assert gateway.client(credentials=keys).get_caller_identity()["Arn"] == ARN


class TestCommandLine:
    def test_a_certificate_in_place_of_credentials(self, gateway: Gateway, machine: list[object]) -> None:
        assert json.loads(run(gateway, *machine).stdout)["AccountId"] == DEV
        whoami = ("--exec", "--", SOJOURN, "whoami", "--json")
        assert json.loads(run(gateway, *machine, *whoami).stdout)["Arn"] == ARN
        named = run(gateway, *machine, "--session-name", "own", *whoami)
        assert json.loads(named.stdout)["Arn"].endswith("build/own")

    def test_boto3_by_credential_process(self, gateway: Gateway, machine: list[object], tmp_path: Path) -> None:
        (tmp_path / "aws").write_text(f"[profile build]\ncredential_process = {' '.join(map(str, machine))} --json\n")
        program = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
        environment = {
            "AWS_CONFIG_FILE": str(tmp_path / "aws"),
            "AWS_PROFILE": "build",
            "AWS_ENDPOINT_URL_STS": gateway.url,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        assert run(gateway, sys.executable, "-c", program, **environment).stdout.strip() == ARN

    def test_refusals_are_told(self, gateway: Gateway, machine: list[object], tmp_path: Path) -> None:
        certificate, key = AUTHORITIES.guests.issue("visitor").files(tmp_path, "guest")
        guest = [*machine[:-4], "--certificate", certificate, "--key", key]
        several = run(gateway, *guest)
        assert (several.returncode, several.stdout) == (1, "")
        assert "ValidationError: ProviderArn is required" in several.stderr
        assert "AccessDenied" in run(gateway, *guest, "--provider", provider_arn("guests")).stderr
        certificate, key = CertificateAuthority("Unknown").issue("build-7").files(tmp_path, "unknown")
        unknown = run(gateway, *machine[:-4], "--certificate", certificate, "--key", key)
        assert "it does not accept this certificate" in unknown.stderr

    def test_files_that_cannot_be_used_are_told(self, gateway: Gateway, machine: list[object], tmp_path: Path) -> None:
        sealed = tmp_path / "sealed.key"
        sealed.write_bytes(
            MACHINE.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
        )
        other = AUTHORITIES.guests.issue("visitor").files(tmp_path, "guest")[1]
        for words in ([*machine[:-1], other], machine[:-2], [*machine[:-1], sealed]):
            done = run(gateway, *words)
            assert done.returncode == 1
            assert "must be PEM files that belong together, without a password" in done.stderr
        assert "AWS_CA_BUNDLE" in run(gateway, *machine, AWS_CA_BUNDLE=str(other)).stderr

    def test_wrong_usage(self, gateway: Gateway, machine: list[object], tmp_path: Path) -> None:
        for words in (
            [*machine[:-4], *machine[-2:]],
            [*machine[:-4], "--provider", provider_arn("guests")],
            [*machine, "--external-id", "x-1"],
            [*machine, "--serial-number", f"arn:aws:iam::{DEV}:mfa/x"],
            [*machine, "--endpoint", "http://127.0.0.1:9"],
            [*machine[:-4], "--certificate", tmp_path / "nowhere.pem"],
        ):
            assert run(gateway, *words).returncode == 2


def test_what_the_page_says_works(tmp_path: Path, redis: RedisServer) -> None:
    page = DOCUMENTATION.read_text()
    server, account, trust = re.findall(r"```(?:yaml|json)\n(.*?)```", page, re.DOTALL)
    making, revoking = page.partition("## An authority to try it with")[2].split("To revoke")
    _follow(making, tmp_path)
    alternatives = [x509.DNSName("localhost")]
    AUTHORITIES.server.issue(alternatives=alternatives, usages=(SERVER,)).files(tmp_path, "server")
    (tmp_path / "authority.pem").write_bytes(AUTHORITIES.server.pem)
    (tmp_path / "sojourn.yaml").write_text(server)
    (tmp_path / "accounts").mkdir()
    described = {"Account": DEV, **yaml.safe_load(account), "Roles": [role("build", json.loads(trust))]}
    (tmp_path / "accounts" / "acme.yaml").write_text(yaml.safe_dump(described))
    with running(Gateway(tmp_path, store=redis.url, authority=tmp_path / "authority.pem")) as gateway:
        opener = gateway.opener_with((tmp_path / "build-7.pem", tmp_path / "build-7.key"))
        assert ask(gateway, ACTION, {}, opener=opener)["Arn"] == ARN
        _follow(revoking, tmp_path)

        def refusal() -> str:
            try:
                ask(gateway, ACTION, {}, opener=opener)
            except Refusal as error:
                return str(error)
            return ""

        assert until(refusal).startswith("400 InvalidIdentityToken The certificate has been revoked")


def _follow(text: str, directory: Path) -> None:
    for command in re.findall(r"(?m)^\$ (.+)$", text):
        subprocess.run(["sh", "-ec", command], cwd=directory, check=True, capture_output=True)
