"""Where a request came from, as policies and the trail see it."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.refusals import refused
from tests.end_to_end.world import ALICE, DEV, allow, deny, inline, role, role_arn
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, running, write_configuration

FROM_LOOPBACK = {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}
OURS = {"AWS": f"arn:aws:iam::{DEV}:root"}
ACCOUNT = {
    "Account": DEV,
    "Users": [{"UserName": "alice", "AccessKeys": [ALICE], "Policies": inline(allow("sts:*", "*"))}],
    "Roles": [
        role("near", allow("sts:AssumeRole", principal=OURS, condition=FROM_LOOPBACK)),
        role(
            "not-near",
            allow("sts:AssumeRole", principal=OURS),
            deny("sts:AssumeRole", principal=OURS, condition=FROM_LOOPBACK),
        ),
    ],
}


@pytest.fixture
def gateway(tmp_path: Path, redis: RedisServer) -> Iterator[Gateway]:
    """One that listens for both families of addresses with one socket."""
    gateway = Gateway(tmp_path, store=redis.url)
    server = {"host": "::", "public_url": gateway.url, "trusted_proxies": ["127.0.0.1/32"]}
    write_configuration(tmp_path, {"dev": ACCOUNT}, {"server": server})
    with running(gateway):
        yield gateway


def test_an_ipv4_address_is_one_through_a_socket_of_both_families(gateway: Gateway) -> None:
    alice = gateway.client(credentials=ALICE)
    alice.assume_role(RoleArn=role_arn("near", DEV), RoleSessionName="here")
    assert gateway.audit[-1]["sourceIPAddress"] == "127.0.0.1"
    with refused("AccessDenied"):
        alice.assume_role(RoleArn=role_arn("not-near", DEV), RoleSessionName="here")


@pytest.mark.parametrize("told", ["198.51.100.7", "::ffff:198.51.100.7", "0:0:0:0:0:FFFF:C633:6407"])
def test_a_trusted_proxy_s_word_is_taken_in_either_spelling(gateway: Gateway, told: str) -> None:
    headers = {"X-Forwarded-For": f"10.0.0.1, {told}, ::ffff:127.0.0.1"}
    with pytest.raises(urllib.error.HTTPError):
        gateway.opener.open(urllib.request.Request(gateway.url, b"", headers))
    assert gateway.audit[-1]["sourceIPAddress"] == "198.51.100.7"
