"""First come, first served, for all gateways of a store: used codes, assertions and one-time tokens.

A claim holds only as long as the store remembers it. What could have been used before the store's present epoch
began is therefore refused: an earlier claim of it may have been lost.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.clock import Now
from broker.stores.contract import Store

_PURPOSE = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class StoreOnce:
    """Remembers in `store` what was used. Fits the providers' `Once`.

    `tolerance`: how far ahead of our clock an issuer's may be, so how long before its own date a proof may have been
    used already; at least the largest leeway that a provider grants.
    """

    store: Store
    now: Now
    tolerance: timedelta = timedelta(seconds=60)

    async def claim(self, purpose: str, value: str, *, issued_at: datetime, until: datetime) -> bool:
        """True for the first claimer of `value`; False for every other, and where an earlier claim may be forgotten.

        `purpose`: a name of the caller's code, which separates its values from others'. `value`: any text; only its
        hash is kept. `until`: when `value` stops being acceptable by itself.

        Raises:
            StoreUnavailable: nothing is known; the proof must not be accepted.
        """
        if not _PURPOSE.fullmatch(purpose):
            raise ValueError("a purpose is a short word in lower case")
        left = until - self.now()
        if left <= timedelta(0):
            return False
        digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
        first = await self.store.add(f"once:{purpose}:{digest}", b"", ttl=left + self.tolerance)
        # Read after the claim: an epoch that is still the same now covers it.
        epoch = await self.store.epoch()
        if not first or issued_at < epoch.since + self.tolerance:
            return False
        if epoch.replicated:
            await self.store.durable(fsync=False)
        return True
