"""Logins in progress: what the gateway must remember between two steps of one person, for minutes and in the store.

A ticket is known by a random id that only its holder has. The store keeps a hash of it, and the content sealed: neither
a copy of the store nor a write to it lets anybody go on with a login. Where a ticket was lost, the login begins anew.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import msgspec

from broker.ids import Random
from broker.sealing import MasterKeys, SealBroken
from broker.stores.contract import Store

_T = TypeVar("_T")

_BYTES = 32
_ID = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Tickets:
    """Each verb raises `StoreUnavailable`. `purpose`: a short word of the caller's code."""

    store: Store
    masters: MasterKeys
    random: Random

    def new_id(self) -> str:
        """43 characters that nobody can guess, of those that need no escape in a URL."""
        return base64.urlsafe_b64encode(self.random(_BYTES)).decode("ascii").rstrip("=")

    async def issue(self, purpose: str, content: object, *, ttl: timedelta, ticket_id: str | None = None) -> str:
        """Remember `content` for `ttl`; the ticket's id, which is a new one unless given."""
        issued = ticket_id if ticket_id is not None else self.new_id()
        key = _key(purpose, issued)
        sealed = self.masters.seal("ticket", msgspec.msgpack.encode(content), bound_to=key.encode())
        await self.store.put(key, sealed, ttl=ttl)
        return issued

    async def read(self, purpose: str, ticket_id: str, kind: type[_T]) -> _T | None:
        """What a ticket holds, None where there is none."""
        if not _ID.fullmatch(ticket_id):
            return None
        key = _key(purpose, ticket_id)
        return self._open(key, await self.store.get(key), kind)

    async def take(self, purpose: str, ticket_id: str, kind: type[_T]) -> _T | None:
        """As `read`, and the ticket is gone: of all who take it one gets it."""
        if not _ID.fullmatch(ticket_id):
            return None
        key = _key(purpose, ticket_id)
        return self._open(key, await self.store.take(key), kind)

    def _open(self, key: str, sealed: bytes | None, kind: type[_T]) -> _T | None:
        if sealed is None:
            return None
        try:
            return msgspec.msgpack.decode(self.masters.open("ticket", sealed, bound_to=key.encode()), type=kind)
        except (SealBroken, msgspec.MsgspecError):
            return None  # of another version, or under a master key that is gone


def _key(purpose: str, ticket_id: str) -> str:
    return f"ticket:{purpose}:{hashlib.sha256(ticket_id.encode('ascii')).hexdigest()}"
