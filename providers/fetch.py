"""One bounded GET of a document that an operator configured: no redirects, no compression, a size limit."""

import ipaddress
import ssl
from urllib.parse import urlsplit

import aiohttp


class FetchFailed(Exception):
    """There is no document; the message says why, for the operator."""


async def fetch(session: aiohttp.ClientSession, url: str, *, tls: ssl.SSLContext | None, max_bytes: int) -> bytes:
    """The body of a 200 answer. The caller bounds the time (`asyncio.timeout`).

    Raises `FetchFailed` for whatever is not a whole answer of at most `max_bytes` bytes.
    """
    try:
        async with session.get(
            url,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            allow_redirects=False,
            auto_decompress=False,  # a compressed body is refused instead: its size would not be known
            ssl=tls if tls is not None else True,
        ) as response:
            if response.status != 200:
                raise FetchFailed(f"{url} answered with status {response.status}")
            return await body_of(response, max_bytes=max_bytes)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchFailed(f"{url}: {type(error).__name__}: {error}") from error


async def body_of(response: aiohttp.ClientResponse, *, max_bytes: int) -> bytes:
    """The body of an answer that is not decompressed. Raises `FetchFailed` for a compressed or a longer one."""
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise FetchFailed(f"{response.url} answered with a compressed body")
    body = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        body += chunk
        if len(body) > max_bytes:
            raise FetchFailed(f"{response.url} answered with more than {max_bytes} bytes")
    return bytes(body)


def require_web_origin(url: str, *, allow_http: bool) -> None:
    """Raises `ValueError` unless `url` is https, or http on a loopback address where `allow_http`.

    Nor may it carry a user, a fragment, blanks or non-ASCII characters.
    """
    parts = urlsplit(url)
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url or not parts.hostname or "#" in url:
        raise ValueError(f"{url!r} is not a web address")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{url!r} carries a user name")
    if parts.scheme == "http" and allow_http and _loopback(parts.hostname):
        return
    if parts.scheme != "https":
        raise ValueError(f"{url!r} is not https (http is for loopback addresses, and only where it is allowed)")


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Raises `ValueError` for a port that is not one."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
