"""`/auth/ext_authz/…`: Envoy's HTTP ext_authz sends the original method, Host and headers, its path behind ours.

Without `with_request_body` Envoy says Content-Length 0, whatever the original's was.
"""

from broker.api.authz.proxied import LENGTH, Original, told_length
from broker.api.received import Received
from broker.errors import AccessDenied
from broker.sigv4 import HttpRequest

PREFIX = "/auth/ext_authz"


def original(received: Received) -> Original:
    """The request that Envoy asks about; its body counts where Envoy sent all of it (`with_request_body`).

    Raises:
        AccessDenied: the path does not begin with the prefix as it is written here.
    """
    http = received.http
    if not http.path.startswith(PREFIX + "/"):
        raise AccessDenied("The path_prefix of ext_authz must be /auth/ext_authz.")
    shown = received.body != b"" and http.header("x-envoy-auth-partial-body") in (None, "false")
    headers = [(name, value) for name, value in http.headers if name.lower() not in (LENGTH, "content-length")]
    headers += told_length(http, body_shown=shown or LENGTH not in http.values)
    stripped = HttpRequest(http.method, http.path.removeprefix(PREFIX), http.query, headers)
    return Original(stripped, received.body_sha256 if shown else None)
