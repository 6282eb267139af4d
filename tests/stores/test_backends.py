"""Every backend passes the conformance suite."""

import pytest

from broker.stores.embedded import EmbeddedServer
from tests.fakes.deployments import RedisCluster, SentinelTrio
from tests.fakes.redis import RedisServer
from tests.stores.conformance import StoreConformance
from tests.stores.raw import command


class TestRedis(StoreConformance):
    @pytest.fixture
    def url(self, shared_redis: RedisServer) -> str:
        command(shared_redis.url, "FLUSHALL")
        return shared_redis.url


class TestEmbedded(StoreConformance):
    @pytest.fixture
    def url(self, embedded: EmbeddedServer) -> str:
        command(embedded.url, "FLUSHALL")
        return embedded.url


class TestPackagedServer(StoreConformance):
    @pytest.fixture
    def url(self, packaged: EmbeddedServer) -> str:
        command(packaged.url, "FLUSHALL")
        return packaged.url


class TestSentinel(StoreConformance):
    @pytest.fixture
    def url(self, shared_trio: SentinelTrio) -> str:
        command(shared_trio.primary.url, "FLUSHALL")
        return shared_trio.url


class TestCluster(StoreConformance):
    @pytest.fixture
    def url(self, shared_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch) -> str:
        # What is tested here is not how long six tenths of a second are for the servers of a busy machine.
        monkeypatch.setattr("broker.stores.cluster._TIMEOUT", 30.0)
        for primary in shared_cluster.primaries:
            command(primary.url, "FLUSHALL")
        return shared_cluster.url
