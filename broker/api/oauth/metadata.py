"""Authorization server metadata (RFC 8414): which OAuth endpoints there are and what they take."""

from aiohttp import web

from broker.api.oauth.exchange import GRANT_TYPE

_CACHED = {"Cache-Control": "public, max-age=300"}


class Metadata:
    """`/.well-known/oauth-authorization-server`."""

    def __init__(self, public_url: str) -> None:
        self._document = {
            "issuer": public_url,
            "token_endpoint": f"{public_url}/oauth2/token",
            "jwks_uri": f"{public_url}/.well-known/jwks.json",
            "grant_types_supported": [GRANT_TYPE],
            "response_types_supported": [],  # there is no authorization endpoint
            "token_endpoint_auth_methods_supported": ["none"],
            "introspection_endpoint": f"{public_url}/oauth2/introspect",
            "revocation_endpoint": f"{public_url}/oauth2/revoke",
            "revocation_endpoint_auth_methods_supported": ["none"],
        }

    async def document(self, _request: web.Request) -> web.Response:
        """The metadata."""
        return web.json_response(self._document, headers=_CACHED)
