"""An OpenID issuer over a real socket: discovery, key set and signed tokens, correct by default, with ways to fail."""

import asyncio
import base64
import gzip
import json
import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.fakes.server import free_port

AUDIENCE = "sts.amazonaws.com"
_HASHES: Mapping[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_CURVES: Mapping[str, tuple[str, ec.EllipticCurve]] = {
    "ES256": ("P-256", ec.SECP256R1()),
    "ES384": ("P-384", ec.SECP384R1()),
    "ES512": ("P-521", ec.SECP521R1()),
}


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _number(value: int) -> str:
    return b64url(value.to_bytes((value.bit_length() + 7) // 8))


@dataclass(frozen=True)
class SigningKey:
    """A key pair with its key id and algorithm."""

    kid: str
    algorithm: str
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, kid: str, algorithm: str = "RS256", bits: int = 2048) -> Self:
        if algorithm in _CURVES:
            return cls(kid, algorithm, ec.generate_private_key(_CURVES[algorithm][1]))
        return cls(kid, algorithm, rsa.generate_private_key(public_exponent=65537, key_size=bits))

    def jwk(self, **bend: Any) -> dict[str, Any]:
        """The public key as a JWK; members in `bend` replace its own, None removes one."""
        public = self.private.public_key().public_numbers()
        if isinstance(public, rsa.RSAPublicNumbers):
            numbers = {"kty": "RSA", "n": _number(public.n), "e": _number(public.e)}
        else:
            size = (public.curve.key_size + 7) // 8
            numbers = {
                "kty": "EC",
                "crv": next(name for name, curve in _CURVES.values() if curve.name == public.curve.name),
                "x": b64url(public.x.to_bytes(size)),
                "y": b64url(public.y.to_bytes(size)),
            }
        whole = {"kid": self.kid, "use": "sig", "alg": self.algorithm, **numbers, **bend}
        return {name: value for name, value in whole.items() if value is not None}

    def sign(self, message: bytes, algorithm: str | None = None) -> bytes:
        digest = _HASHES[(algorithm or self.algorithm)[2:]]
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(message, padding.PKCS1v15(), digest)
        r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(digest)))
        size = (self.private.curve.key_size + 7) // 8
        return r.to_bytes(size) + s.to_bytes(size)


@cache
def _first_key() -> SigningKey:
    return SigningKey.make("key-1")


def compact(header: Mapping[str, Any] | bytes, claims: Mapping[str, Any] | bytes, key: SigningKey) -> str:
    """A compact JWS over exactly these; bytes are taken as they are."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    signing_input = ".".join(b64url(part) for part in parts)
    return f"{signing_input}.{b64url(key.sign(signing_input.encode()))}"


class FakeIssuer:
    """`async with FakeIssuer() as issuer:` listens on a free loopback port; `issuer.url` is its issuer identifier.

    `mode` makes both documents fail from the next request on: error500, hang, drip, huge, redirect, gzip_bomb,
    garbage, wrong_issuer, no_jwks_uri, foreign_jwks_uri, no_keys, reset. `fetches` counts requests by path.
    """

    def __init__(
        self,
        *,
        path: str = "",
        now: Callable[[], float] = time.time,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.keys = [_first_key()]
        self.mode = "ok"
        self.fetches: Counter[str] = Counter()
        self.path = path
        self.port = port or free_port()
        self._now = now
        self._tls = tls
        self._released = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}{self.path}"

    @property
    def key(self) -> SigningKey:
        """What new tokens are signed with."""
        return self.keys[-1]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; again on the same port after `stop`."""
        app = web.Application()
        app.router.add_get(f"{self.path}/.well-known/openid-configuration", self._discovery)
        app.router.add_get(f"{self.path}/jwks", self._jwks)
        self._released = asyncio.Event()
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Refuse connections."""
        self._released.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def rotate(self, algorithm: str = "RS256", *, withdraw: bool = False) -> SigningKey:
        """A new key signs from now on; `withdraw` takes all earlier ones out of the key set."""
        if withdraw:
            self.keys.clear()
        self.keys.append(SigningKey.make(f"key-{time.monotonic_ns()}", algorithm))
        return self.key

    def claims(self, **bend: Any) -> dict[str, Any]:
        """A sound set of claims; those in `bend` replace or add, None removes."""
        now = int(self._now())
        sound = {
            "iss": self.url,
            "sub": "repo:acme/app:ref:refs/heads/main",
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + 300,
        }
        return {name: value for name, value in {**sound, **bend}.items() if value is not None}

    def token(self, *, key: SigningKey | None = None, header: Mapping[str, Any] | None = None, **bend: Any) -> str:
        """A signed ID token; `header` members replace or add, None removes."""
        key = key if key is not None else self.key
        whole = {"typ": "JWT", "alg": key.algorithm, "kid": key.kid, **(header or {})}
        return compact({name: v for name, v in whole.items() if v is not None}, self.claims(**bend), key)

    def key_set(self) -> bytes:
        """The JWK set document."""
        return json.dumps({"keys": [key.jwk() for key in self.keys]}).encode()

    async def _discovery(self, request: web.Request) -> web.StreamResponse:
        document: dict[str, Any] = {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"}
        if self.mode == "wrong_issuer":
            document["issuer"] = self.url + "/"
        elif self.mode == "no_jwks_uri":
            del document["jwks_uri"]
        elif self.mode == "foreign_jwks_uri":
            document["jwks_uri"] = f"http://localhost:{self.port}{self.path}/jwks"
        return await self._answer(request, "discovery", json.dumps(document).encode())

    async def _jwks(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "jwks", b'{"keys": []}' if self.mode == "no_keys" else self.key_set())

    async def _answer(self, request: web.Request, what: str, document: bytes) -> web.StreamResponse:
        self.fetches[what] += 1
        match self.mode:
            case "error500":
                return web.Response(status=500, body=document)
            case "hang":
                await self._released.wait()
            case "drip":
                return await self._drip(request, document)
            case "huge":
                return web.Response(body=document + b" " * 2**20, content_type="application/json")
            case "redirect":
                return web.Response(status=302, headers={"Location": f"{self.url}/elsewhere"}, body=document)
            case "gzip_bomb":
                bomb = gzip.compress(document + b" " * 50_000_000)
                return web.Response(body=bomb, headers={"Content-Encoding": "gzip"}, content_type="application/json")
            case "garbage":
                return web.Response(body=b"<html>", content_type="application/json")
            case "reset" if request.transport is not None:
                request.transport.abort()
        return web.Response(body=document, content_type="application/json")

    async def _drip(self, request: web.Request, document: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for byte in document:
            await response.write(bytes([byte]))
            await asyncio.sleep(0.05)
        return response
