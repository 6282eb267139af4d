"""The identity providers of a process: made from the configuration when first asked, kept while it stays the same."""

import logging

import aiohttp

from broker.clock import Now
from broker.directory.model import OidcProvider
from providers.contract import IdToken, Once, Verifier
from providers.errors import ProviderUnavailable
from providers.jwks import KeySets
from providers.oidc import OidcConfig, peek_issuer
from providers.oidc import OidcProvider as OidcVerifier

log = logging.getLogger(__name__)


class Providers:
    """A `Federation`. One instance a process; `session` makes its outgoing requests."""

    def __init__(self, session: aiohttp.ClientSession, once: Once, now: Now) -> None:
        self._session = session
        self._key_sets = KeySets(session)
        self._once = once
        self._now = now
        self._oidc: dict[str, tuple[OidcProvider, OidcVerifier]] = {}

    def issuer_of(self, raw: str) -> str:
        """See `Federation`."""
        return peek_issuer(raw)

    def oidc(self, configured: OidcProvider) -> Verifier[IdToken]:
        """See `Federation`. Raises `ProviderUnavailable` where the configured files are unusable by now."""
        kept = self._oidc.get(configured.arn)
        if kept is not None and (kept[0] is configured or kept[0] == configured):
            return kept[1]
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
        """Stop fetching keys, and close the outgoing connections."""
        await self._key_sets.close()
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
        return OidcVerifier(config, once=self._once, now=self._now, key_sets=self._key_sets)
