"""Refusals that carry their wire form: AWS's code, its HTTP status and one sentence for the caller.

What only the operator may know goes into `__cause__` or `detail` (for the audit trail), never into the sentence.
"""

from collections.abc import Mapping
from typing import Any


class BrokerError(Exception):
    """The request failed."""

    code = "InternalFailure"
    status = 500
    oauth = "server_error"

    def __init__(self, message: str | None = None, *, detail: Mapping[str, Any] | None = None) -> None:
        """`message` is sent to the caller; without one, the class's docstring is. `detail` is for the audit trail."""
        self.message = message if message is not None else (type(self).__doc__ or "")
        self.detail = detail
        super().__init__(self.message)


class ValidationError(BrokerError):
    """A parameter is not valid."""

    code, status, oauth = "ValidationError", 400, "invalid_request"


class InvalidParameterValue(BrokerError):
    """A parameter has an invalid value."""

    code, status, oauth = "InvalidParameterValue", 400, "invalid_request"


class MalformedInput(BrokerError):
    """A parameter cannot be read."""

    code, status, oauth = "MalformedInput", 400, "invalid_request"


class MissingAction(BrokerError):
    """The request has no Action parameter; name the operation, for example Action=GetCallerIdentity."""

    code, status, oauth = "MissingAction", 400, "invalid_request"


class InvalidAction(BrokerError):
    """Could not find the operation."""

    code, status, oauth = "InvalidAction", 400, "invalid_request"


class MissingAuthenticationToken(BrokerError):
    """Request is missing Authentication Token"""

    code, status, oauth = "MissingAuthenticationToken", 403, "invalid_client"


class IncompleteSignature(BrokerError):
    """The request signature does not conform to AWS standards."""

    code, status, oauth = "IncompleteSignature", 400, "invalid_request"


class MalformedQueryString(BrokerError):
    """The query string contains a syntax error."""

    code, status, oauth = "MalformedQueryString", 400, "invalid_request"


class SignatureDoesNotMatch(BrokerError):
    """The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."""  # noqa: E501

    code, status, oauth = "SignatureDoesNotMatch", 403, "invalid_client"


class InvalidClientTokenId(BrokerError):
    """The security token included in the request is invalid."""

    code, status, oauth = "InvalidClientTokenId", 403, "invalid_client"


class ExpiredToken(BrokerError):
    """The security token included in the request is expired"""

    code, status, oauth = "ExpiredToken", 403, "invalid_token"


class AccessDenied(BrokerError):
    """Access denied."""

    code, status, oauth = "AccessDenied", 403, "access_denied"


class MalformedPolicyDocument(BrokerError):
    """The policy document is malformed."""

    code, status, oauth = "MalformedPolicyDocument", 400, "invalid_request"


class PackedPolicyTooLarge(BrokerError):
    """The packed size of policies and tags exceeds the allotted space."""

    code, status, oauth = "PackedPolicyTooLarge", 400, "invalid_request"


class InvalidIdentityToken(BrokerError):
    """The web identity token or assertion could not be validated."""

    code, status, oauth = "InvalidIdentityToken", 400, "invalid_grant"


class ExpiredIdentityToken(BrokerError):
    """The web identity token or assertion has expired; get a new one."""

    code, status, oauth = "ExpiredTokenException", 400, "invalid_grant"


class IDPRejectedClaim(BrokerError):
    """The identity provider rejected the credentials."""

    code, status, oauth = "IDPRejectedClaim", 403, "invalid_grant"


class IDPCommunicationError(BrokerError):
    """The identity provider could not be reached; try again."""

    code, status, oauth = "IDPCommunicationError", 400, "temporarily_unavailable"


class InvalidAuthorizationMessage(BrokerError):
    """The encoded authorization message is not valid: it was altered, has expired, or is not one of ours."""

    code, status, oauth = "InvalidAuthorizationMessageException", 400, "invalid_request"


class SessionDurationEscalation(BrokerError):
    """The requested token duration would extend the session beyond its original expiration time."""

    code, status, oauth = "SessionDurationEscalationException", 403, "invalid_request"


class JwtPayloadSizeExceeded(BrokerError):
    """The token would grow larger than accepted; pass fewer or shorter tags and audiences."""

    code, status, oauth = "JWTPayloadSizeExceededException", 400, "invalid_request"


class RequestTooLarge(BrokerError):
    """The request is larger than accepted."""

    code, status, oauth = "RequestEntityTooLarge", 413, "invalid_request"


class Throttling(BrokerError):
    """Rate exceeded: too many sign-ins were begun from this address. Wait a minute, then begin again."""

    code, status, oauth = "Throttling", 429, "temporarily_unavailable"


class InternalFailure(BrokerError):
    """The request failed because of an internal error; the request id finds it in the gateway's log."""


class ServiceUnavailable(BrokerError):
    """The request could not be served because the session store is unavailable; try again."""

    code, status, oauth = "ServiceUnavailable", 503, "temporarily_unavailable"


class NoSuchEntity(BrokerError):
    """The entity does not exist."""

    code, status, oauth = "NoSuchEntity", 404, "invalid_request"


class InvalidInput(BrokerError):
    """An input is invalid."""

    code, status, oauth = "InvalidInput", 400, "invalid_request"


class UnmodifiableEntity(BrokerError):
    """The entity comes from a configuration file; change it there."""

    code, status, oauth = "UnmodifiableEntity", 400, "invalid_request"


class EntityAlreadyExists(BrokerError):
    """The entity already exists."""

    code, status, oauth = "EntityAlreadyExists", 409, "invalid_request"


class EntityTemporarilyUnmodifiable(BrokerError):
    """The entity is being changed by somebody else; try again."""

    code, status, oauth = "EntityTemporarilyUnmodifiable", 409, "invalid_request"


class DeleteConflict(BrokerError):
    """The entity is in use."""

    code, status, oauth = "DeleteConflict", 409, "invalid_request"


class LimitExceeded(BrokerError):
    """A quota is used up."""

    code, status, oauth = "LimitExceeded", 409, "invalid_request"


class InvalidAuthenticationCode(BrokerError):
    """Authentication code for device is not valid."""

    code, status, oauth = "InvalidAuthenticationCode", 403, "access_denied"
