"""Who has which of a cluster's 16384 slots, as one of its nodes tells it (CLUSTER SHARDS).

https://redis.io/docs/latest/commands/cluster-shards/
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from broker.stores import server
from broker.stores.connect import Address
from broker.stores.contract import StoreUnavailable
from broker.stores.server import Part

Range = tuple[int, int]
"""First and last slot."""

# Numbers tried for a tag; as many hash into every slot by a margin beyond chance.
_TAGS = 1 << 20


@dataclass(frozen=True, slots=True)
class SlotMap:
    """`parts`: what each primary holds. `owners`: for each slot, where its keys are; None where no server has it.

    `sound`: whether the node that says so is in contact with the majority. `epoch`: of the cluster's configuration.
    """

    parts: Mapping[Address, Part]
    owners: Sequence[Address | None]
    sound: bool = False
    epoch: int = 0

    def same_owners(self, other: "SlotMap") -> bool:
        """Whether no slot changed hands."""
        mine, theirs = ({place: part.slots for place, part in each.parts.items()} for each in (self, other))
        return mine == theirs


def slot_of(key: str) -> int:
    """The slot of a key."""
    return key_slot(key.encode())


def read(info: bytes, reply: Any, *, host: str, tls: bool) -> SlotMap:
    """The map in the replies to CLUSTER INFO and CLUSTER SHARDS (RESP2) of the node at `host`.

    `host` stands in where the node does not know its own name. Not for the event loop: tags are searched.

    Raises:
        StoreUnavailable: it cannot be read, or the node knows of no slots.
    """
    state = server.fields(info)
    try:
        shards = [_shard(_fields(shard), host, tls=tls) for shard in reply]
        held = [shard for shard in shards if shard is not None]
        owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for address, ranges, _ in held:
            for first, last in ranges:
                owners[first : last + 1] = [address] * (last + 1 - first)
        parts = {place: Part(_text(ranges), _tag(owners, place), *replicas) for place, ranges, replicas in held}
        epoch = int(state["cluster_current_epoch"])
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise StoreUnavailable("the cluster's map of slots cannot be read") from error
    if not parts:
        raise StoreUnavailable("the node belongs to no cluster that has slots")
    return SlotMap(parts, owners, sound=state.get("cluster_state") == "ok", epoch=epoch)


def _text(ranges: Sequence[Range]) -> str:
    return ",".join(f"{first}-{last}" for first, last in ranges)


def _tag(owners: Sequence[Address | None], address: Address) -> str:
    for number in range(_TAGS):
        if owners[slot_of(str(number))] == address:
            return str(number)
    raise ValueError("two servers have the same slots")


def _shard(
    shard: Mapping[str, Any], host: str, *, tls: bool
) -> tuple[Address, Sequence[Range], tuple[int, int]] | None:
    """Where the primary is, its slots, and how many of its replicas are up and are not."""
    bounds = [int(bound) for bound in shard["slots"]]
    ranges = sorted(zip(bounds[::2], bounds[1::2], strict=True))
    nodes = [_fields(node) for node in shard["nodes"]]
    primaries = sorted((node for node in nodes if node["role"] == b"master"), key=_failed)
    if not ranges or not primaries:
        return None
    primary, replicas = primaries[0], [node for node in nodes if node["role"] != b"master"]
    up = sum(not _failed(node) for node in replicas)
    name = (primary.get("endpoint") or primary.get("ip") or b"").decode()
    address = (name if name not in ("", "?") else host, int(primary["tls-port" if tls else "port"]))
    return address, ranges, (up, len(replicas) - up)


def _failed(node: Mapping[str, Any]) -> bool:
    return bool(node["health"].startswith(b"fail"))


def _fields(reply: Sequence[Any]) -> dict[str, Any]:
    return {name.decode(): value for name, value in zip(reply[::2], reply[1::2], strict=True)}
