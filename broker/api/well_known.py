"""The published keys and where to find them (RFC 7517, OpenID Connect Discovery 1.0 §4)."""

from aiohttp import web

from broker.flows.outbound import NAMESPACE
from broker.sessions.keyring import Keyring

_CACHED = {"Cache-Control": "public, max-age=300"}


class WellKnown:
    """`/.well-known/…`."""

    def __init__(self, public_url: str, keyring: Keyring) -> None:
        self._public_url = public_url
        self._keyring = keyring

    async def jwks(self, _request: web.Request) -> web.Response:
        """Every key that a living token may be signed with."""
        if not self._keyring.published():
            return web.json_response({"error": self._keyring.problem}, status=503)
        return web.json_response(self._keyring.jwks(), headers=_CACHED)

    async def openid_configuration(self, _request: web.Request) -> web.Response:
        """What a relying party needs to verify our tokens offline; AWS, Google Cloud and Azure read it."""
        return web.json_response(
            {
                "issuer": self._public_url,
                "jwks_uri": f"{self._public_url}/.well-known/jwks.json",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": self._keyring.algorithms,
                "scopes_supported": ["openid"],
                "claims_supported": ["iss", "aud", "sub", "exp", "iat", "jti", NAMESPACE],
            },
            headers=_CACHED,
        )
