"""What a resource server is shown, what it learns, and the two ways of learning nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Whose request it is: verified, by a token's signature or by the gateway.

    `tags`: None where a token leaves them out for its length; then only the gateway knows them. `user_id` and
    `access_key_id` are None where they were not told: a token does not carry the first, a decision not the second.
    `expires_at`: the end of the session, UTC; None for long-term keys.
    """

    arn: str
    account: str
    tags: Mapping[str, str] | None
    source_identity: str | None = None
    expires_at: datetime | None = None
    user_id: str | None = None
    access_key_id: str | None = None
    mfa_authenticated_at: datetime | None = None


class Verdict(StrEnum):
    """What was decided. Only `ALLOW` means yes."""

    ALLOW = "allow"
    EXPLICIT_DENY = "explicitDeny"
    IMPLICIT_DENY = "implicitDeny"


@dataclass(frozen=True, slots=True)
class Matched:
    """A statement that decided: its policy, its `Sid` and its effect (`Allow` or `Deny`)."""

    policy: str
    sid: str | None
    effect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One answer of the gateway; true where it is yes.

    `payload_signed`: whether the signature covers the body; never for a bearer token.
    `missing_context`: condition keys that statements look at and that were not given.
    """

    verdict: Verdict
    principal: Principal
    payload_signed: bool
    matched: Sequence[Matched] = ()
    missing_context: Sequence[str] = ()

    @property
    def allowed(self) -> bool:
        """Whether the answer is yes."""
        return self.verdict is Verdict.ALLOW

    def __bool__(self) -> bool:
        """As `allowed`: `if decision:` must not mean that there is one."""
        return self.allowed


@dataclass(frozen=True, slots=True)
class Question:
    """May they do `action` on `resource`? The resource is an ARN, or `*`."""

    action: str
    resource: str


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A bearer session token, as it came. Nothing is verified."""

    raw: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request with a signature in its headers or its URL, exactly as it came. Nothing is verified.

    `url` is absolute, its path and query percent-encoded as the client sent them. `headers` are all of them, in order.
    `payload_sha256`: lower-case hexadecimal, of the body that arrived; None where there is none.
    """

    method: str
    url: str = field(repr=False)
    headers: Sequence[tuple[str, str]] = field(repr=False)
    payload_sha256: str | None = None


Shown: TypeAlias = BearerToken | SignedRequest
Context: TypeAlias = Mapping[str, Sequence[str]]
"""Condition keys and their values: `{"aws:SourceIp": ["10.0.0.7"]}`."""


class Unauthenticated(Exception):
    """The credentials that were shown do not verify: refuse the request with 401.

    `code` is AWS's (`InvalidClientTokenId`, `ExpiredToken`, `SignatureDoesNotMatch`, …). The message may be shown.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class NoVerdict(Exception):
    """Nothing was decided: refuse the request. The message is for the operator, not for the caller."""


class Unavailable(NoVerdict):
    """The gateway, or its key set, could not be had in time; ask again."""


class QuestionRefused(NoVerdict):
    """The gateway takes no such question, or none from here; asking again does not help.

    `status` 403: this service's own signature or permission; 400 and 413: what was asked.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
