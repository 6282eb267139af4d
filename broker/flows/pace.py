"""How often one source may begin what costs the gateway work and memory, before anybody has proved who they are.

Counted in the store for all gateways together, by the minute. Behind one address there may be a whole company, so the
limits are far above what its people do; they bound what the store can be filled with, and how long others wait for
proofs that are refused.
"""

import contextlib
import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from broker.errors import AccessDenied, ExpiredIdentityToken, InvalidIdentityToken, Throttling
from broker.flows.guessing import Key, source_of
from broker.stores.contract import Store


@dataclass(frozen=True, slots=True)
class Pace:
    """`key`: under which addresses are hashed. `most`: beginnings of one source `within`; `most_refused`: refusals."""

    store: Store
    key: Key
    most: int = 300
    most_refused: int = 100
    within: timedelta = timedelta(minutes=1)

    async def admit(self, address: str) -> None:
        """Count a beginning.

        Raises:
            Throttling: the source had its share; the next minute brings another.
            StoreUnavailable: nothing is known.
        """
        if await self.store.increment(await self._key("pace", address), ttl=self.within) > self.most:
            raise Throttling

    @contextlib.asynccontextmanager
    async def refusable(self, address: str) -> AsyncIterator[None]:
        """Around the verification of a proof that costs much to refuse; a refusal counts.

        Raises:
            Throttling: `most_refused` proofs of the source were refused; it is not heard for as long as they count.
            StoreUnavailable: nothing is known.
        """
        unheard = await self._key("unheard", address)
        if await self.store.get(unheard) is not None:
            raise Throttling(
                "Rate exceeded: too many sign-ins from this address were refused. Wait a minute, then begin again."
            )
        try:
            yield
        except (InvalidIdentityToken, ExpiredIdentityToken, AccessDenied):
            if await self.store.increment(await self._key("refused", address), ttl=self.within) >= self.most_refused:
                await self.store.put(unheard, b"", ttl=self.within)
            raise

    async def _key(self, what: str, address: str) -> str:
        source = f"{what} {source_of(address)}".encode("utf-8", "surrogatepass")
        return f"pace:{hmac.new(await self.key(), source, hashlib.sha256).hexdigest()[:40]}"
