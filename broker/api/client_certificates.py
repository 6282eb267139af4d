"""The certificates that a TLS client presented: the handshake proved that it has the first one's key (RFC 8446)."""

import ssl
import sys
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from aiohttp import web

from broker.api.received import within


def client_certificates(
    request: web.Request, trusted_proxies: Sequence[IPv4Network | IPv6Network]
) -> tuple[bytes, ...]:
    """DER, the client's own first, then those that it sent along; none without TLS, or where it presented none.

    A proxy's certificate says nothing of whoever sent the request through it.
    """
    tls = request.get_extra_info("ssl_object")
    if not isinstance(tls, ssl.SSLObject) or within(request.remote or "", trusted_proxies):
        return ()
    if tls.getpeercert(binary_form=True) is None:
        return ()
    return _presented(tls)


if sys.version_info >= (3, 13):

    def _presented(tls: ssl.SSLObject) -> tuple[bytes, ...]:
        return tuple(tls.get_unverified_chain())

else:

    def _presented(tls: ssl.SSLObject) -> tuple[bytes, ...]:
        # What is public since 3.13 was there before under this name.
        chain = tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # noqa: SLF001
        return tuple(ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in chain)
