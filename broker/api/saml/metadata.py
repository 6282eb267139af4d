"""`GET /saml/metadata`: the gateway as a service provider (SAML Metadata §2)."""

import logging

from aiohttp import web

from broker.flows.services import Services
from broker.sessions.keyring import KeysUnavailable
from broker.stores.contract import StoreUnavailable
from providers.errors import ProviderUnavailable

log = logging.getLogger(__name__)


class Metadata:
    """Signed, and the same in every gateway of a store."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def document(self, _request: web.Request) -> web.Response:
        """The document; 503 while its key cannot be had."""
        try:
            document = await self._services.saml.metadata(self._services.directory.snapshot.settings)
        except (StoreUnavailable, KeysUnavailable, ProviderUnavailable) as error:
            log.warning("SAML metadata: %s", error)
            return web.Response(status=503, text="The metadata cannot be made just now.", headers={"Retry-After": "1"})
        return web.Response(
            body=document,
            content_type="application/samlmetadata+xml",
            charset="utf-8",
            headers={"Cache-Control": "public, max-age=300", "X-Content-Type-Options": "nosniff"},
        )
