"""A proof from outside becomes an identity: the provider is chosen, asked, and its verdict put into AWS's words."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from broker.directory.model import Account, CertificateProvider, LdapProvider, OidcProvider, Snapshot
from broker.errors import BrokerError, ExpiredIdentityToken, IDPCommunicationError, InvalidIdentityToken
from broker.policy import Effect
from providers.contract import ClientCertificate, Identity, IdToken, Password, Verifier
from providers.errors import ProofExpired, ProofRejected, ProviderUnavailable

_RESERVED_VENDORS = frozenset({"aws", "sts", "iam", "sojourn"})
"""Condition keys of these name what the gateway knows by itself; no provider may speak for them."""


class Person(Protocol):
    """Somebody of a directory, as it is now; nobody has proved to be this person."""

    @property
    def groups(self) -> Sequence[str]:
        """The names of the groups, as `ldap:groups` has them."""


class PasswordVerifier(Protocol):
    """A `Verifier[Password]` that tells whose password it is about to try."""

    async def verify(self, proof: Password, /, *, gate: Callable[[str], Awaitable[None]] | None = None) -> Identity:
        """As `Verifier.verify`; `gate` is told the subject beforehand, and raises to prevent it."""

    async def look_up(self, subject: str, /) -> Person | None:
        """Whom an identity's subject names, None where gone or shut out. Raises `ProviderUnavailable`."""


class Federation(Protocol):
    """The providers of a process, by their configuration."""

    def issuer_of(self, raw: str) -> str:
        """What an ID token says its issuer is, unverified. Raises `ProofRejected` for what is no ID token."""

    def oidc(self, configured: OidcProvider) -> Verifier[IdToken]:
        """The verifier of a configured issuer."""

    def ldap(self, configured: LdapProvider) -> PasswordVerifier:
        """The verifier of a configured directory."""

    def certificate(self, configured: CertificateProvider) -> Verifier[ClientCertificate]:
        """The verifier of configured authorities."""

    def local(self, account: Account) -> Verifier[Password]:
        """The verifier of the account's own users that have a password; the subject is the user's ARN."""


async def web_identity(
    federation: Federation, snapshot: Snapshot, account: str, raw_token: str
) -> tuple[Identity, OidcProvider]:
    """Verify an ID token against the providers of `account`, which is the role's.

    Raises:
        InvalidIdentityToken, ExpiredIdentityToken, IDPCommunicationError: with the reason for the audit trail.
    """
    with in_aws_words():
        issuer = federation.issuer_of(raw_token)
        found = snapshot.account(account)
        configured = found.oidc_providers.get(issuer) if found is not None else None
        if configured is None:
            raise InvalidIdentityToken(f"No OpenIDConnect provider found in your account for {issuer}")
        identity = await federation.oidc(configured).verify(IdToken(raw_token))
    _require_own_keys(identity)
    return identity, configured


def trusted_providers(snapshot: Snapshot, role_arn: str, kind: str) -> frozenset[str]:
    """The ARNs of providers of a kind (`ldap-provider`, ...) that the role's trust policy has in an Allow statement."""
    role = snapshot.role(role_arn)
    if role is None:
        return frozenset()
    return frozenset(
        entry.value
        for statement in role.trust_policy.statements
        if statement.effect is Effect.ALLOW and not statement.not_principal
        for entry in statement.principals
        if entry.type == "Federated" and f":{kind}/" in entry.value
    )


def _require_own_keys(identity: Identity) -> None:
    for key in identity.attributes:
        if key.partition(":")[0].lower() in _RESERVED_VENDORS:
            raise InvalidIdentityToken("The identity provider's name is one that its claims may not stand under.")


@contextmanager
def in_aws_words(*, rejected: type[BrokerError] = InvalidIdentityToken) -> Iterator[None]:
    """Verdicts of providers as refusals of the gateway, with the reason for the audit trail."""
    try:
        yield
    except ProofExpired as error:
        raise ExpiredIdentityToken(error.sentence, detail={"reason": error.reason, "detail": error.detail}) from error
    except ProofRejected as error:
        raise rejected(error.sentence, detail={"reason": error.reason, "detail": error.detail}) from error
    except ProviderUnavailable as error:
        raise IDPCommunicationError(error.sentence, detail={"reason": error.reason, "detail": error.detail}) from error
