"""Real deployments of several servers on loopback: a primary with Sentinels, a cluster; with replicas or without."""

import contextlib
import itertools
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from tests.fakes.redis import RedisServer
from tests.fakes.server import free_port

SERVICE = "sojourn"
_SLOTS = 16384
_PRIMARIES = 3


class Sentinel(RedisServer):
    """One that watches `primary`, and holds it to be down after `patience` milliseconds."""

    arguments = ("--sentinel",)

    def __init__(self, directory: Path, primary: RedisServer, password: str, patience: int = 1000) -> None:
        super().__init__(directory, password=password)
        self.settings = {name: self.settings[name] for name in ("bind", "port", "dir", "requirepass", "logfile")} | {
            "sentinel monitor": f"{SERVICE} 127.0.0.1 {primary.port} 2",
            "sentinel auth-pass": f"{SERVICE} {primary.password}",
            "sentinel sentinel-pass": password,
            "sentinel down-after-milliseconds": f"{SERVICE} {patience}",
            "sentinel failover-timeout": f"{SERVICE} 4000",
        }


class Deployment:
    """Started on entry, ended on exit."""

    servers: Sequence[RedisServer]

    @property
    def url(self) -> str:
        """Of the store, with its passwords."""
        raise NotImplementedError

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        """End every server."""
        for server in self.servers:
            server.kill()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class SentinelTrio(Deployment):
    """A primary, `replicas` of it, and three Sentinels with a password of their own. `settings`: of the servers.

    `patience`: milliseconds after which a silent server is held to be down.
    """

    def __init__(self, directory: Path, *, replicas: int = 0, patience: int = 1000, **settings: str) -> None:
        self.password = secrets.token_hex(8)
        self.primary = RedisServer(directory / "primary", password=self.password, **settings)
        following = f"127.0.0.1 {self.primary.port}"
        self.replicas = [
            RedisServer(directory / f"replica-{number}", password=self.password, replicaof=following, **settings)
            for number in range(replicas)
        ]
        own = secrets.token_hex(8)
        self.sentinels = [
            Sentinel(directory / f"sentinel-{number}", self.primary, own, patience) for number in range(3)
        ]
        self.servers = [*self.sentinels, self.primary, *self.replicas]

    @property
    def url(self) -> str:
        """`redis+sentinel://…` with both passwords."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        own = self.sentinels[0].password
        return f"redis+sentinel://:{self.password}@{hosts}/{SERVICE}?sentinel_password={own}"

    def start(self) -> None:
        """Return when the Sentinels know each other and every replica, where there are replicas."""
        self.primary.start()
        for server in (*self.replicas, *self.sentinels):
            server.start()
        if self.replicas:
            until(self._settled, "the Sentinels do not agree")

    def fail_over(self) -> None:
        """Promote a replica in order, the primary being up; return when that is done."""
        before = self.primary_port()
        until(lambda: bool(raw(self.sentinels[0], "SENTINEL", "FAILOVER", SERVICE)), "no replica can be promoted")
        until(lambda: self.primary_port() != before, "no replica was promoted")

    def primary_port(self, witness: RedisServer | None = None) -> int:
        """Where a Sentinel, by default the first, has the primary at present."""
        return int(raw(witness or self.sentinels[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def _settled(self) -> bool:
        states = [raw(sentinel, "SENTINEL", "MASTER", SERVICE) for sentinel in self.sentinels]
        known = all(
            (int(state["num-other-sentinels"]), int(state["num-slaves"]))
            == (len(self.sentinels) - 1, len(self.replicas))
            for state in states
        )
        links = [raw(replica, "INFO", "replication")["master_link_status"] for replica in self.replicas]
        return known and set(links) == {"up"}


class RedisCluster(Deployment):
    """Three primaries with `replicas` each, in the order of their slots. `settings`: of the servers.

    `patience`: milliseconds after which a silent node is held to be down.
    """

    def __init__(self, directory: Path, *, replicas: int = 0, patience: int = 1000, **settings: str) -> None:
        self.password = secrets.token_hex(8)
        self.servers = [
            RedisServer(directory / f"node-{number}", password=self.password, **_node(patience), **settings)
            for number in range(_PRIMARIES * (1 + replicas))
        ]
        self.primaries, self.replicas = self.servers[:_PRIMARIES], self.servers[_PRIMARIES:]
        edges = [_SLOTS * number // _PRIMARIES for number in range(_PRIMARIES + 1)]
        self.bounds = [(first, after - 1) for first, after in itertools.pairwise(edges)]

    @property
    def url(self) -> str:
        """`redis+cluster://…` with the password; of all nodes."""
        return f"redis+cluster://:{self.password}@{','.join(f'127.0.0.1:{server.port}' for server in self.servers)}"

    def start(self) -> None:
        """Return when the cluster serves every slot, and every replica follows."""
        for server in self.servers:
            server.start()
        for primary, bounds in zip(self.primaries, self.bounds, strict=True):
            raw(primary, "CLUSTER", "ADDSLOTSRANGE", *bounds)
        first = self.primaries[0]
        for number, server in enumerate(self.servers):
            raw(server, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if server is not first:
                raw(server, "CLUSTER", "MEET", "127.0.0.1", first.port, first.settings["cluster-port"])
        until(self._met, "the nodes do not find each other")
        for number, replica in enumerate(self.replicas):
            raw(replica, "CLUSTER", "REPLICATE", raw(self.primaries[number % _PRIMARIES], "CLUSTER", "MYID"))
        until(self._followed, "the cluster does not settle")

    def move(self, slot: int, here: RedisServer, there: RedisServer) -> None:
        """Give a slot and its keys to another primary, while it is used."""
        raw(there, "CLUSTER", "SETSLOT", slot, "IMPORTING", raw(here, "CLUSTER", "MYID"))
        raw(here, "CLUSTER", "SETSLOT", slot, "MIGRATING", raw(there, "CLUSTER", "MYID"))
        time.sleep(0.1)
        while keys := raw(here, "CLUSTER", "GETKEYSINSLOT", slot, 10):
            target = ("127.0.0.1", there.port, "", 0, 1000, "AUTH", self.password)
            raw(here, "MIGRATE", *target, "KEYS", *keys)
            time.sleep(0.1)
        for server in (there, here):
            raw(server, "CLUSTER", "SETSLOT", slot, "NODE", raw(there, "CLUSTER", "MYID"))

    def _met(self) -> bool:
        known = [int(raw(server, "CLUSTER INFO")["cluster_known_nodes"]) for server in self.servers]
        return set(known) == {len(self.servers)} and self._sound()

    def _followed(self) -> bool:
        nodes = [raw(server, "CLUSTER NODES").values() for server in self.servers]
        known = {sum("slave" in node["flags"] for node in each) for each in nodes}
        return known == {len(self.replicas)} and self._sound()

    def _sound(self) -> bool:
        states = [raw(server, "CLUSTER INFO")["cluster_state"] for server in self.servers]
        infos = [raw(server, "INFO", "replication") for server in self.servers]
        return set(states) == {"ok"} and all(info.get("master_link_status", "up") == "up" for info in infos)


def _node(patience: int) -> dict[str, str]:
    return {
        "cluster_enabled": "yes",
        "cluster_port": str(free_port()),
        "cluster_node_timeout": str(patience),
    }


def raw(server: RedisServer, *words: str | int) -> Any:
    """One command as redis-py reads its reply, on a connection of its own."""
    with redis.Redis(port=server.port, password=server.password, decode_responses=True) as client:
        return client.execute_command(*words)


def until(true: Callable[[], bool], otherwise: str, *, seconds: float = 60.0) -> None:
    """Return when `true` is; errors of a server that is not there yet are waited out."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(redis.RedisError, KeyError):
            if true():
                return
        time.sleep(0.05)
    raise AssertionError(otherwise)
