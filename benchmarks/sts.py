"""STS calls against one worker of ours and, in the same run, against moto (which checks nothing)."""

import contextlib
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlencode

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from benchmarks import load
from benchmarks.report import Table
from tests.gateway import Gateway, clean_environment, free_port, running, write_configuration

SECONDS = 3.0
ROUNDS = 5
DISTINCT = 400
KEY = {"AccessKeyId": "AKIARTX3GSDSVFA3HYUD", "SecretAccessKey": "bench/secret/of/a/throw/away/gateway/000"}
ROLE = "arn:aws:iam::444455556666:role/deploy"
POLICY = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],'
    '"Resource":["arn:aws:s3:::acme","arn:aws:s3:::acme/*"]}]}'
)
CALLS: Mapping[str, Mapping[str, str]] = {
    "AssumeRole": {"RoleArn": ROLE, "ExternalId": "e-1"},
    "AssumeRole, session policy": {"RoleArn": ROLE, "ExternalId": "e-1", "Policy": POLICY},
    "GetCallerIdentity": {},
}
ACCOUNTS = {
    "dev": {
        "Account": "111122223333",
        "Users": [
            {
                "UserName": "alice",
                "AccessKeys": [KEY],
                "Policies": [
                    {
                        "PolicyName": "p",
                        "PolicyDocument": {
                            "Version": "2012-10-17",
                            "Statement": [
                                {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::*:role/*"}
                            ],
                        },
                    }
                ],
            }
        ],
    },
    "prod": {
        "Account": "444455556666",
        "Roles": [
            {
                "RoleName": "deploy",
                "AssumeRolePolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
                            "Action": "sts:AssumeRole",
                            "Condition": {"StringEquals": {"sts:ExternalId": "e-1"}},
                        }
                    ],
                },
            }
        ],
    },
}


def signed(url: str, call: str) -> list[bytes]:
    """Distinct signed requests as they stand on the wire."""
    action = call.partition(",")[0]
    requests = []
    for number in range(DISTINCT):
        named = {} if action == "GetCallerIdentity" else {"RoleSessionName": f"bench-{number}"}
        body = urlencode({"Action": action, "Version": "2011-06-15", **CALLS[call], **named})
        request = AWSRequest(
            "POST", url + "/", data=body, headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        )
        SigV4Auth(Credentials(KEY["AccessKeyId"], KEY["SecretAccessKey"]), "sts", "us-east-1").add_auth(request)
        prepared = request.prepare()
        head = {"Host": url.removeprefix("http://"), "Content-Length": str(len(body)), **dict(prepared.headers)}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        requests.append(f"POST / HTTP/1.1\r\n{lines}\r\n{body}".encode())
    return requests


@contextlib.contextmanager
def moto() -> Iterator[tuple[int, str]]:
    """A moto server of our own: its process id and address."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment())
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/moto-api/", timeout=2):
                break
            time.sleep(0.1)
        yield process.pid, url
    finally:
        process.terminate()
        process.wait()


def measure(pid: int, url: str, calls: Sequence[str]) -> dict[str, load.Measured]:
    """The median round of each call."""
    found = {}
    for call in calls:
        requests = signed(url, call)
        rounds = [load.run(pid, requests, url, seconds=SECONDS) for _ in range(ROUNDS)]
        found[call] = middle(rounds)
    return found


def middle(rounds: Sequence[load.Measured]) -> load.Measured:
    """The round in the middle by CPU."""
    return sorted(rounds, key=lambda each: each.cpu_us)[len(rounds) // 2]


def run() -> Table:
    """Both servers in turn, call by call and round by round, so that both meet the machine in the same moods."""
    with tempfile.TemporaryDirectory() as directory:
        write_configuration(Path(directory), ACCOUNTS)
        with running(Gateway(Path(directory))) as gateway, moto() as (pid, url):
            if gateway.process is None:
                raise RuntimeError("the gateway is not running")
            table = Table(
                "STS calls, one worker, 16 keep-alive connections",
                [
                    *("call", "server", "answers/s", "CPU us", "p50 ms", "p99 ms", "failed"),
                    "per CPU-second, ours / moto's",
                ],
            )
            for call in CALLS:
                ours, theirs = signed(gateway.url, call), signed(url, call)
                pairs = [
                    (
                        load.run(gateway.process.pid, ours, gateway.url, seconds=SECONDS),
                        load.run(pid, theirs, url, seconds=SECONDS),
                    )
                    for _ in range(ROUNDS)
                ]
                ratios = sorted(our.per_cpu_second / their.per_cpu_second for our, their in pairs)
                _row(table, call, "sojourn", middle([our for our, _ in pairs]), f"{ratios[ROUNDS // 2]:.1f}")
                _row(table, call, "moto", middle([their for _, their in pairs]), "")
    return table


def _row(table: Table, call: str, server: str, measured: load.Measured, ratio: str) -> None:
    numbers = (f"{measured.rate:.0f}", f"{measured.cpu_us:.0f}", f"{measured.p50_ms:.1f}", f"{measured.p99_ms:.1f}")
    table.add(call, server, *numbers, str(measured.failed), ratio)
