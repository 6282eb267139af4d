"""Signing keys as administrators see them and rotate them; master keys beside them.

They belong to the management account, or to the only account where one is configured.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from broker.directory.model import Snapshot
from broker.errors import AccessDenied
from broker.flows.administer import REVOKE
from broker.flows.authorize import authorize
from broker.flows.caller import Caller, Wire
from broker.flows.services import Services
from broker.sessions.key_use import MasterKey
from broker.sessions.keyring import REFRESH_EVERY
from broker.sessions.signing_key import SigningKey

_LATE = timedelta(seconds=2)
"""By which another process may read the signing keys late."""


async def listed(
    services: Services, snapshot: Snapshot, caller: Caller
) -> tuple[Sequence[SigningKey], Sequence[MasterKey]]:
    """The published signing keys, as the store has them now, and the master keys.

    Raises `AccessDenied`, `StoreUnavailable`.
    """
    _require_owner(snapshot, caller)
    await services.keyring.refresh()
    return services.keyring.published(), await services.key_use.master_keys()


async def replace(services: Services, snapshot: Snapshot, caller: Caller, wire: Wire) -> int:
    """The emergency: no key stays, no session lives on, in any account; how many were ended.

    With the keys it is recorded from when sessions are good again, which ends those that no account of the
    configuration leads to as well: every process knows it within `REFRESH_EVERY`. Whatever can be found is ended twice:
    now, and once more when no process signs with the keys of before. Takes some seconds.

    Raises `AccessDenied`, `StoreUnavailable` (some may live on; try again).
    """
    _require_owner(snapshot, caller)
    authorize(services, snapshot, caller, wire, REVOKE, "*")
    await services.keyring.replace(until_known=REFRESH_EVERY + _LATE)
    ended = await services.sessions.end_all(snapshot.accounts)
    await asyncio.sleep((REFRESH_EVERY + _LATE).total_seconds())
    return ended + await services.sessions.end_all(snapshot.accounts)


async def rotate(services: Services, snapshot: Snapshot, caller: Caller) -> Sequence[SigningKey]:
    """New keys, that sign as soon as every process knows them; then all that are published.

    Raises `AccessDenied`, `StoreUnavailable`, `KeysUnavailable`.
    """
    _require_owner(snapshot, caller)
    await services.keyring.rotate()
    return services.keyring.published()


def _require_owner(snapshot: Snapshot, caller: Caller) -> None:
    owner = snapshot.settings.organization.management_account
    if owner is None and len(snapshot.accounts) == 1:
        owner = next(iter(snapshot.accounts))
    if caller.principal.account != owner:
        raise AccessDenied(
            "Signing keys belong to the management account (organization.management_account), "
            "or to the only account where one is configured."
        )
