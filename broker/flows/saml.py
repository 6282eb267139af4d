"""A SAML response becomes an identity, and a person is sent to sign in; the provider's verdict in AWS's words."""

from collections.abc import Callable, Mapping
from typing import Protocol

from broker.directory.model import SamlProvider, Snapshot
from broker.errors import AccessDenied, IDPCommunicationError, InvalidIdentityToken
from broker.flows.federate import in_aws_words
from broker.ids import Random
from broker.settings import Settings
from providers.contract import SamlIdentity, SamlResponse
from providers.errors import ProofRejected

ACTION = "sts:AssumeRoleWithSAML"


class AuthnRequest(Protocol):
    """Where to send a browser to sign in: by a redirect, or by a form where there are `fields`."""

    @property
    def id(self) -> str:
        """What the response must answer."""

    @property
    def url(self) -> str:
        """The address."""

    @property
    def fields(self) -> Mapping[str, str]:
        """Of the form; none for a redirect."""


class SamlSignIn(Protocol):
    """Sign-in at one SAML identity provider."""

    async def verify(
        self, proof: SamlResponse, *, in_response_to: str | None = None, allow_unsolicited: bool | None = None
    ) -> SamlIdentity:
        """As a `Verifier`, once an assertion. `in_response_to`: the request that it must answer; None: none.

        `allow_unsolicited`: whether one that answers none is accepted; None: as configured.
        """

    async def begin(self, *, random: Callable[[int], bytes], relay_state: str = "") -> AuthnRequest:
        """A signed request. Raises `ProviderUnavailable`, and `ValueError` where the provider takes none."""


class SamlFederation(Protocol):
    """The SAML identity providers of a process, by their configuration, and the gateway as they know it."""

    async def sign_in(self, configured: SamlProvider, settings: Settings) -> SamlSignIn:
        """The sign-in at a configured identity provider."""

    async def metadata(self, settings: Settings) -> bytes:
        """The gateway's own metadata as a service provider, signed."""


async def verify(
    saml: SamlFederation,
    snapshot: Snapshot,
    provider_arn: str,
    raw_response: str,
    *,
    in_response_to: str | None = None,
    allow_unsolicited: bool | None = None,
) -> SamlIdentity:
    """Verify a response, by which its assertion is used up, at the provider of this ARN.

    Raises:
        InvalidIdentityToken, ExpiredIdentityToken, IDPCommunicationError: with the reason for the audit trail.
        AccessDenied: the assertion names nobody.
    """
    with in_aws_words():
        sign_in = await saml.sign_in(_configured(snapshot, provider_arn), snapshot.settings)
        try:
            return await sign_in.verify(
                SamlResponse(raw_response), in_response_to=in_response_to, allow_unsolicited=allow_unsolicited
            )
        except ProofRejected as error:
            if error.reason != "subject":
                raise
            raise AccessDenied(error.sentence, detail={"reason": error.reason}) from error


async def begin(
    saml: SamlFederation, snapshot: Snapshot, provider_arn: str, *, random: Random, relay_state: str
) -> AuthnRequest:
    """A request for authentication at the provider of this ARN.

    Raises:
        InvalidIdentityToken, IDPCommunicationError: there is no such provider, or it cannot be asked.
    """
    with in_aws_words():
        sign_in = await saml.sign_in(_configured(snapshot, provider_arn), snapshot.settings)
        try:
            return await sign_in.begin(random=random, relay_state=relay_state)
        except ValueError as error:
            raise IDPCommunicationError(
                "This identity provider takes no requests; begin at its own portal.",
                detail={"reason": "metadata", "detail": str(error)},
            ) from error


def _configured(snapshot: Snapshot, provider_arn: str) -> SamlProvider:
    configured = snapshot.saml_provider(provider_arn)
    if configured is None:
        raise InvalidIdentityToken("Specified provider doesn't exist")
    return configured
