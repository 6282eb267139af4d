"""What a Redis or Valkey server says of itself (`INFO`), and what makes it unfit to be the store."""

from collections.abc import Mapping
from dataclasses import dataclass

from broker.stores.contract import StoreMisconfigured, StoreUnavailable

MINIMUM_VERSION = (7, 0)
_FITTING = {
    "cluster": "the URL for it begins with redis+cluster://",
    "sentinel": "the URL for it begins with redis+sentinel:// and names the service that it watches",
    "standalone": "the URL for it begins with redis://",
}
_NO_REPLICATION_ID = "0" * 40


def fields(info: bytes) -> dict[str, str]:
    """The `name:value` lines of an INFO reply."""
    lines = info.decode("utf-8", "replace").splitlines()
    return {name: value for name, mark, value in (line.partition(":") for line in lines) if mark}


@dataclass(frozen=True, slots=True)
class Part:
    """What of the store one primary holds.

    `slots`: those of a cluster, empty where it holds everything; `tag`: a text that hashes into them. `replicas`: how
    many could take over, for the server itself does not count those that it has lost sight of; `absent`: how many are
    known beside them, which are held to be down and could take over when they are back.
    """

    slots: str = ""
    tag: str = ""
    replicas: int = 0
    absent: int = 0

    def key(self, name: str) -> str:
        """Where the store keeps something of its own that belongs to this server."""
        return f"sojourn/{name}:{{{self.tag}}}" if self.tag else f"sojourn/{name}"


@dataclass(frozen=True, slots=True)
class Server:
    """One run of one server: `run_id` changes with every start, `replication_id` with every change of the primary.

    `slots`: as in `Part`; those that change hands may have come without their keys.
    `steadfast`: an acknowledged write cannot have been lost by a restart (every write is synced before its answer)
    nor by a failover (no replica exists that could take over).
    """

    run_id: str
    replication_id: str
    slots: str
    steadfast: bool


def replicated(info: Mapping[str, str]) -> bool:
    """Whether replicas follow the server; `info`: INFO's section replication."""
    return info.get("connected_slaves", "0") != "0"


def syncs_on_request(info: Mapping[str, str]) -> bool:
    """Whether WAITAOF can be asked; `info`: INFO's sections server and persistence."""
    aware = "valkey_version" in info or _version(info.get("redis_version", "")) >= (7, 2)
    return aware and info.get("aof_enabled") == "1"


def _version(text: str) -> tuple[int, ...]:
    parts = text.split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()


def identify(info: Mapping[str, str], settings: Mapping[bytes, bytes], part: Part) -> Server:
    """The server of INFO's sections server and replication, and `CONFIG GET append*` (empty where forbidden).

    Raises:
        StoreUnavailable: it does not name itself.
    """
    try:
        run_id, replication_id = run_of(info), info["master_replid"]
        alone = info["role"] == "master" and not (replicated(info) or part.replicas or part.absent)
        original = info["master_replid2"] == _NO_REPLICATION_ID
    except KeyError as missing:
        raise StoreUnavailable(f"the server's INFO lacks {missing}") from None
    synced = settings.get(b"appendonly") == b"yes" and settings.get(b"appendfsync") == b"always"
    return Server(run_id, replication_id, part.slots, steadfast=alone and original and synced)


def run_of(info: Mapping[str, str]) -> str:
    """Names the server's present run; `info`: INFO's section server. Raises `StoreUnavailable`: it does not tell."""
    try:
        return info["run_id"]
    except KeyError:
        raise StoreUnavailable("the server's INFO lacks its run_id") from None


def check(info: Mapping[str, str], *, cluster: bool = False) -> None:
    """Refuse a server that would break a promise; `info`: INFO's sections server, memory and replication.

    `cluster`: whether it must be a part of one.

    Raises:
        StoreMisconfigured: with what to change.
        StoreUnavailable: it is a replica, which may be promoted any time.
    """
    version = info.get("valkey_version") or info.get("redis_version", "")
    if _version(version) < MINIMUM_VERSION:
        raise StoreMisconfigured(f"the store's version {version or '(unknown)'} is too old: Redis 7.0 or Valkey needed")
    mode = info.get("redis_mode") or info.get("server_mode", "standalone")
    if mode != ("cluster" if cluster else "standalone"):
        raise StoreMisconfigured(
            f"the store's server runs in mode {mode}: {_FITTING.get(mode, _FITTING['standalone'])}"
        )
    limit, policy = info.get("maxmemory"), info.get("maxmemory_policy")
    if limit is None or policy is None:
        raise StoreMisconfigured("the store does not tell its maxmemory-policy: allow the gateway's user INFO")
    if policy != "noeviction" and limit != "0":
        raise StoreMisconfigured(
            f"the store's maxmemory-policy is {policy}, so it may forget used codes and live sessions: "
            "set maxmemory-policy noeviction"
        )
    if info.get("role") != "master":
        raise StoreUnavailable("the server is a replica; writes need its primary")
