"""How often one source may begin what costs the gateway work and memory, before anybody has proved who they are.

Counted in the store for all gateways together, by the minute. Behind one address there may be a whole company, so the
limit is far above what its people do; it bounds what the store can be filled with.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import timedelta

from broker.errors import Throttling
from broker.flows.guessing import Key, source_of
from broker.stores.contract import Store


@dataclass(frozen=True, slots=True)
class Pace:
    """`key`: under which addresses are hashed. `most`: beginnings of one source `within`."""

    store: Store
    key: Key
    most: int = 300
    within: timedelta = timedelta(minutes=1)

    async def admit(self, address: str) -> None:
        """Count a beginning.

        Raises:
            Throttling: the source had its share; the next minute brings another.
            StoreUnavailable: nothing is known.
        """
        source = f"pace {source_of(address)}".encode("utf-8", "surrogatepass")
        digest = hmac.new(await self.key(), source, hashlib.sha256).hexdigest()
        if await self.store.increment(f"pace:{digest[:40]}", ttl=self.within) > self.most:
            raise Throttling
