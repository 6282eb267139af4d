"""A SAML response becomes an identity, and a person is sent to sign in; the provider's verdict in AWS's words."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from broker.directory.model import SamlProvider, Snapshot
from broker.errors import AccessDenied, BrokerError, IDPCommunicationError, InvalidIdentityToken
from broker.flows.federate import in_aws_words
from broker.ids import Random
from broker.settings import Settings
from providers.contract import SamlIdentity, SamlResponse
from providers.errors import ProofRejected, ProviderUnavailable

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

    @property
    def known_issuer(self) -> str | None:
        """The identity provider's entity id where it is known at once."""

    async def issuer(self) -> str:
        """The identity provider's entity id. Raises `ProviderUnavailable`."""

    def restate(self, identity: SamlIdentity) -> SamlIdentity:
        """What another provider of the very same metadata verified, as this one would have put it."""

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

    async def issuer_of(self, raw: str) -> str | None:
        """What a response says its issuer is, unverified. Raises `ProofRejected` and `ProviderUnavailable`."""

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


async def verify_for_all(
    saml: SamlFederation, snapshot: Snapshot, provider_arn: str, raw_response: str, *, in_response_to: str
) -> Mapping[str, SamlIdentity]:
    """As `verify`, for a response to the request that was sent to the provider of this ARN.

    One person's roles may lie in several accounts, each of which has a provider with the same metadata: the identity is
    given by ARN for each of those that the assertion names, and for the one that was asked.
    """
    identity = await verify(saml, snapshot, provider_arn, raw_response, in_response_to=in_response_to)
    return await _restated(saml, snapshot, _configured(snapshot, provider_arn), identity, unsolicited=False)


async def verify_unsolicited(
    saml: SamlFederation,
    snapshot: Snapshot,
    raw_response: str,
    *,
    account: str | None = None,
    allow_unsolicited: bool = False,
) -> Mapping[str, SamlIdentity]:
    """As `verify_for_all`, for a response that answers no request: by its issuer, at providers that allow such ones.

    `account`: whose providers alone are asked. `allow_unsolicited`: whether all of them allow it.
    """
    with in_aws_words():
        issuer = await saml.issuer_of(raw_response)
    refusal: BrokerError = InvalidIdentityToken("Issuer not present in specified provider")
    tried: list[SamlProvider] = []
    sign_ins = await _sign_ins(saml, snapshot, account)
    # Whose metadata must come from afar yet is asked last: the others do not wait for his address to answer.
    sign_ins.sort(key=lambda each: (each[1].known_issuer is None, each[0].metadata_url is not None))
    for configured, sign_in in sign_ins:
        if any(_same_metadata(configured, each) for each in tried):
            continue
        try:
            if (sign_in.known_issuer or await sign_in.issuer()) != issuer:
                continue
        except ProviderUnavailable:
            continue  # reported to the operator; the others serve
        if not (allow_unsolicited or configured.allow_idp_initiated):
            refusal = InvalidIdentityToken(
                "Sign-in must begin here: this identity provider may not send responses that were not asked for.",
                detail={"reason": "unsolicited"},
            )
            continue
        tried.append(configured)
        try:
            identity = await verify(saml, snapshot, configured.arn, raw_response, allow_unsolicited=True)
        except InvalidIdentityToken as error:
            if error.detail is None or error.detail["reason"] != "signature":
                raise
            refusal = error  # another provider of this entity id may have the key
            continue
        return await _restated(saml, snapshot, configured, identity, unsolicited=not allow_unsolicited)
    raise refusal


async def _sign_ins(
    saml: SamlFederation, snapshot: Snapshot, account: str | None
) -> list[tuple[SamlProvider, SamlSignIn]]:
    """Of the providers of `account`, or of all, those that are usable as configured."""
    found = []
    for configured in _all(snapshot):
        if account in (None, configured.account):
            with suppress(ProviderUnavailable):  # reported to the operator
                found.append((configured, await saml.sign_in(configured, snapshot.settings)))
    return found


async def _restated(
    saml: SamlFederation, snapshot: Snapshot, verifier: SamlProvider, identity: SamlIdentity, *, unsolicited: bool
) -> Mapping[str, SamlIdentity]:
    named = {provider_arn for _, provider_arn in identity.roles}
    restated = {verifier.arn: identity}
    for configured in _all(snapshot):
        if configured.arn not in named or configured.arn in restated or not _same_metadata(configured, verifier):
            continue
        if unsolicited and not configured.allow_idp_initiated:
            continue
        with in_aws_words():
            sign_in = await saml.sign_in(configured, snapshot.settings)
        restated[configured.arn] = sign_in.restate(identity)
    return restated


def _all(snapshot: Snapshot) -> Sequence[SamlProvider]:
    found = (each for account in snapshot.accounts.values() for each in account.saml_providers.values())
    return sorted(found, key=lambda each: each.arn)


def _same_metadata(one: SamlProvider, other: SamlProvider) -> bool:
    """Whether both trust the same keys, now and later."""
    return (one.metadata, one.metadata_url, _content(one)) == (other.metadata, other.metadata_url, _content(other))


def _content(configured: SamlProvider) -> bytes | None:
    file = configured.metadata_certificate_file
    return file.content if file is not None else None


def _configured(snapshot: Snapshot, provider_arn: str) -> SamlProvider:
    configured = snapshot.saml_provider(provider_arn)
    if configured is None:
        raise InvalidIdentityToken("Specified provider doesn't exist")
    return configured
