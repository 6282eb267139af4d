"""The identity providers of a process: made from the configuration when first asked, kept while it stays the same."""

import asyncio
import logging

import aiohttp

from broker.clock import Now
from broker.directory.model import OidcProvider
from providers.contract import IdToken, Once, Verifier
from providers.errors import ProviderUnavailable
from providers.oidc import OidcConfig, peek_issuer
from providers.oidc import OidcProvider as OidcVerifier

log = logging.getLogger(__name__)


class Providers:
    """A `Federation`. One instance a process; `session` makes its outgoing requests."""

    def __init__(self, session: aiohttp.ClientSession, once: Once, now: Now) -> None:
        self._session = session
        self._once = once
        self._now = now
        self._oidc: dict[str, tuple[OidcProvider, OidcVerifier]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def issuer_of(self, raw: str) -> str:
        """See `Federation`."""
        return peek_issuer(raw)

    def oidc(self, configured: OidcProvider) -> Verifier[IdToken]:
        """See `Federation`. Raises `ProviderUnavailable` where the configured files are unusable by now."""
        kept = self._oidc.get(configured.arn)
        if kept is not None:
            if kept[0] is configured or kept[0] == configured:
                return kept[1]
            self._close_later(kept[1])
        try:
            verifier = self._make(configured)
        except (ValueError, OSError) as error:
            log.error("%s cannot be used: %s", configured.arn, error)
            raise ProviderUnavailable(
                "The identity provider is not usable as it is configured.", reason="configuration", detail=str(error)
            ) from error
        self._oidc[configured.arn] = (configured, verifier)
        return verifier

    async def close(self) -> None:
        """Stop every provider's background work and the outgoing connections."""
        for _, verifier in self._oidc.values():
            await verifier.close()
        await self._session.close()

    def _make(self, configured: OidcProvider) -> OidcVerifier:
        config = OidcConfig(
            issuer=configured.url,
            audiences=frozenset(configured.client_ids),
            jwks=configured.jwks_file.content if configured.jwks_file is not None else None,
            ca_file=configured.ca_file.path if configured.ca_file is not None else None,
            allow_http=configured.allow_http,
            session_tags=configured.session_tags,
            max_token_age=configured.max_token_age,
            single_use=configured.single_use,
        )
        return OidcVerifier(config, session=self._session, once=self._once, now=self._now)

    def _close_later(self, verifier: OidcVerifier) -> None:
        task = asyncio.get_running_loop().create_task(verifier.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
