"""`GET /auth/request`: nginx's `auth_request` and Traefik's ForwardAuth name the original request in headers.

A client's own headers travel with the question. So a request that is named in both ways at once is refused: one of
them is the client's. A body that Traefik sends along (`forwardBody`) is the original's, whole, and so is its length.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from broker.api.authz.proxied import LENGTH, Original, told_length
from broker.api.received import Received, within
from broker.errors import AccessDenied
from broker.sigv4 import HttpRequest

_ORIGINAL = ("x-original-method", "x-original-host", "x-original-uri")
_FORWARDED = ("x-forwarded-method", "x-forwarded-host", "x-forwarded-uri")
_REPLACED = frozenset({*_ORIGINAL, LENGTH, "host", "content-length"})


def original(received: Received, peer: str, trusted: Sequence[IPv4Network | IPv6Network]) -> Original:
    """The request that the proxy asks about.

    Raises:
        AccessDenied: it is not named, named twice, or by somebody who is not trusted to.
    """
    values = received.http.values
    by_original = any(name in values for name in _ORIGINAL)
    by_forwarded = "x-forwarded-method" in values or "x-forwarded-uri" in values
    if by_original and by_forwarded:
        raise AccessDenied("The original request is named by X-Original- and by X-Forwarded- headers; one must not be.")
    if not by_original and not (by_forwarded and within(peer, trusted)):
        raise AccessDenied(
            "The original request is not named: a proxy sends X-Original-Method, -Host and -URI, "
            "or, from an address in server.trusted_proxies, X-Forwarded-Method, -Host and -Uri."
        )
    names = _ORIGINAL if by_original else _FORWARDED
    if any(len(values.get(name, ())) != 1 for name in names):
        raise AccessDenied(f"Each of the headers {', '.join(names)} must be there exactly once.")
    method, host, uri = (values[name][0] for name in names)
    path, _, query = uri.partition("?")
    if not path.startswith("/") or "#" in uri:
        raise AccessDenied("The original URI must be the path and query as the client sent them.")
    headers = [(name, value) for name, value in received.http.headers if name.lower() not in _REPLACED]
    shown = by_forwarded and received.body != b""
    headers += [("host", host), *told_length(received.http, body_shown=shown)]
    return Original(HttpRequest(method, path, query, headers), received.body_sha256 if shown else None)
