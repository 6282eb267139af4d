"""The one credential that a request presents, read strictly; nothing here is verified (RFC 6750 §2, AWS SigV4)."""

import re

from broker.client.model import BearerToken, Unauthenticated
from broker.errors import BrokerError, MalformedQueryString
from broker.sigv4 import HttpRequest, PresentedSignature, present
from broker.sigv4.encoding import check_escapes, decode_component
from broker.sigv4.presented import SIGNING_PARAMETERS

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)


class Ambiguous(Exception):
    """There are several credentials, or one where none belongs: readers could take different ones."""


def presented(http: HttpRequest) -> BearerToken | PresentedSignature | None:
    """What the request presents; None where that is nothing that is known here.

    Raises:
        Ambiguous: credentials in two places, or a token in the query string.
        Unauthenticated: a signature that is none, with AWS's code.
    """
    authorization = http.values.get("authorization", [])
    if len(authorization) > 1:
        raise Ambiguous("The header Authorization is given more than once.")
    parameters = _parameters(http.query)
    if "access_token" in parameters:
        raise Ambiguous("A token belongs in the header Authorization, not in the query string.")
    in_query = not parameters.isdisjoint(SIGNING_PARAMETERS)
    scheme = authorization[0].strip().partition(" ")[0].lower() if authorization else ""
    if scheme == "bearer":
        found = _BEARER.fullmatch(authorization[0].strip())
        if in_query or found is None:
            raise Ambiguous("Give either one bearer token or one signature.")
        return BearerToken(found[1])
    if not in_query and not scheme.startswith("aws4-"):
        return None
    try:
        return present(http)
    except BrokerError as refusal:
        raise Unauthenticated(refusal.code, refusal.message) from refusal


def _parameters(query: str) -> set[str]:
    try:
        check_escapes(query)
        return {decode_component(pair.partition("=")[0]) for pair in query.split("&")} if query else set()
    except MalformedQueryString as error:
        raise Ambiguous("The query string is not percent-encoded UTF-8.") from error
