"""What every provider speaks: proofs in, identities out, and the few things a provider needs from its host."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

Now = Callable[[], datetime]
"""Gives the present instant, aware and in UTC."""


@dataclass(frozen=True, slots=True)
class IdToken:
    """An OpenID Connect ID token as presented, in compact form."""

    raw: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SamlResponse:
    """A SAML 2.0 Response as presented: base64 of the XML."""

    raw: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Password:
    """A user name and a password as presented."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The certificates that a TLS client presented, DER, its own first; the handshake proved that it has the key."""

    chain: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a provider vouches for. Everything in it was verified.

    `attributes`: condition key name to values, exactly as a trust policy names them
    (`token.actions.githubusercontent.com:sub`, `saml:iss`, `ldap:groups`); `multivalued` names those that
    hold a list whatever the number of their values, `carried` those that stay with the session (`saml:sub`, ...).
    `expires_at`: when the proof itself ends, where it says so. `session_until`: a session made from it ends by then.
    """

    issuer: str
    subject: str
    audience: str
    methods: frozenset[str] = frozenset()
    authenticated_at: datetime
    expires_at: datetime | None = None
    session_until: datetime | None = None
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    multivalued: frozenset[str] = frozenset()
    carried: tuple[str, ...] = ()
    session_name: str | None = None
    session_tags: Mapping[str, str] = field(default_factory=dict)
    transitive_tag_keys: tuple[str, ...] = ()
    source_identity: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SamlIdentity(Identity):
    """An identity from a SAML assertion; `audience` is the Recipient that it was made for.

    `roles`: (role ARN, provider ARN) as the assertion pairs them. `session_duration`: what its SessionDuration says.
    `subject_type` and `name_qualifier`: as in the result of AssumeRoleWithSAML.
    """

    roles: tuple[tuple[str, str], ...]
    subject_type: str
    name_qualifier: str
    session_duration: timedelta | None = None


_Proof = TypeVar("_Proof", contravariant=True)


class Verifier(Protocol[_Proof]):
    """Turns one kind of proof into an identity."""

    async def verify(self, proof: _Proof, /) -> Identity:
        """Raises `ProofRejected`, `ProofExpired` or `ProviderUnavailable`; never returns an unverified value."""


class Once(Protocol):
    """First come, first served: remembers that something was used, for as long as it could be used again."""

    async def claim(self, purpose: str, value: str, *, issued_at: datetime, until: datetime) -> bool:
        """True for the first claimer of `value`, False for everyone after.

        False, too, where the memory may have lost an earlier claim of something issued at `issued_at`.
        Raises whatever the host raises when its memory does not answer: the proof must then not be accepted.
        """
