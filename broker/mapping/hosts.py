"""The host that a request is for (RFC 9110 §7.2)."""

import re

from broker.sigv4 import HttpRequest

_HOST = re.compile(r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")


def hosts(http: HttpRequest) -> tuple[str, ...]:
    """Its names in lower case, with the port and without; none where the Host header is missing, doubled or no host."""
    named = http.values.get("host", ())
    found = _HOST.fullmatch(named[0]) if len(named) == 1 else None
    return (found[0].lower(), found[1].lower()) if found is not None else ()
