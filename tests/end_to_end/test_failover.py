"""Two gateways on a primary with Sentinels, or on a cluster, that loses a server: errors for seconds, nothing wrong."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.end_to_end.administration import ACCOUNTS, ADMIN, ALICE, SETTINGS, administer, lives
from tests.end_to_end.directory_world import SEEDS, factor
from tests.end_to_end.refusals import refused
from tests.end_to_end.world import DEV, role_arn
from tests.fakes.deployments import RedisCluster, SentinelTrio
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, running, write_configuration
from tests.waiting import WITHIN

HOME, DEPLOY = role_arn("home", DEV), role_arn("ci/deploy")
DEVICE = {"VirtualMfaDeviceName": "alice", "Base32StringSeed": SEEDS["alice"], "Users": ["alice"]}


@pytest.fixture(params=[SentinelTrio, RedisCluster])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SentinelTrio | RedisCluster]:
    # Patient: a busy machine is not to promote a replica before its time.
    with request.param(tmp_path / "store", replicas=1, patience=4000) as deployment:
        yield deployment


@pytest.fixture
def primary(deployment: SentinelTrio | RedisCluster) -> RedisServer:
    """One whose loss is felt by everybody."""
    return deployment.primary if isinstance(deployment, SentinelTrio) else deployment.primaries[1]


@pytest.fixture
def gateways(deployment: SentinelTrio | RedisCluster, tmp_path: Path) -> Iterator[Sequence[Gateway]]:
    accounts = {**ACCOUNTS, "dev": {**ACCOUNTS["dev"], "VirtualMFADevices": [DEVICE]}}
    settings = {**SETTINGS, "store": {"url": deployment.url, "wait_for_replicas": True}}
    directories = [tmp_path / name for name in ("one", "two")]
    for directory in directories:
        write_configuration(directory, accounts, settings)
    one, two = (Gateway(directory) for directory in directories)
    with running(one), running(two):
        yield one, two


def patient(gateway: Gateway) -> Any:
    """alice's client, which retries as SDKs do, but more often: pauses are drawn by chance, and may all be short."""
    return boto3.client(
        "sts",
        endpoint_url=gateway.url,
        region_name="us-east-1",
        aws_access_key_id=ALICE["AccessKeyId"],
        aws_secret_access_key=ALICE["SecretAccessKey"],
        config=Config(retries={"mode": "standard", "total_max_attempts": 30}, connect_timeout=60, read_timeout=60),
    )


def minted(client: Any, role: str = HOME, **more: str) -> Any:
    return client.assume_role(RoleArn=role, RoleSessionName="test", **more)["Credentials"]


def errors_of(gateway: Gateway) -> tuple[Counter[str], list[Any]]:
    """What a client that never retries is told until it is served again, and the credentials that it is handed out."""
    client, told, handed_out = gateway.client(credentials=ALICE), Counter[str](), list[Any]()
    served_again = 0
    end = time.monotonic() + WITHIN
    while served_again < 10:
        start = time.monotonic()
        assert start < end
        try:
            handed_out.append(minted(client))
            served_again += bool(told)
        except ClientError as error:
            told[error.response["Error"]["Code"]] += 1
        # What waits for a lost server until the operating system or the client gives up takes longer.
        assert time.monotonic() - start < 20
        time.sleep(0.1)
    return told, handed_out


def test_a_lost_primary_costs_seconds_and_no_promise(gateways: Sequence[Gateway], primary: RedisServer) -> None:
    one, two = gateways
    alice = one.client(credentials=ALICE)
    kept = [minted(alice) for _ in range(10)]
    ended = [minted(two.client(credentials=ALICE), DEPLOY) for _ in range(10)]
    used = factor("alice", steps=-1)
    kept.append(minted(alice, **used))
    assert all(lives(two, credentials) for credentials in kept)
    administer(two, ADMIN, "RevokeSessions", RoleArn=DEPLOY)
    with ThreadPoolExecutor(3) as threads:
        impatient = [threads.submit(errors_of, gateway) for gateway in gateways]
        primary.kill()
        retried = threads.submit(minted, patient(one))
        kept.append(retried.result())
        for told, handed_out in (each.result() for each in impatient):
            assert set(told) == {"ServiceUnavailable"}
            kept += handed_out
    for gateway in gateways:
        gateway.wait()
        # First what holds for a minute and a half only.
        for code in (used, factor("alice"), factor("alice", steps=1)):
            with refused("AccessDenied", "invalid MFA one time pass code"):
                minted(gateway.client(credentials=ALICE), **code)
    for gateway in gateways:
        assert not any(lives(gateway, credentials) for credentials in ended)
        assert all(lives(gateway, credentials) for credentials in kept)
