"""The SAML identity providers of a process, and the gateway as the service provider that they know."""

import asyncio
import logging
from collections.abc import Callable

import aiohttp

from broker.clock import Now
from broker.directory.model import SamlProvider, Snapshot
from broker.sessions.keyring import KeysUnavailable
from broker.sessions.shared_secrets import SharedSecret
from broker.settings import Settings
from broker.stores.contract import StoreUnavailable
from providers.contract import Once
from providers.errors import ProviderUnavailable
from providers.saml.provider import SamlConfig
from providers.saml.provider import SamlProvider as SamlVerifier
from providers.saml.service_provider import ServiceProvider
from providers.saml.workers import Workers

_LOOK_EVERY = 2.0
_CHECK_EVERY = 300.0
_AT_ONCE = 16  # so that an address which does not answer keeps nobody else's metadata from being read

log = logging.getLogger(__name__)


class SamlProviders:
    """A `SamlFederation`. One instance a process; `session` makes its outgoing requests."""

    def __init__(self, session: aiohttp.ClientSession, once: Once, service_key: SharedSecret, now: Now) -> None:
        self._session = session
        self._once = once
        self._service_key = service_key
        self._now = now
        self._workers = Workers()
        self._ourselves: tuple[object, ServiceProvider] | None = None
        self._kept: dict[str, tuple[SamlProvider, ServiceProvider, SamlVerifier]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def sign_in(self, configured: SamlProvider, settings: Settings) -> SamlVerifier:
        """See `SamlFederation`. Raises `ProviderUnavailable`, `StoreUnavailable` and `KeysUnavailable`."""
        service_provider = await self._service_provider(settings)
        kept = self._kept.get(configured.arn)
        if kept is not None and kept[1] is service_provider and (kept[0] is configured or kept[0] == configured):
            return kept[2]
        certificates = configured.metadata_certificate_file
        try:
            verifier = SamlVerifier(
                SamlConfig(
                    account=configured.account,
                    name=configured.name,
                    metadata=configured.metadata,
                    metadata_url=configured.metadata_url,
                    metadata_certificates=certificates.content if certificates is not None else None,
                    allow_idp_initiated=configured.allow_idp_initiated,
                ),
                service_provider,
                session=self._session,
                workers=self._workers,
                once=self._once,
                now=self._now,
            )
        except ValueError as error:
            raise _unusable(configured.arn, error) from error
        self._kept[configured.arn] = (configured, service_provider, verifier)
        if kept is not None:
            closing = asyncio.create_task(kept[2].close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        return verifier

    async def issuer_of(self, raw: str) -> str | None:
        """See `SamlFederation`. Raises `ProofRejected` and `ProviderUnavailable`."""
        return (await self._workers.peek(raw)).unverified_issuer

    async def metadata(self, settings: Settings) -> bytes:
        """See `SamlFederation`. Raises `StoreUnavailable` and `KeysUnavailable`."""
        service_provider = await self._service_provider(settings)
        return await asyncio.to_thread(lambda: service_provider.metadata)

    async def watch(self, snapshot: Callable[[], Snapshot]) -> None:
        """Tell the operator which identity providers cannot be used, at every change and now and then; for ever."""
        loop = asyncio.get_running_loop()
        faults: dict[str, str | None] = {}
        seen: Snapshot | None = None
        due = 0.0
        turn = asyncio.Semaphore(_AT_ONCE)
        while True:
            current = snapshot()
            if current is not seen or loop.time() >= due:
                configured = [each for one in current.accounts.values() for each in one.saml_providers.values()]
                found = await asyncio.gather(*(self._fault(each, current.settings, turn) for each in configured))
                for each, fault in zip(configured, found, strict=True):
                    if fault is not None and fault != faults.get(each.arn):
                        log.error("%s cannot be used: %s", each.arn, fault)
                    faults[each.arn] = fault
                seen, due = current, loop.time() + _CHECK_EVERY
            await asyncio.sleep(_LOOK_EVERY)

    async def close(self) -> None:
        """Stop reading metadata, and end the worker."""
        for _, _, verifier in self._kept.values():
            await verifier.close()
        await asyncio.gather(*self._closing)
        await self._workers.close()

    async def _fault(self, configured: SamlProvider, settings: Settings, turn: asyncio.Semaphore) -> str | None:
        try:
            async with turn:
                verifier = await self.sign_in(configured, settings)
                await verifier.issuer()
        except ProviderUnavailable as error:
            return error.detail or error.sentence
        except (StoreUnavailable, KeysUnavailable):
            return None  # readiness tells it; the provider is not at fault
        return verifier.fault

    async def _service_provider(self, settings: Settings) -> ServiceProvider:
        saml, url = settings.saml, settings.public_url
        signing_key = saml.signing_key.content if saml.signing_key is not None else await self._service_key.value()
        made_from = (saml, url, signing_key)
        if self._ourselves is None or self._ourselves[0] != made_from:
            try:
                made = ServiceProvider(
                    entity_id=settings.saml_entity_id,
                    acs_url=f"{url}/saml/acs",
                    signing_key=signing_key,
                    encryption_keys=tuple(key.content for key in saml.encryption_keys),
                    audiences=frozenset(saml.audiences),
                    recipients=frozenset(saml.recipients),
                )
            except ValueError as error:
                raise _unusable("the saml settings", error) from error
            self._ourselves = (made_from, made)
        return self._ourselves[1]


def _unusable(what: str, error: ValueError) -> ProviderUnavailable:
    return ProviderUnavailable(
        "The identity provider is not usable as it is configured.",
        reason="configuration",
        detail=f"{what}: {error}",
    )
