"""Sign-ins at a real directory through the gateway, and what everybody else feels meanwhile."""

import re
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks import load
from benchmarks.report import Table
from tests.fakes.slapd import GROUPS, PEOPLE, SERVICE_DN, SERVICE_PASSWORD, Slapd
from tests.gateway import Gateway, running, write_configuration

SECONDS = 5.0
AT_ONCE = 8
USERS = 200
ACCOUNT = "111122223333"
PROVIDER = f"arn:aws:iam::{ACCOUNT}:ldap-provider/corp"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/staff"
UNBOUNDED = {"failures": 1_000_000, "within": "15m"}
_LAG = re.compile(r'^sojourn_event_loop_lag_seconds_bucket\{le="([0-9.]+|\+Inf)"\} ([0-9.]+)$', re.MULTILINE)


def run() -> Table:
    """Sign-ins per second by LDAP over a loopback socket, and the loop's lag from the gateway's own metrics."""
    table = Table(
        f"Sign-ins with AssumeRoleWithLDAPIdentity, {AT_ONCE} at once, one worker",
        ["sign-ins/s", "CPU us", "p50 ms", "p99 ms", "failed", "loop lag, 99 % below"],
    )
    with tempfile.TemporaryDirectory() as directory, Slapd(Path(directory) / "slapd", people=USERS) as slapd:
        write_configuration(Path(directory), {"corp": _account(slapd)}, {"guessing": dict.fromkeys(_LIMITS, UNBOUNDED)})
        with running(Gateway(Path(directory))) as gateway:
            if gateway.process is None:
                raise RuntimeError("the gateway is not running")
            requests = [_request(gateway, number) for number in range(USERS)]
            load.run(gateway.process.pid, requests, gateway.url, seconds=1, connections=AT_ONCE)
            before = _lag(gateway)
            measured = load.run(gateway.process.pid, requests, gateway.url, seconds=SECONDS, connections=AT_ONCE)
            lag = _below(before, _lag(gateway))
    numbers = (f"{measured.rate:.0f}", f"{measured.cpu_us:.0f}", f"{measured.p50_ms:.1f}", f"{measured.p99_ms:.1f}")
    table.add(*numbers, str(measured.failed), lag)
    return table


_LIMITS = ("user", "address", "everyone")


def _account(slapd: Slapd) -> dict[str, Any]:
    trust = {
        "Effect": "Allow",
        "Principal": {"Federated": PROVIDER},
        "Action": "sts:AssumeRoleWithLDAPIdentity",
        "Condition": {"ForAnyValue:StringEquals": {"ldap:groups": "staff"}},
    }
    return {
        "Account": ACCOUNT,
        "LDAPProviders": [
            {
                "Name": "corp",
                "Urls": [slapd.url],
                "BindDn": SERVICE_DN,
                "BindPassword": SERVICE_PASSWORD,
                "UserSearchBase": PEOPLE,
                "GroupSearchBase": GROUPS,
            }
        ],
        "Roles": [{"RoleName": "staff", "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]}}],
    }


def _request(gateway: Gateway, number: int) -> bytes:
    body = urlencode(
        {
            "Action": "AssumeRoleWithLDAPIdentity",
            "Version": "2011-06-15",
            "LDAPUsername": f"user{number}",
            "LDAPPassword": f"password{number}",
            "RoleArn": ROLE,
        }
    )
    head = {
        "Host": gateway.url.removeprefix("http://"),
        "Content-Type": "application/x-www-form-urlencoded",
        "Content-Length": str(len(body)),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"POST / HTTP/1.1\r\n{lines}\r\n{body}".encode()


def _lag(gateway: Gateway) -> Mapping[str, float]:
    with urllib.request.urlopen(f"{gateway.url}/metrics", timeout=10) as answer:
        return {bound: float(count) for bound, count in _LAG.findall(answer.read().decode())}


def _below(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    """The smallest bound that 99 % of the samples in between keep."""
    samples = after["+Inf"] - before["+Inf"]
    for bound, count in after.items():
        if count - before[bound] >= 0.99 * samples:
            return f"{float(bound) * 1e3:.0f} ms" if bound != "+Inf" else "more than 1 s"
    return "-"
