"""A TLS client certificate becomes an identity: the provider that vouches for it is found, never guessed."""

from collections.abc import Sequence

from broker.directory.model import CertificateProvider, Snapshot
from broker.errors import InvalidIdentityToken, ValidationError
from broker.flows.federate import Federation, in_aws_words, trusted_providers
from providers.contract import ClientCertificate, Identity
from providers.errors import ProofError

ACTION = "sts:AssumeRoleWithCertificate"


async def by_certificate(
    federation: Federation, snapshot: Snapshot, proof: ClientCertificate, provider_arn: str | None, role_arn: str | None
) -> tuple[Identity, CertificateProvider]:
    """The identity, and who vouches for it: the named provider, else the only one of all that does, or of the role's.

    A certificate is no secret: unlike a password it may be shown to several. What is refused here is refused whatever
    the role is.

    Raises:
        InvalidIdentityToken, ExpiredIdentityToken, IDPCommunicationError: nobody does; with the reason for the audit.
        ValidationError: several do.
    """
    vouching: dict[str, tuple[Identity, CertificateProvider]] = {}
    refusals: list[ProofError] = []
    for provider in _asked(snapshot, provider_arn):
        try:
            vouching[provider.arn] = await federation.certificate(provider).verify(proof), provider
        except ProofError as error:
            refusals.append(error)
    if not vouching:
        with in_aws_words():
            # Whose authorities did not issue it at all has the least to say.
            raise min(refusals, key=lambda refusal: refusal.reason == "path")
    chosen = list(vouching)
    if len(chosen) > 1 and role_arn is not None:
        chosen = sorted(vouching.keys() & trusted_providers(snapshot, role_arn, "certificate-provider"))
    if len(chosen) != 1:
        raise ValidationError(f"ProviderArn is required: several vouch for this certificate: {', '.join(vouching)}")
    return vouching[chosen[0]]


def _asked(snapshot: Snapshot, provider_arn: str | None) -> Sequence[CertificateProvider]:
    configured = [each for account in snapshot.accounts.values() for each in account.certificate_providers.values()]
    found = [each for each in configured if provider_arn in (None, each.arn)]
    if not found:
        raise InvalidIdentityToken("No certificate provider found.")
    return found
