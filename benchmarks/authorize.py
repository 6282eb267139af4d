"""Decisions at `/authorize`: S3 requests that distinct sessions signed, one worker.

Beside them, in the same run, GetCallerIdentity with the same sessions: the difference is what a question costs over a
signed call, that is a second signature, a second session, JSON and the decision.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from benchmarks import load
from benchmarks.report import Table
from benchmarks.sts import ACCOUNTS, KEY, POLICY, ROLE, middle
from tests.gateway import Gateway, running, write_configuration

SECONDS = 3.0
ROUNDS = 3
SESSIONS = 200
SERVER = {"AccessKeyId": "AKIA3KF6UTOHQ5VSJ2XA", "SecretAccessKey": "bench/secret/of/a/resource/server/000000"}
READING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]}
ASKING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "broker:Authorize", "Resource": "*"}]}


def _accounts() -> dict[str, Any]:
    prod: Any = ACCOUNTS["prod"]
    role = prod["Roles"][0] | {"Policies": [{"PolicyName": "p", "PolicyDocument": READING}]}
    server = {"UserName": "storage", "AccessKeys": [SERVER]} | {
        "Policies": [{"PolicyName": "p", "PolicyDocument": ASKING}]
    }
    return {
        "dev": ACCOUNTS["dev"],
        "prod": prod | {"Roles": [role]},
        "servers": {"Account": "777788889999", "Users": [server]},
    }


def _sessions(gateway: Gateway) -> list[Credentials]:
    client = gateway.client(credentials=KEY)
    found = []
    for number in range(SESSIONS):
        answer = client.assume_role(
            RoleArn=ROLE,
            RoleSessionName=f"bench-{number}",
            ExternalId="e-1",
            Policy=POLICY.replace("acme", f"b{number}"),
        )["Credentials"]
        found.append(Credentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"]))
    return found


def _wire(request: AWSRequest, url: str, path: str, body: str) -> bytes:
    head = {"Host": url.removeprefix("http://"), "Content-Length": str(len(body)), **dict(request.prepare().headers)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n{body}".encode()


def _questions(url: str, sessions: Sequence[Credentials], resources: int) -> list[bytes]:
    asked = []
    for number, session in enumerate(sessions):
        target = f"http://s3.internal/b{number}/key"
        shown = AWSRequest("GET", target, data=b"")
        S3SigV4Auth(session, "s3", "eu-central-1").add_auth(shown)
        question: dict[str, Any] = {
            "request": {
                "method": "GET",
                "url": target,
                "headers": dict(shown.headers.items()),
                "payload_sha256": hashlib.sha256(b"").hexdigest(),
            }
        }
        each = [
            {"action": "s3:GetObject", "resource": f"arn:aws:s3:::b{number}/key{resource}"}
            for resource in range(resources)
        ]
        body = json.dumps(question | (each[0] if resources == 1 else {"requests": each}))
        request = AWSRequest("POST", f"{url}/authorize", data=body, headers={"Content-Type": "application/json"})
        SigV4Auth(Credentials(SERVER["AccessKeyId"], SERVER["SecretAccessKey"]), "sts", "us-east-1").add_auth(request)
        asked.append(_wire(request, url, "/authorize", body))
    return asked


def _identities(url: str, sessions: Sequence[Credentials]) -> list[bytes]:
    body = urlencode({"Action": "GetCallerIdentity", "Version": "2011-06-15"})
    kind = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    calls = []
    for session in sessions:
        request = AWSRequest("POST", url + "/", data=body, headers=kind)
        SigV4Auth(session, "sts", "us-east-1").add_auth(request)
        calls.append(_wire(request, url, "/", body))
    return calls


def run() -> Table:
    """Every kind of call in turn, round by round; the round in the middle of each."""
    with tempfile.TemporaryDirectory() as directory:
        write_configuration(Path(directory), _accounts())
        with running(Gateway(Path(directory))) as gateway:
            if gateway.process is None:
                raise RuntimeError("the gateway is not running")
            sessions = _sessions(gateway)
            calls: Mapping[str, tuple[int, list[bytes]]] = {
                "/authorize, one resource": (1, _questions(gateway.url, sessions, 1)),
                "/authorize, ten resources": (10, _questions(gateway.url, sessions, 10)),
                "GetCallerIdentity": (0, _identities(gateway.url, sessions)),
            }
            rounds: dict[str, list[load.Measured]] = {name: [] for name in calls}
            for _ in range(ROUNDS):
                for name, (_, requests) in calls.items():
                    rounds[name].append(load.run(gateway.process.pid, requests, gateway.url, seconds=SECONDS))
            table = Table(
                f"Questions of a resource server, {SESSIONS} sessions with session policies, one worker",
                ["call", "answers/s", "decisions/s", "CPU us", "p50 ms", "p99 ms", "failed"],
            )
            for name, (decisions, _) in calls.items():
                each = middle(rounds[name])
                table.add(
                    name,
                    f"{each.rate:.0f}",
                    f"{each.rate * decisions:.0f}" if decisions else "-",
                    f"{each.cpu_us:.0f}",
                    f"{each.p50_ms:.1f}",
                    f"{each.p99_ms:.1f}",
                    str(each.failed),
                )
            return table
