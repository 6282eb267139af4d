"""The servers behind a store: which of them has a key, and all of them for what concerns the store as a whole."""

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from broker.stores.contract import Moment
from broker.stores.line import Argument
from broker.stores.shard import Shard


class Servers(Protocol):
    """The servers of a store, and which of them has a key. Every verb may raise `StoreUnavailable`."""

    @property
    def together(self) -> bool:
        """Whether one server has all keys, so that a script may write several of them."""

    def send(self, *command: Argument) -> Awaitable[Any]:
        """The reply of the server that has the command's first key."""

    async def shards(self) -> Sequence[Shard]:
        """Every one that holds keys."""

    def distrust(self, key: str, reason: str, /) -> None:
        """End the connection that an answer for `key` came over."""

    def moment(self) -> Moment:
        """See `Store.moment`."""

    async def close(self) -> None:
        """Close every connection."""


class Alone:
    """One server has all keys."""

    together = True

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self.send = shard.line.send

    async def shards(self) -> Sequence[Shard]:
        return (self._shard,)

    def distrust(self, _key: str, reason: str) -> None:
        self._shard.line.drop(reason)

    def moment(self) -> Moment:
        return (self._shard.line.switches,)

    async def close(self) -> None:
        await self._shard.close()
