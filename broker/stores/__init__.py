"""Where state is kept: bytes under keys with an expiry.

`BACKENDS` maps a URL's scheme to the factory that opens it; a new backend is one module and one row.
"""

from collections.abc import Callable
from pathlib import Path

from broker.clock import Now
from broker.stores import connect
from broker.stores.cluster import Cluster
from broker.stores.contract import Store, StoreMisconfigured
from broker.stores.embedded import socket_path
from broker.stores.redis import RedisStore
from broker.stores.sentinel import Sentinels
from broker.stores.servers import Alone
from broker.stores.shard import Shard

Factory = Callable[[str, Path | None, Now, Callable[[int], bytes]], Store]


def _redis(url: str, _state: Path | None, now: Now, random: Callable[[int], bytes]) -> Store:
    shard = Shard(connect.opener(connect.one(url)), now=now, random=random)
    return RedisStore(Alone(shard), now=now)


def _sentinel(url: str, _state: Path | None, now: Now, random: Callable[[int], bytes]) -> Store:
    said = connect.several(url, port=26379)
    if not said.name:
        raise StoreMisconfigured("the store's URL names no service behind the Sentinels, as in …/mymaster")
    return RedisStore(Sentinels(said, now=now, random=random), now=now)


def _cluster(url: str, _state: Path | None, now: Now, random: Callable[[int], bytes]) -> Store:
    said = connect.several(url, port=6379)
    if said.name or said.servers.options.get("db"):
        raise StoreMisconfigured(
            "redis+cluster:// takes only hosts and options: a cluster has no name and one database"
        )
    return RedisStore(Cluster(said, now=now, random=random), now=now)


def _embedded(url: str, state: Path | None, now: Now, random: Callable[[int], bytes]) -> Store:
    """The server that an `EmbeddedServer` runs for this state directory."""
    if url != "embedded://":
        raise StoreMisconfigured("embedded:// takes nothing more; its place is the state directory")
    if state is None:
        raise StoreMisconfigured("embedded:// needs a state directory")
    return _redis(connect.unix_url(socket_path(state)), None, now, random)


BACKENDS: dict[str, Factory] = {
    "redis": _redis,
    "rediss": _redis,
    "unix": _redis,
    "redis+sentinel": _sentinel,
    "rediss+sentinel": _sentinel,
    "redis+cluster": _cluster,
    "rediss+cluster": _cluster,
    "embedded": _embedded,
}


def open_store(url: str, *, now: Now, random: Callable[[int], bytes], state: Path | None = None) -> Store:
    """The store at `url`. Nothing is connected yet: the first verb does, so a gateway may start before its store.

    `random`: cryptographically strong bytes. `state`: the state directory, for `embedded://` alone.

    Raises:
        StoreMisconfigured: no backend can read the URL; the message does not repeat it, for it may hold a password.
    """
    scheme, mark, _ = url.partition("://")
    if not mark or scheme not in BACKENDS:
        raise StoreMisconfigured(
            f"the store's URL must start with one of {', '.join(f'{name}://' for name in BACKENDS)}"
        )
    return BACKENDS[scheme](url, state, now, random)
