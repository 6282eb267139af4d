"""The certified OpenID provider of npm's `oidc-provider`, unmodified, run by Node on a loopback port."""

import asyncio
import base64
import hashlib
import json
import re
import secrets
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urljoin, urlsplit

import aiohttp
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.fakes.issuer import SigningKey, b64url
from tests.fakes.npm import commands, install
from tests.fakes.server import free_port
from tests.waiting import WITHIN

_HERE = Path(__file__).parent
_CALLBACK = "http://127.0.0.1/callback"


class OidcProviderServer:
    """Started and ended by `async with`, or by `start` and `stop`; `url` is the issuer."""

    def __init__(self) -> None:
        self.port = free_port()
        self.keys = [SigningKey.make("rsa-1"), SigningKey.make("ec-1", "ES256")]
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Return when it listens; also again after `stop`."""
        node, _ = commands()
        await asyncio.to_thread(install, _HERE)
        self._process = await asyncio.create_subprocess_exec(
            node,
            _HERE / "server.mjs",
            str(self.port),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        await self._sign_with_present_keys()

    async def stop(self) -> None:
        """End it; its port refuses connections."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await asyncio.wait_for(self._process.wait(), WITHIN)
            self._process = None

    async def rotate(self) -> None:
        """New keys sign from now on; the old ones leave the key set."""
        name = secrets.token_hex(4)
        self.keys = [SigningKey.make(f"rsa-{name}"), SigningKey.make(f"ec-{name}", "ES256")]
        await self._sign_with_present_keys()

    async def sign_in(self, login: str, *, algorithm: str = "RS256") -> str:
        """An ID token by the authorization code grant with PKCE, signed in and consented to like at a browser."""
        client, verifier = f"app-{algorithm}", secrets.token_urlsafe(32)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "client_id": client,
            "response_type": "code",
            "scope": "openid email profile",
            "redirect_uri": _CALLBACK,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "nonce": secrets.token_hex(8),
        }
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            location = await self._follow(browser, f"{self.url}/auth", params=query)
            for form in ({"prompt": "login", "login": login, "password": "any"}, {"prompt": "consent"}):
                location = await self._follow(browser, location, form=form)
            code = parse_qs(urlsplit(location).query)["code"][0]
            form = {
                "grant_type": "authorization_code",
                "client_id": client,
                "code": code,
                "redirect_uri": _CALLBACK,
                "code_verifier": verifier,
            }
            async with browser.post(f"{self.url}/token", data=form) as response:
                answer = await response.json()
        token: str = answer["id_token"]
        return token

    async def _follow(self, browser: aiohttp.ClientSession, url: str, **request: Any) -> str:
        """Send, then follow redirects up to the next page (whose form's address is given) or the callback."""
        form, params = request.get("form"), request.get("params")
        method = "GET" if form is None else "POST"
        while True:
            async with browser.request(method, url, data=form, params=params, allow_redirects=False) as response:
                if response.status == 200:
                    action = re.search(r'action="([^"]+)" method="post"', await response.text())
                    assert action is not None
                    page: str = urljoin(url, action[1])
                    return page
                url = urljoin(url, response.headers["Location"])
            if url.startswith(_CALLBACK):
                return url
            method, form, params = "GET", None, None

    async def _sign_with_present_keys(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        document = json.dumps({"keys": [_private_jwk(key) for key in self.keys]})
        process.stdin.write(document.encode() + b"\n")
        if not await asyncio.wait_for(process.stdout.readline(), WITHIN):
            raise RuntimeError("oidc-provider did not start")


def _private_jwk(key: SigningKey) -> dict[str, Any]:
    def number(value: int, size: int | None = None) -> str:
        return b64url(value.to_bytes(size or (value.bit_length() + 7) // 8))

    if isinstance(key.private, ec.EllipticCurvePrivateKey):
        return {**key.jwk(), "d": number(key.private.private_numbers().private_value, (key.private.key_size + 7) // 8)}
    own = key.private.private_numbers()
    return {
        **key.jwk(),
        "d": number(own.d),
        "p": number(own.p),
        "q": number(own.q),
        "dp": number(rsa.rsa_crt_dmp1(own.d, own.p)),
        "dq": number(rsa.rsa_crt_dmq1(own.d, own.q)),
        "qi": number(rsa.rsa_crt_iqmp(own.p, own.q)),
    }
