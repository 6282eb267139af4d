"""The administration API, version 2026-11-21: Query actions as AWS's are, signed for `sts`."""

from broker.api.admin import list_sessions, list_signing_keys, revoke_sessions, rotate_signing_keys
from broker.api.query import Action, Service

VERSION = "2026-11-21"
NAMESPACE = "urn:sojourn:administration:2026-11-21"

ACTIONS: dict[str, Action] = {
    "ListSessions": list_sessions.ACTION,
    "ListSigningKeys": list_signing_keys.ACTION,
    "RevokeSessions": revoke_sessions.ACTION,
    "RotateSigningKeys": rotate_signing_keys.ACTION,
}

SERVICE = Service("sts", NAMESPACE, ACTIONS)
