"""Cost of one policy decision, beside Cedar's Python binding in the same run.

Every statement has two actions, one resource with a variable, StringEquals and IpAddress; the one in the middle
allows. Both engines have their policies parsed beforehand; both get a new request each time. "same resource": all
statements are about the same actions and resource, so nothing but their conditions tells them apart.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.report import Table
from broker.policy import Kind, Policies, Principal, PrincipalKind, Request, RequestContext, decide, parse

COUNTS = (1, 10, 100)
_ROUNDS = 7
_SECONDS_A_ROUND = 0.05
_USER = Principal(PrincipalKind.USER, "arn:aws:iam::111122223333:user/alice", "111122223333")


@dataclass(frozen=True, slots=True)
class Row:
    """Microseconds per decision with `statements` statements; `cedar` is None where cedarpy is not installed."""

    statements: int
    sojourn: float
    sojourn_same_resource: float
    cedar: float | None


def run() -> Table:
    """Both engines, by number of statements."""
    table = Table(
        "Policy decisions, CPU us each (best of rounds, engines in turn)",
        ["statements", "sojourn", "sojourn, all on one resource", "cedarpy", "sojourn / cedarpy"],
    )
    for row in map(_row, COUNTS):
        cedar = ("-", "-") if row.cedar is None else (f"{row.cedar:.1f}", f"{row.sojourn / row.cedar:.2f}")
        table.add(str(row.statements), f"{row.sojourn:.1f}", f"{row.sojourn_same_resource:.1f}", *cedar)
    return table


def _row(count: int) -> Row:
    peer = _peer(count)
    costs = _costs([_ours(count), _ours(count, same=True), *([peer] if peer else [])])
    return Row(count, costs[0], costs[1], costs[2] if peer else None)


def _costs(decisions: Sequence[Callable[[], object]]) -> list[float]:
    """Microseconds a call: the best of several short rounds, in turn, so that a busy moment hits all alike."""
    best = [float("inf")] * len(decisions)
    for _ in range(_ROUNDS):
        for index, decision in enumerate(decisions):
            number = 0
            start = now = time.perf_counter()
            while now - start < _SECONDS_A_ROUND:
                for _ in range(20):
                    decision()
                number += 20
                now = time.perf_counter()
            best[index] = min(best[index], (now - start) / number * 1e6)
    return best


def _ours(count: int, *, same: bool = False) -> Callable[[], object]:
    middle = count // 2
    statements = [
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": f"arn:aws:s3:::bucket-{middle if same else number}/${{aws:username}}/*",
            "Condition": {
                "StringEquals": {"aws:PrincipalTag/team": f"team-{number}"},
                "IpAddress": {"aws:SourceIp": f"10.{number}.0.0/16"},
            },
        }
        for number in range(count)
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    policies = Policies(identity=[parse(document, Kind.IDENTITY)])
    resource = f"arn:aws:s3:::bucket-{middle}/alice/report.txt"
    values = {
        "aws:username": "alice",
        "aws:PrincipalTag/team": f"team-{middle}",
        "aws:SourceIp": f"10.{middle}.2.3",
        "aws:PrincipalArn": _USER.arn,
        "aws:SecureTransport": "true",
    }

    def decision() -> bool:
        request = Request(_USER, "s3:GetObject", resource, RequestContext(values))
        return decide(request, policies).allowed

    if not decision():
        raise RuntimeError("the statement in the middle does not allow")
    return decision


def _peer(count: int) -> Callable[[], object] | None:
    try:
        import cedarpy
    except ImportError:
        return None
    middle = count // 2
    policies = cedarpy.PolicySet.from_str(
        "\n".join(
            'permit(principal, action in [Action::"GetObject", Action::"PutObject"], resource) when {'
            f' resource.bucket == "bucket-{number}" && resource.folder == principal.username'
            f' && principal.team == "team-{number}" && context.source_ip.isInRange(ip("10.{number}.0.0/16")) }};'
            for number in range(count)
        )
    )
    entities = cedarpy.Entities.from_json_str(
        json.dumps(
            [
                {
                    "uid": {"type": "User", "id": "alice"},
                    "attrs": {"username": "alice", "team": f"team-{middle}"},
                    "parents": [],
                },
                {
                    "uid": {"type": "Object", "id": "report.txt"},
                    "attrs": {"bucket": f"bucket-{middle}", "folder": "alice"},
                    "parents": [],
                },
            ]
        )
    )

    def decision() -> bool:
        request = {
            "principal": 'User::"alice"',
            "action": 'Action::"GetObject"',
            "resource": 'Object::"report.txt"',
            "context": {
                "source_ip": {"__extn": {"fn": "ip", "arg": f"10.{middle}.2.3"}},
                "secure_transport": True,
            },
        }
        return bool(cedarpy.is_authorized(request, policies, entities).allowed)

    if not decision():
        raise RuntimeError("Cedar's policy in the middle does not permit")
    return decision
