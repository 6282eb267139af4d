"""Parameters and result elements that the administration's actions share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from broker.api.params import param, structure
from broker.api.rules import Rule, Sentence, instant, text
from broker.api.shapes import ARN, Tag
from broker.api.sts.shapes import SOURCE_IDENTITY
from broker.arn import Arn
from broker.flows.administer import Wanted
from broker.sessions.key_use import MasterKey
from broker.sessions.model import Session, SessionKind
from broker.sessions.signing_key import SigningKey

CALLERS: Final = (None, *SessionKind)
_ACCESS_KEY_ID = text(20, 20, r"ASIA[A-Z2-7]{16}")


def _arn(*kinds: str) -> Rule[str]:
    """An ARN whose resource type, or `root`, is one of `kinds`."""

    def read(value: str, clauses: list[str]) -> str:
        ARN(value, clauses)
        try:
            parsed = Arn.parse(value)
            kind = parsed.resource_type or parsed.resource
        except ValueError:
            kind = ""
        if kind not in kinds:
            clauses.append(Sentence(f"{value[:1024]} is not the ARN of a {' or '.join(kinds)}"))
        return value

    return read


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which sessions; all that is given must hold."""

    access_key_id: str | None = param("AccessKeyId", _ACCESS_KEY_ID, default=None)
    session_arn: str | None = param("SessionArn", _arn("assumed-role", "federated-user", "user", "root"), default=None)
    role_arn: str | None = param("RoleArn", _arn("role"), default=None)
    user_arn: str | None = param("UserArn", _arn("user"), default=None)
    source_identity: str | None = param("SourceIdentity", SOURCE_IDENTITY, default=None)
    provider_arn: str | None = param(
        "ProviderArn",
        _arn("oidc-provider", "saml-provider", "ldap-provider", "certificate-provider"),
        default=None,
    )
    tag: Tag | None = param("Tag", structure(Tag), default=None)
    issued_before: datetime | None = param("IssuedBefore", instant(), default=None)

    @property
    def wanted(self) -> Wanted:
        """As the flow takes it."""
        return Wanted(
            access_key_id=self.access_key_id,
            session_arn=self.session_arn,
            role_arn=self.role_arn,
            user_arn=self.user_arn,
            source_identity=self.source_identity,
            provider_arn=self.provider_arn,
            tag=None if self.tag is None else (self.tag.key, self.tag.value),
            issued_before=self.issued_before,
        )


FILTERS: Final = (
    "AccessKeyId",
    "SessionArn",
    "RoleArn",
    "UserArn",
    "SourceIdentity",
    "ProviderArn",
    "Tag",
    "IssuedBefore",
)


def session(found: Session, last_used: int | None) -> Mapping[str, Any]:
    """The `Session` element: who, which role, from where, since when, until when, by which provider, last used."""
    return {
        "AccessKeyId": found.access_key_id,
        "SessionArn": found.arn,
        "Kind": found.kind.value,
        "Use": found.use.value,
        "AccountId": found.account,
        "PrincipalArn": found.principal_arn,
        "UserId": found.user_id,
        "SessionName": found.name,
        "OriginArn": found.origin_arn,
        "ProviderArn": found.federated_provider,
        "SourceIdentity": found.source_identity,
        "SourceIpAddress": found.source_ip,
        "MFAAuthenticated": found.mfa_authenticated_at is not None,
        "Tags": [{"Key": key, "Value": value} for key, value in found.tags.items()],
        "IssuedAt": _instant(found.issued_at),
        "Expiration": found.expiration,
        "LastUsedAt": None if last_used is None else _instant(last_used),
    }


def signing_keys(keys: Sequence[SigningKey], now: datetime) -> Mapping[str, Any]:
    """The `SigningKeys` element: the published keys, oldest first."""
    return {"SigningKeys": [_signing_key(key, now) for key in keys]}


def _signing_key(key: SigningKey, now: datetime) -> Mapping[str, Any]:
    if now < key.active_from:
        status = "Next"
    elif key.retired_at is None or now < key.retired_at:
        status = "Current"
    else:
        status = "Retired"
    return {
        "KeyId": key.kid,
        "Algorithm": key.alg,
        "Status": status,
        "CreatedAt": key.created_at,
        "ActiveFrom": key.active_from,
        "RetiredAt": key.retired_at,
    }


def master_keys(keys: Sequence[MasterKey]) -> Mapping[str, Any]:
    """The `MasterKeys` element: those of `keys.master`, the current one first, and those that are missing there."""
    return {
        "MasterKeys": [
            {
                "MasterKeyId": key.master_id,
                "Status": key.status.value,
                "SealedValues": key.sealed_values,
                "LastSessionEndsAt": key.last_session_ends_at,
            }
            for key in keys
        ]
    }


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
