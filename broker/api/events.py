"""Audit events in the shape of CloudTrail's records (AWS CloudTrail User Guide, "CloudTrail record contents")."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec

from broker.audit import cleaned
from broker.clock import iso8601
from broker.errors import BrokerError
from broker.flows.caller import Caller, Wire
from broker.flows.denials import sentence_of
from broker.policy import PrincipalKind
from broker.sessions.model import SessionKind
from providers.contract import Identity

_TYPES = {
    PrincipalKind.ROOT: "Root",
    PrincipalKind.USER: "IAMUser",
    PrincipalKind.ASSUMED_ROLE: "AssumedRole",
    PrincipalKind.FEDERATED_USER: "FederatedUser",
}
_NAMELESS = frozenset({"unknown_user", "malformed", "delayed"})


class Event(msgspec.Struct):
    """What is learnt about a request on its way; becomes one record."""

    source: str
    name: str = "Unknown"
    identity: Mapping[str, Any] = msgspec.field(default_factory=lambda: {"type": "Unknown"})
    region: str | None = None
    parameters: Mapping[str, Any] | None = None
    response: Mapping[str, Any] | None = None
    account: str | None = None
    additional: dict[str, Any] = msgspec.field(default_factory=dict)

    def record(self, wire: Wire, at: datetime, event_id: str, error: BrokerError | None) -> dict[str, Any]:
        """The finished record; nothing that a caller wrote stands in it uncleaned, and no secret at all."""
        record: dict[str, Any] = {
            "eventVersion": "1.08",
            "userIdentity": self.identity,
            "eventTime": iso8601(at),
            "eventSource": self.source,
            "eventName": self.name,
            "awsRegion": cleaned(self.region, 64) if self.region else "us-east-1",
            "sourceIPAddress": cleaned(wire.source_ip),
            "userAgent": cleaned(wire.user_agent),
            "requestParameters": self.parameters,
            "responseElements": self.response,
            "requestID": wire.request_id,
            "eventID": event_id,
            "eventType": "AwsApiCall",
            "eventCategory": "Management",
            "managementEvent": True,
            "recipientAccountId": self.account,
        }
        if error is not None:
            record["errorCode"] = error.code
            record["errorMessage"] = cleaned(sentence_of(error))
            if error.detail is not None:
                self.additional.update(_all_cleaned(error.detail))
        if self.additional:
            record["additionalEventData"] = self.additional
        return record


def _all_cleaned(detail: Any) -> Any:
    """What a provider or a library said about a caller's document may quote it."""
    if isinstance(detail, str):
        return cleaned(detail)
    if isinstance(detail, Mapping):
        return {name: _all_cleaned(value) for name, value in detail.items()}
    if isinstance(detail, list | tuple):
        return [_all_cleaned(value) for value in detail]
    return detail


def identity_of(caller: Caller) -> dict[str, Any]:
    """CloudTrail's `userIdentity` of a verified caller."""
    identity: dict[str, Any] = {
        "type": _TYPES[caller.principal.kind],
        "principalId": caller.user_id,
        "arn": caller.principal.arn,
        "accountId": caller.principal.account,
        "accessKeyId": caller.access_key_id,
    }
    session = caller.session
    if caller.user is not None and caller.principal.kind is PrincipalKind.USER:
        identity["userName"] = caller.user.name
    if session is not None:
        attributes = {
            "creationDate": iso8601(datetime.fromtimestamp(session.issued_at, session.expiration.tzinfo)),
            "mfaAuthenticated": "false" if session.mfa_authenticated_at is None else "true",
        }
        context: dict[str, Any] = {"attributes": attributes}
        if session.kind is SessionKind.ASSUMED_ROLE and caller.role is not None:
            context["sessionIssuer"] = {
                "type": "Role",
                "principalId": caller.role.unique_id,
                "arn": caller.role.arn,
                "accountId": caller.role.account,
                "userName": caller.role.name,
            }
        if session.kind is SessionKind.ROOT:
            context["assumedRoot"] = "true"
        if session.source_identity is not None:
            context["sourceIdentity"] = session.source_identity
        identity["sessionContext"] = context
    return identity


def listed(parameters: Mapping[str, str], audited: Collection[str]) -> dict[str, str] | None:
    """The parameters that may stand in the trail, named as CloudTrail names them, lists member by member."""
    found = {
        name[0].lower() + name[1:]: cleaned(value)
        for name, value in parameters.items()
        if name.partition(".")[0] in audited
    }
    return found or None


def federated_identity(kind: str, identity: Identity, provider_arn: str) -> dict[str, Any]:
    """CloudTrail's `userIdentity` of somebody whom a provider vouches for; `kind`: `WebIdentityUser`, `SAMLUser`.

    A directory's user is called by the name there; the subject is a number.
    """
    subject = cleaned(identity.subject)
    whose = dict.fromkeys((provider_arn, cleaned(identity.audience)))
    return {
        "type": kind,
        "principalId": ":".join((*whose, subject)),
        "userName": cleaned(identity.attributes.get("ldap:username", (subject,))[0]),
        "identityProvider": provider_arn,
    }


def refused_identity(error: BrokerError, kind: str, name: str, provider: str) -> dict[str, Any]:
    """CloudTrail's `userIdentity` of somebody whom `provider` knows by `name` and did not vouch for.

    Without the name where nobody there has it: it may be a password, typed into the wrong field.
    """
    reason = error.detail.get("reason") if error.detail is not None else None
    if reason is None or reason in _NAMELESS:
        return {"type": "Unknown"}
    return {"type": kind, "userName": cleaned(name), "identityProvider": provider}
