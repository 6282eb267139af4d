"""What Sojourn mints: a session, its record in the store, and the credentials handed out for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

import msgspec

from broker.policy.context import fold

MAXIMUM_LIFETIME = timedelta(hours=36)
"""The longest any session lives (GetSessionToken, GetFederationToken: 129,600 seconds)."""


class SessionKind(StrEnum):
    """Whose permissions a session has."""

    ASSUMED_ROLE = "assumed-role"
    USER = "user"  # GetSessionToken: the user itself
    FEDERATED_USER = "federated-user"
    ROOT = "root"  # AssumeRoot: the account itself, for one task


class TokenUse(StrEnum):
    """Where a session token proves anything: bound to signatures, or by itself."""

    SIGV4 = "sigv4"
    BEARER = "bearer"


class Grant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was decided about a session before it is minted. Times are whole seconds since the epoch.

    `principal_arn` and `principal_id` name the role, user or account that the session lives and dies with.
    `session_policies`: documents as given; None where none were passed, which is not the same as an empty list.
    `origin_arn`: the user whose keys began the chain of assumed roles, where a user's did.
    `context`: condition keys that the session carries on (`saml:sub`, `<issuer>:sub`, ...), each with its values.
    `federated_subject`: whom the provider vouched for, where it can be asked again; `federated_groups`: the groups that
    this person must be in still.
    """

    kind: SessionKind
    account: str
    arn: str
    user_id: str
    principal_arn: str
    principal_id: str
    name: str
    issued_at: int
    expires_at: int
    session_policies: tuple[str, ...] | None = None
    session_policy_arns: tuple[str, ...] = ()
    tags: dict[str, str] = {}
    transitive_tag_keys: tuple[str, ...] = ()
    source_identity: str | None = None
    mfa_authenticated_at: int | None = None
    origin_arn: str | None = None
    federated_provider: str | None = None
    federated_subject: str | None = None
    federated_groups: tuple[str, ...] = ()
    context: dict[str, tuple[str, ...]] = {}
    source_ip: str | None = None
    use: TokenUse = TokenUse.SIGV4


class Session(Grant, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A session's record. No secret can be made from it without the master key that `master_id` names.

    A field that a later version adds may narrow what the session may do, so who does not know it must not go on.
    """

    access_key_id: str
    master_id: str
    nonce: bytes
    token_sha256: bytes

    @property
    def expiration(self) -> datetime:
        """When it ends, UTC."""
        return datetime.fromtimestamp(self.expires_at, UTC)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The triple that a client uses, and its end (UTC)."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expiration: datetime


class Minted(NamedTuple):
    """A new session with its credentials."""

    session: Session
    credentials: Credentials


def merged_tags(*layers: Mapping[str, str]) -> dict[str, str]:
    """Tags where later layers override earlier ones; keys are compared without case, the later spelling stays.

    They are the same where conditions take them for the same. So no letter from elsewhere (the Kelvin sign) stands for
    an ASCII one: whoever may pass some tag could else take another one away.
    """
    present = [layer for layer in layers if layer]
    if len(present) < 2:
        return dict(present[0]) if present else {}
    merged: dict[str, tuple[str, str]] = {}
    for layer in present:
        for key, value in layer.items():
            merged[fold(key)] = (key, value)
    return dict(merged.values())
