"""Bearer tokens verified in the middleware of a resource server, a distinct session's each time.

The verifier by itself, then a service of one process on aiohttp and on uvicorn (a bare ASGI application), each without
a guard, with one that verifies offline, and (aiohttp) with one that asks the gateway, too. The CPU is the service's.
"""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import uvicorn
from aiohttp import web

from benchmarks import load
from benchmarks.authorize import SERVER
from benchmarks.oidc import Issuer
from benchmarks.report import Table
from benchmarks.sts import middle
from broker.client import Authenticated, Authorized, Authorizer, Guard, Verifier, environment
from broker.client.aiohttp import protect
from broker.client.asgi import Guarded, Receive, Scope, Send
from tests.fakes.issuer import AUDIENCE
from tests.gateway import Gateway, clean_environment, free_port, running, write_configuration

SECONDS = 3.0
ROUNDS = 3
SESSIONS = 500
ROLE = "arn:aws:iam::444455556666:role/ci"
SERVICES = {
    "aiohttp": "no guard",
    "aiohttp-offline": "verified offline",
    "aiohttp-asking": "verified offline, then decided at /authorize",
    "asgi": "no guard",
    "asgi-offline": "verified offline",
}


def _accounts(issuer: str) -> dict[str, Any]:
    host = issuer.partition("://")[2]

    def policies(action: str) -> list[dict[str, Any]]:
        statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
        return [{"PolicyName": "p", "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]}}]

    trust = {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::444455556666:oidc-provider/{host}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{host}:aud": AUDIENCE}},
    }
    role = {
        "RoleName": "ci",
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
        "Policies": policies("reports:Get*"),
    }
    provider = {"Url": issuer, "ClientIdList": [AUDIENCE], "AllowHttp": True}
    server = {"UserName": "reports", "AccessKeys": [SERVER], "Policies": policies("broker:Authorize*")}
    return {
        "prod": {"Account": "444455556666", "Roles": [role], "OIDCProviders": [provider]},
        "servers": {"Account": "777788889999", "Users": [server]},
    }


def _tokens(gateway: Gateway, issuer: Issuer) -> list[str]:
    found = []
    for subject in issuer.tokens(SESSIONS):
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": subject,
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "resource": ROLE,
        }
        with gateway.opener.open(f"{gateway.url}/oauth2/token", urlencode(form).encode()) as answer:
            found.append(str(json.load(answer)["access_token"]))
    return found


async def _verified(issuer: str, tokens: Sequence[str]) -> tuple[float, float]:
    """Verifications a second, and microseconds of CPU for one."""
    verifier = Verifier(issuer)
    await verifier.verify(tokens[0])
    done, begun, spent = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - begun < SECONDS:
        for token in tokens:
            await verifier.verify(token)
        done += len(tokens)
    rate, cpu = done / (time.perf_counter() - begun), (time.process_time() - spent) / done
    await verifier.close()
    return rate, cpu * 1e6


@contextlib.contextmanager
def _service(name: str, gateway: Gateway) -> Iterator[tuple[int, str]]:
    port = free_port()
    own = {"AWS_ACCESS_KEY_ID": SERVER["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": SERVER["SecretAccessKey"]}
    command = [sys.executable, "-m", "benchmarks.middleware", name, str(port), str(gateway.port)]
    process = subprocess.Popen(command, env=clean_environment() | own)
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield process.pid, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def run() -> Table:
    """Every service in turn, round by round; the round in the middle of each."""
    table = Table(
        f"Bearer tokens of {SESSIONS} sessions in a resource server's middleware, one process",
        ["where", "what", "answers/s", "CPU us", "p50 ms", "p99 ms", "failed"],
    )
    with tempfile.TemporaryDirectory() as directory, Issuer() as issuer:
        write_configuration(Path(directory), _accounts(issuer.url))
        with running(Gateway(Path(directory))) as gateway, contextlib.ExitStack() as stack:
            tokens = _tokens(gateway, issuer)
            alone = [asyncio.run(_verified(f"http://localhost:{gateway.port}", tokens)) for _ in range(ROUNDS)]
            rate, cpu = sorted(alone)[ROUNDS // 2]
            table.add("Verifier", "verified offline", f"{rate:.0f}", f"{cpu:.0f}", "-", "-", "0")
            services = {name: stack.enter_context(_service(name, gateway)) for name in SERVICES}
            rounds: Mapping[str, list[load.Measured]] = {name: [] for name in SERVICES}
            for _ in range(ROUNDS):
                for name, (pid, at) in services.items():
                    requests = [_wire(at, token) for token in tokens]
                    rounds[name].append(load.run(pid, requests, at, seconds=SECONDS))
            for name, what in SERVICES.items():
                each = middle(rounds[name])
                numbers = (f"{each.rate:.0f}", f"{each.cpu_us:.0f}", f"{each.p50_ms:.1f}", f"{each.p99_ms:.1f}")
                table.add(name.partition("-")[0], what, *numbers, str(each.failed))
    return table


def _wire(url: str, token: str) -> bytes:
    host = url.partition("://")[2]
    return f"GET /reports/1 HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def _guard(name: str, gateway: str) -> Guard:
    verifier = Verifier(f"http://localhost:{gateway}")
    if name.endswith("-asking"):
        rule = Authorized("GET", "/reports/{id}", "reports:GetReport", "arn:aws:reports:::report/{id}")
        return Guard([rule], verifier=verifier, authorizer=Authorizer(f"http://127.0.0.1:{gateway}", environment))
    return Guard([Authenticated("GET", "/reports/{id}")], verifier=verifier)


async def _show(_: web.Request) -> web.Response:
    return web.Response(text="report")


async def _bare(scope: Scope, _: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
        await send({"type": "http.response.body", "body": b"report"})


def _serve(name: str, port: str, gateway: str) -> None:
    """The service of a name, until it is terminated."""
    if name.startswith("asgi"):
        bare = _bare if name == "asgi" else Guarded(_bare, _guard(name, gateway))
        uvicorn.run(bare, port=int(port), log_level="error", access_log=False, lifespan="off")
        return
    application = web.Application()
    application.router.add_get("/reports/{id}", _show)
    if name != "aiohttp":
        protect(application, _guard(name, gateway))
    web.run_app(application, host="127.0.0.1", port=int(port), print=None, access_log=None)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
