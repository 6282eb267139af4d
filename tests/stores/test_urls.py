"""A store's URL: what it may say, and that its password stays out of every message."""

import os
from pathlib import Path

import pytest
from redis.asyncio.connection import SSLConnection

from broker.stores import open_store
from broker.stores.connect import several
from broker.stores.contract import Store, StoreMisconfigured
from tests.fakes.clock import Clock
from tests.fakes.redis import RedisServer
from tests.stores.conftest import OpenStore
from tests.stores.raw import command


def opened_at(url: str, state: Path | None = None) -> Store:
    return open_store(url, now=Clock(), random=os.urandom, state=state)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis",
        "redis:/host",
        "http://:hunter2@host",
        "REDIS://host",
        "redis://:hunter2@host:port",
        "redis://:hunter2@host:99999",
        "redis://:hunter2@host/name",
        "redis://:hunter2@host/1/2",
        "redis://:hunter2@host?db=x",
        "redis://:hunter2@host?colour=red",
        "redis://:hunter2@[host",
        "unix://",
        "redis+sentinel://:hunter2@host:26379",
        "redis+sentinel://:hunter2@host:26379,/name",
        "redis+sentinel://:hunter2@/name",
        "redis+sentinel://:hunter2@host:port/name",
        "redis+sentinel://:hunter2@host/name/other",
        "redis+sentinel://:hunter2@host/name/1/2",
        "redis+sentinel://host/name?sentinel_passwort=hunter2",
        "redis+cluster://:hunter2@host/0",
        "redis+cluster://:hunter2@host?db=1",
        "redis+cluster://:hunter2@host,other:99999",
        "embedded:///elsewhere",
        "embedded://",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(StoreMisconfigured) as refused:
        opened_at(url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "redis://user:password@host:6380/3",
        "redis://host?db=3&client_name=gateway&socket_timeout=0.1&max_connections=5&decode_responses=yes",
        "rediss://host?ssl_cert_reqs=required",
        "redis+sentinel://host/name",
        "redis+sentinel://user:password@host:1,[::1]:2,other/name/3?sentinel_username=u&sentinel_password=a@b",
        "rediss+sentinel://host/name?ssl_ca_certs=/etc/ssl/redis-ca.pem",
        "redis+cluster://user:password@host:1,other",
        "rediss+cluster://host/?ssl_ca_certs=/etc/ssl/redis-ca.pem",
        "unix:///run/redis.sock?db=1",
        "unix://user:password@/run/redis.sock",
    ],
)
def test_a_url_may_say_what_redis_py_reads(url: str) -> None:
    opened_at(url)


async def test_the_database_of_the_url_is_used(redis: RedisServer, opened: OpenStore) -> None:
    third = opened(redis.url.removesuffix("/0") + "/3?decode_responses=yes&socket_timeout=0.001")
    await third.put("k", b"\xff")
    assert await third.get("k") == b"\xff"
    assert await opened(redis.url).get("k") is None
    assert command(redis.url.removesuffix("/0") + "/3", "GET", "sojourn:k") == b"k\0\xff"


def test_each_host_of_a_url_has_its_own_port_and_the_sentinels_their_own_password() -> None:
    said = several(
        "rediss+sentinel://user:pass%2Fword@one:1,[::1],two:2/the%20name/3?sentinel_password=own&ssl_ca_certs=/ca.pem",
        port=26379,
    )
    assert said.hosts == [("one", 1), ("::1", 26379), ("two", 2)]
    assert said.name == "the name"
    servers, sentinels = said.servers.options, said.sentinels.options
    assert (servers["username"], servers["password"], servers["db"]) == ("user", "pass/word", 3)
    assert sentinels["password"] == "own"
    assert not {"username", "db"} & set(sentinels)
    assert servers["ssl_ca_certs"] == sentinels["ssl_ca_certs"] == "/ca.pem"
    assert said.servers.kind is said.sentinels.kind is SSLConnection


def test_the_embedded_store_is_found_by_its_state_directory(tmp_path: Path) -> None:
    opened_at("embedded://", tmp_path)
