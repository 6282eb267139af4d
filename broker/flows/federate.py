"""A proof from outside becomes an identity: the provider is chosen, asked, and its verdict put into AWS's words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from broker.directory.model import OidcProvider, Snapshot
from broker.errors import ExpiredIdentityToken, IDPCommunicationError, InvalidIdentityToken
from providers.contract import Identity, IdToken, Verifier
from providers.errors import ProofExpired, ProofRejected, ProviderUnavailable

_RESERVED_VENDORS = frozenset({"aws", "sts", "iam", "sojourn"})
"""Condition keys of these name what the gateway knows by itself; no provider may speak for them."""


class Federation(Protocol):
    """The providers of a process, by their configuration."""

    def issuer_of(self, raw: str) -> str:
        """What an ID token says its issuer is, unverified. Raises `ProofRejected` for what is no ID token."""

    def oidc(self, configured: OidcProvider) -> Verifier[IdToken]:
        """The verifier of a configured issuer."""


async def web_identity(
    federation: Federation, snapshot: Snapshot, account: str, raw_token: str
) -> tuple[Identity, OidcProvider]:
    """Verify an ID token against the providers of `account`, which is the role's.

    Raises:
        InvalidIdentityToken, ExpiredIdentityToken, IDPCommunicationError: with the reason for the audit trail.
    """
    with _in_aws_words():
        issuer = federation.issuer_of(raw_token)
        found = snapshot.account(account)
        configured = found.oidc_providers.get(issuer) if found is not None else None
        if configured is None:
            raise InvalidIdentityToken(f"No OpenIDConnect provider found in your account for {issuer}")
        identity = await federation.oidc(configured).verify(IdToken(raw_token))
    _require_own_keys(identity)
    return identity, configured


def _require_own_keys(identity: Identity) -> None:
    for key in identity.attributes:
        if key.partition(":")[0].lower() in _RESERVED_VENDORS:
            raise InvalidIdentityToken("The identity provider's name is one that its claims may not stand under.")


@contextmanager
def _in_aws_words() -> Iterator[None]:
    try:
        yield
    except ProofExpired as error:
        raise ExpiredIdentityToken(error.sentence, detail={"reason": error.reason, "detail": error.detail}) from error
    except ProofRejected as error:
        raise InvalidIdentityToken(error.sentence, detail={"reason": error.reason, "detail": error.detail}) from error
    except ProviderUnavailable as error:
        raise IDPCommunicationError(error.sentence, detail={"reason": error.reason, "detail": error.detail}) from error
