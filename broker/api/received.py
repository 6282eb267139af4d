"""One HTTP request as it arrived: bounded, read once, and where it came from."""

import asyncio
import hashlib
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

import msgspec
from aiohttp import web

from broker.errors import RequestTooLarge, ServiceUnavailable, ValidationError
from broker.flows.caller import Wire
from broker.sigv4 import HttpRequest

BODY_LIMIT = 10_000_000
"""Bytes, as STS has it, for who shows a signature; parsing so much takes long, so others get a tenth."""
UNSIGNED_BODY_LIMIT = 1_000_000
_READ_WITHIN = 20.0
_HASHED_AT_ONCE = 262_144
_SMALL_BODY = 65_536  # finds room always
_MOST_ARRIVING = 64 << 20  # bytes of bodies that are incomplete; nobody who sends one has proved anything yet


class Received(msgspec.Struct, frozen=True):
    """The request's head and body, and its wire facts. `body_sha256`: lower-case hexadecimal."""

    http: HttpRequest
    body: bytes
    body_sha256: str
    wire: Wire

    @property
    def content_type(self) -> str | None:
        """Of the body, where it is told."""
        return ",".join(self.http.values.get("content-type", ())) or None


async def receive(
    request: web.Request,
    request_id: str,
    trusted_proxies: Sequence[IPv4Network | IPv6Network],
    *,
    encoded: bool = False,
) -> Received:
    """Read the body within its limits. `encoded`: it may be, for nobody here reads more than its hash.

    Raises:
        ValidationError: the body is encoded.
        RequestTooLarge: the body is longer than accepted.
        ServiceUnavailable: so many large bodies are arriving that there is no room for another.
        TimeoutError: the body did not arrive in time.
    """
    raw_path, _, raw_query = request.raw_path.partition("?")
    http = HttpRequest(request.method, raw_path, raw_query, list(request.headers.items()))
    body = b""
    if "content-encoding" in http.values and not encoded:
        raise ValidationError("Content-Encoding is not accepted; send the body as it is.")
    if request.can_read_body:
        signed = "authorization" in http.values or "X-Amz-Signature=" in raw_query
        limit = BODY_LIMIT if signed else UNSIGNED_BODY_LIMIT
        if request.content_length is not None and request.content_length > limit:
            raise RequestTooLarge
        if request.content.is_eof():
            body = request.content.read_nowait()
            if len(body) > limit:
                raise RequestTooLarge
        else:
            async with asyncio.timeout(_READ_WITHIN):
                body = await _read(request, limit)
    if len(body) <= _HASHED_AT_ONCE:
        digest = hashlib.sha256(body).hexdigest()
    else:
        digest = (await asyncio.to_thread(hashlib.sha256, body)).hexdigest()
    return Received(http, body, digest, _wire(request, http, request_id, trusted_proxies))


class _Room:
    """How many bytes of all bodies of this process are arriving."""

    taken = 0


async def _read(request: web.Request, limit: int) -> bytes:
    content = request.content
    chunks: list[bytes] = []
    size = 0
    try:
        while not chunks or not content.at_eof():
            chunk = await content.readany()
            size += len(chunk)
            _Room.taken += len(chunk)
            if size > limit:
                raise RequestTooLarge
            if size > _SMALL_BODY and _Room.taken > _MOST_ARRIVING:
                raise ServiceUnavailable("Too many large requests are arriving; try again.")
            chunks.append(chunk)
    finally:
        _Room.taken -= size
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _wire(
    request: web.Request,
    http: HttpRequest,
    request_id: str,
    trusted_proxies: Sequence[IPv4Network | IPv6Network],
) -> Wire:
    """The peer, or whom a trusted proxy names: the last address in the chain that is no trusted proxy itself."""
    source_ip, secure = _plain(request.remote or ""), request.secure
    if trusted_proxies and within(source_ip, trusted_proxies):
        proto = http.header("x-forwarded-proto")
        if proto is not None:
            secure = proto.strip().lower() == "https"
        chain = [hop.strip() for value in http.values.get("x-forwarded-for", ()) for hop in value.split(",")]
        for hop in reversed(chain):
            if not _is_address(hop):
                break
            source_ip = _plain(hop)
            if not within(source_ip, trusted_proxies):
                break
    return Wire(source_ip=source_ip, secure=secure, user_agent=http.header("user-agent") or "", request_id=request_id)


def _plain(address: str) -> str:
    """An IPv4 address in IPv6's form, as a socket of both families has it, is one of IPv4 (RFC 4291 §2.5.5.2)."""
    if ":" not in address:
        return address
    try:
        mapped = IPv6Address(address).ipv4_mapped
    except ValueError:
        return address
    return str(mapped) if mapped is not None else address


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def within(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether `address` is one, and in one of the networks."""
    if not _is_address(address):
        return False
    parsed = ip_address(address)
    return any(parsed in network for network in networks)
