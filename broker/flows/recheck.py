"""People of a directory who have live sessions are looked up again now and then, and lose these when they are gone.

Gone: deleted, moved out of the search, disabled, or out of a group that the trust policy named when the role was
assumed. A directory that does not answer ends nobody's session. One gateway of a store does it for all.
"""

import asyncio
import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from broker import ids
from broker.audit import Trail, cleaned, service_event
from broker.directory.model import LdapProvider
from broker.flows.federate import Person
from broker.flows.services import Services
from broker.ids import Random
from broker.policy import Policy
from broker.sessions.model import Session
from broker.stores.contract import Store, StoreUnavailable
from providers.errors import ProviderUnavailable
from providers.spelling import comparable

_LOOK_EVERY = timedelta(seconds=1)
_GROUPS_KEY = "ldap:groups"

log = logging.getLogger(__name__)


def relied_on(trust_policy: Policy, groups: Sequence[str]) -> tuple[str, ...]:
    """Those of somebody's groups that the policy's conditions name, by wildcards and variables, too."""
    named = [
        _pattern(value)
        for statement in trust_policy.statements
        for condition in statement.conditions
        if condition.folded == _GROUPS_KEY
        for value in condition.values
    ]
    return tuple(group for group in groups if any(each.fullmatch(comparable(group)) for each in named))


def _pattern(value: str) -> re.Pattern[str]:
    if "${" in value:
        return re.compile(".*", re.DOTALL)
    escaped = re.escape(comparable(value)).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(escaped, re.DOTALL)


@dataclass(frozen=True, slots=True)
class Recheck:
    """One a process. `store`: where it is agreed upon who does it."""

    services: Services
    store: Store
    trail: Trail
    random: Random

    async def keep_rechecking(self) -> None:
        """Look again at each provider's interval; runs until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY.total_seconds())
            for account in self.services.directory.snapshot.accounts.values():
                for provider in account.ldap_providers.values():
                    if provider.recheck is not None:
                        await self._if_due(provider, provider.recheck)

    async def _if_due(self, provider: LdapProvider, interval: timedelta) -> None:
        digest = hashlib.sha256(provider.arn.encode()).hexdigest()[:32]
        try:
            if await self.store.add(f"recheck:{digest}", b"", ttl=interval):
                await self.recheck(provider)
        except (StoreUnavailable, ProviderUnavailable) as outage:
            log.warning("the users of %s could not be looked up again: %s", provider.arn, outage)

    async def recheck(self, provider: LdapProvider) -> None:
        """Look everybody up once. Raises `StoreUnavailable`, `ProviderUnavailable`: the rest keep their sessions."""
        sessions: dict[str, list[Session]] = {}
        async for session in self.services.sessions.of_provider(provider.arn):
            if session.federated_subject is not None:
                sessions.setdefault(session.federated_subject, []).append(session)
        verifier = self.services.federation.ldap(provider)
        for subject, theirs in sessions.items():
            person = await verifier.look_up(subject)
            for session in theirs:
                reason = _lost(session, person)
                if reason is not None:
                    await self.services.sessions.revoke([session])
                    await self._record(provider, session, reason)

    async def _record(self, provider: LdapProvider, session: Session, reason: str) -> None:
        log.info("ended the session %s: its user is %s", session.access_key_id, reason)
        event = service_event(
            "EndSession",
            at=self.services.now(),
            event_id=ids.request_id(self.random),
            account=session.account,
            details={
                "accessKeyId": session.access_key_id,
                "arn": session.arn,
                "identityProvider": provider.arn,
                "subject": cleaned(session.federated_subject or ""),
                "reason": reason,
            },
        )
        await self.trail.recorded(event)


def _lost(session: Session, person: Person | None) -> str | None:
    """Why the session ends, None where it goes on."""
    if person is None:
        return "gone"
    present = {comparable(group) for group in person.groups}
    if all(comparable(group) in present for group in session.federated_groups):
        return None
    return "out of the group"
