"""Limits on guessing passwords and codes, for all gateways of a store together.

An attempt is counted before its secret is tried; a success takes its own counts back. Who is counted where:
 - an attempt at a user from an address that is new for this user: with all strangers' attempts at this user, with the
   address's attempts, and with everyone's;
 - from an address where this user signed in before: with the attempts at this user from there and nowhere else.
So strangers cannot shut a user out, and whoever shares an address with the user has no more tries than others have.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from broker.clock import Now
from broker.flows.meters import FIRST_DELAY_SECONDS, Count, Delayed, Meter, Meters, share_of
from broker.settings.model import GuessingSettings
from broker.stores.contract import Store
from providers.errors import ProofRejected
from providers.refusal import refused
from providers.spelling import comparable

Sleep = Callable[[float], Awaitable[None]]
Key = Callable[[], Awaitable[bytes]]

# For how long after a delay at a user the next one is longer, instead of beginning with a second again.
_USER_MEMORY = timedelta(days=1)
_GOOD_ADDRESS_KEPT = timedelta(days=90)
# Everyone's attempts are spread over several records, for one that all gateways write would be a bottleneck.
_SHARDS, _SHARD_AT_LEAST = 32, 50
_SLOW_SECONDS = 2.0
_LOOK_SECONDS, _LOOKS = 0.05, 20
_MOST_WAITING = 100  # in a process; what comes on top is refused
_BORNE_AT_FIRST = 0.2  # of a user's limit, right after the store may have forgotten
_V6_PREFIX = 64  # one customer's network
_EVEN_SECONDS = 0.25


class Guessing:
    """One a process."""

    def __init__(
        self, store: Store, settings: GuessingSettings, *, key: Key, now: Now, sleep: Sleep = asyncio.sleep
    ) -> None:
        """`key`: under which names and addresses are hashed, the same for all gateways and for nothing else.

        Where it raises, nothing is known and no secret is tried, as where the store does not answer.
        """
        self._store = store
        self._settings = settings
        self._key = key
        self._now = now
        self._sleep = sleep
        self._meters = Meters(store, now)
        self._waiting = 0

    async def attempt(self, provider: str, name: str, address: str) -> "Attempt":
        """Count an attempt at `name` with `provider` from `address`, before anybody is asked about the secret.

        While everyone together is over the limit, strangers wait two seconds here.
        Raises:
            ProofRejected: delayed; the same sentence as for a wrong password. The secret must not be tried.
            StoreUnavailable: nothing is known; the secret must not be tried.
        """
        network = source_of(address)
        attempt = Attempt(self, provider, network)
        user = f"name\0{comparable(name)}"
        if not await self.is_good(provider, user, network):
            attempt.counts.append(await self._count_address(network))
            await attempt.count_user(user)
            attempt.counts.append(await self._count_everyone())
        else:
            await attempt.count_user(user)
        return attempt

    async def count_user(self, provider: str, user: str, network: str) -> tuple[Count, bool]:
        """Count at one user, with the strangers' attempts or the address's own; whether the address is good."""
        good = await self.is_good(provider, user, network)
        limit = self._settings.user
        key = await self._hashed("user", provider, user, network if good else "")
        meter = Meter(key, limit.failures, limit.within, _USER_MEMORY)
        return await self._counted(meter, borne=float(limit.failures) if good else await self._borne()), good

    async def is_good(self, provider: str, user: str, network: str) -> bool:
        """Whether this user signed in from there before."""
        return await self._store.get(await self._hashed("good", provider, user, network)) is not None

    async def remember(self, provider: str, user: str, network: str) -> None:
        """This user signed in from there."""
        await self._store.put(await self._hashed("good", provider, user, network), b"", ttl=_GOOD_ADDRESS_KEPT)

    async def settle(self, count: Count, *, good: bool) -> None:
        """The attempt was no failure. At a good address that clears what went before it."""
        await (self._meters.clear(count) if good else self._meters.take_back(count))

    async def _count_address(self, network: str) -> Count:
        limit = self._settings.address
        meter = Meter(await self._hashed("address", network), limit.failures, limit.within, memory=limit.within)
        return await self._counted(meter, borne=limit.failures)

    async def _count_everyone(self) -> Count:
        limit = self._settings.everyone
        shards = max(1, min(_SHARDS, limit.failures // _SHARD_AT_LEAST))
        whole = Meter("guessing:everyone", limit.failures, limit.within, memory=limit.within, delays=False)
        meter = share_of(whole, shards, time.monotonic_ns() % shards)
        count = await self._counted(meter, borne=meter.failures)
        if count.level > meter.failures:
            await self._slow_down()
        return count

    async def _counted(self, meter: Meter, *, borne: float) -> Count:
        try:
            count = await self._meters.count(meter, borne=borne)
        except Delayed as delay:
            if delay.seconds > FIRST_DELAY_SECONDS + 0.01:
                raise
            count = await self._counted_when_others_end(meter, borne=borne, delay=delay)
        # An attempt that a fail-over makes forgotten would be one for nothing.
        if (await self._store.epoch()).replicated:
            await self._store.durable(fsync=False)
        return count

    async def _counted_when_others_end(self, meter: Meter, *, borne: float, delay: Delayed) -> Count:
        """Wait a little: many sign-ins at once look like failures until they end, and begin the first, short delay."""
        if self._waiting >= _MOST_WAITING:
            raise delay
        self._waiting += 1
        try:
            for _ in range(_LOOKS):
                await self._sleep(_LOOK_SECONDS)
                with suppress(Delayed):
                    return await self._meters.count(meter, borne=borne)
        finally:
            self._waiting -= 1
        raise delay

    async def _borne(self) -> float:
        """How many failures of strangers a user bears: few at first, after the store may have forgotten some."""
        limit = self._settings.user
        age = self._now() - (await self._store.epoch()).since
        return limit.failures * min(max(age / limit.within, _BORNE_AT_FIRST), 1.0)

    async def _slow_down(self) -> None:
        if self._waiting >= _MOST_WAITING:
            raise refused("delayed", "too many attempts by everyone together")
        self._waiting += 1
        try:
            await self._sleep(_SLOW_SECONDS)
        finally:
            self._waiting -= 1

    async def _hashed(self, kind: str, *parts: str) -> str:
        text = "".join(f"{len(part)}:{part}" for part in parts)
        digest = hmac.new(await self._key(), text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
        return f"guessing:{kind}:{digest[:40]}"


@dataclass(slots=True)
class Attempt:
    """A counted attempt; it stays a failure until `succeeded` or `withdrawn`."""

    _guessing: Guessing
    _provider: str
    _network: str
    counts: list[Count] = field(default_factory=list)
    _users: list[tuple[str, Count, bool]] = field(default_factory=list)

    async def known_as(self, subject: str) -> None:
        """Count it at the account itself too, whatever name was presented; the LDAP provider's gate.

        Raises as `Guessing.attempt`.
        """
        await self.count_user(f"subject\0{subject}")

    async def succeeded(self) -> None:
        """Take the counts back, and remember the address as good for this user. Raises `StoreUnavailable`."""
        await asyncio.gather(
            *(self._guessing.settle(count, good=False) for count in self.counts),
            *(self._guessing.settle(count, good=good) for _, count, good in self._users),
            *(self._guessing.remember(self._provider, user, self._network) for user, _, _ in self._users),
        )

    async def withdrawn(self) -> None:
        """Take the counts back, for nobody judged the secret: the provider did not answer.

        Raises `StoreUnavailable`.
        """
        counts = [*self.counts, *(count for _, count, _ in self._users)]
        await asyncio.gather(*(self._guessing.settle(count, good=False) for count in counts))

    async def count_user(self, user: str) -> None:
        """Count at one user, by name or by subject."""
        count, good = await self._guessing.count_user(self._provider, user, self._network)
        self._users.append((user, count, good))


@asynccontextmanager
async def even_refusals(
    *, sleep: Sleep = asyncio.sleep, monotonic: Callable[[], float] = time.monotonic
) -> AsyncIterator[None]:
    """Refusals leave at whole quarters of a second since the beginning, whichever of the secrets was wrong."""
    began = monotonic()
    try:
        yield
    except ProofRejected:
        taken = monotonic() - began
        await sleep(math.ceil(taken / _EVEN_SECONDS) * _EVEN_SECONDS - taken)
        raise


def source_of(address: str) -> str:
    """What one source holds: an IPv4 address, a /64 of IPv6. Anything else stands for itself."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found.packed, _V6_PREFIX), strict=False))
    return str(found)
