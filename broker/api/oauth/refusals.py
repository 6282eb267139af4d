"""Error documents of OAuth endpoints (RFC 6749 §5.2, RFC 8693 §2.2.2)."""

import re
from collections.abc import Mapping

from broker.errors import BrokerError

SIGNATURE = "AWS4-"
"""How the Authorization header of a signed request begins."""
_NOT_A_DESCRIPTION = re.compile(r"[^ !#-\[\]-~]")
_STATUS = {"invalid_client": 401, "temporarily_unavailable": 503, "server_error": 500}


class UnsupportedGrantType(BrokerError):
    """The grant type is not supported; this endpoint exchanges tokens: urn:ietf:params:oauth:grant-type:token-exchange"""  # noqa: E501

    code, status, oauth = "UnsupportedGrantType", 400, "unsupported_grant_type"


class UnsupportedClientAuthentication(BrokerError):
    """Clients are not authenticated here: the subject token is the proof. Leave the Authorization header out."""

    code, status, oauth = "UnsupportedClientAuthentication", 401, "invalid_client"


class InvalidTarget(BrokerError):
    """The resource must be the ARN of the role to assume: arn:aws:iam::ACCOUNT:role/NAME"""

    code, status, oauth = "InvalidTarget", 400, "invalid_target"


class UnsupportedTokenType(BrokerError):
    """A session token that is bound to signatures is revoked by a request signed with its own credentials; others' sessions are revoked with: sojourn sessions revoke"""  # noqa: E501

    code, status, oauth = "UnsupportedTokenType", 400, "unsupported_token_type"


class InvalidSubjectToken(BrokerError):
    """The subject token is not a valid bearer token of this gateway. A session token of an STS call proves nothing by itself: sign the request with its credentials."""  # noqa: E501

    code, status, oauth = "InvalidSubjectToken", 400, "invalid_grant"


class ExpiredSubjectToken(BrokerError):
    """The subject token has expired."""

    code, status, oauth = "ExpiredSubjectToken", 400, "invalid_grant"


def status(error: BrokerError) -> int:
    """The HTTP status: OAuth's own, save where the body was too large."""
    return 413 if error.status == 413 else _STATUS.get(error.oauth, 400)


def document(error: BrokerError) -> Mapping[str, str]:
    """`error` and, in the characters that RFC 6749 §5.2 admits, `error_description`."""
    described = {"error": error.oauth}
    if error.message:
        plain = error.message.replace('"', "'").replace("\\", "/")
        described["error_description"] = _NOT_A_DESCRIPTION.sub("?", plain)
    return described
