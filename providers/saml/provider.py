"""SAML 2.0 sign-in at one identity provider (SAML Profiles §4.1, STS AssumeRoleWithSAML)."""

import asyncio
import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from providers.contract import Now, Once, SamlIdentity, SamlResponse
from providers.errors import ProofRejected
from providers.saml.attributes import MULTIVALUED, condition_keys, session_attributes
from providers.saml.names import NAME_ID_FORMATS
from providers.saml.response import Expectation, VerifiedAssertion
from providers.saml.service_provider import ServiceProvider, SignInRequest
from providers.saml.source import FixedMetadata, MetadataSource, RemoteMetadata, Times
from providers.saml.workers import Workers

_CARRIED = ("saml:namequalifier", "saml:sub", "saml:sub_type")


@dataclass(frozen=True, slots=True, kw_only=True)
class SamlConfig:
    """One identity provider: `account` and `name` as in its ARN, and its metadata.

    Either `metadata` (the document), or `metadata_url` with `metadata_certificates` (PEM; one has signed it).
    `skew`: for clocks that differ. Raises `ValueError` that says what is wrong.
    """

    account: str
    name: str
    metadata: str | None = field(default=None, repr=False)
    metadata_url: str | None = None
    metadata_certificates: bytes | None = None
    allow_idp_initiated: bool = False
    skew: timedelta = timedelta(seconds=30)

    def __post_init__(self) -> None:
        if (self.metadata is None) == (self.metadata_url is None):
            raise ValueError("an identity provider needs its metadata or the address of it, and not both")
        if (self.metadata_url is None) != (self.metadata_certificates is None):
            raise ValueError("the address of metadata and the certificate that signed it belong together")
        if not timedelta() <= self.skew <= timedelta(minutes=3):
            raise ValueError("the skew must be between none and 3 minutes")


class SamlProvider:
    """A `Verifier[SamlResponse]`."""

    def __init__(
        self,
        config: SamlConfig,
        service_provider: ServiceProvider,
        *,
        session: aiohttp.ClientSession,
        workers: Workers,
        once: Once,
        now: Now,
        times: Times | None = None,
    ) -> None:
        """Raises `ValueError` for an unusable address or certificate; faults of the metadata are in `fault`."""
        self.config = config
        self._service_provider = service_provider
        self._workers = workers
        self._once = once
        self._now = now
        self._metadata: MetadataSource
        if config.metadata_url is not None:
            certificates = x509.load_pem_x509_certificates(config.metadata_certificates or b"")
            self._metadata = RemoteMetadata(
                config.metadata_url,
                [certificate.public_bytes(serialization.Encoding.DER) for certificate in certificates],
                session=session,
                workers=workers,
                now=now,
                times=times,
            )
        else:
            self._metadata = FixedMetadata(config.metadata or "", workers=workers, now=now)

    @property
    def fault(self) -> str | None:
        """What is wrong with the newest metadata, for the operator. Known after `issuer` or another use."""
        return self._metadata.fault

    @property
    def known_issuer(self) -> str | None:
        """The identity provider's entity id, None while its metadata was never read."""
        return self._metadata.known.entity_id if self._metadata.known is not None else None

    async def issuer(self) -> str:
        """The identity provider's entity id, from its metadata, which is read with that.

        Raises `ProviderUnavailable`, as every use will, until it can be read.
        """
        return (await self._metadata.current()).entity_id

    async def verify(
        self, proof: SamlResponse, *, in_response_to: str | None = None, allow_unsolicited: bool | None = None
    ) -> SamlIdentity:
        """`in_response_to`: the id of the request that the response must answer; None: it must answer none.

        `allow_unsolicited`: whether one that answers none is accepted; None: as configured.
        Raises `ProofRejected`, `ProofExpired`, `ProviderUnavailable`, and what `Once` raises.
        """
        unsolicited = self.config.allow_idp_initiated if allow_unsolicited is None else allow_unsolicited
        if in_response_to is None and not unsolicited:
            raise ProofRejected(
                "Sign-in must begin here: this identity provider may not send responses that were not asked for.",
                reason="unsolicited",
            )
        idp = await self._metadata.current()
        expected = Expectation(
            issuer=idp.entity_id,
            keys=idp.keys,
            audiences=self._service_provider.audiences | {self._service_provider.entity_id},
            recipients=self._service_provider.recipients | {self._service_provider.acs_url},
            in_response_to=in_response_to,
            decryption_keys=self._service_provider.encryption_keys,
            skew=self.config.skew,
            now=self._now(),
        )
        assertion = await self._workers.verify_response(proof.raw, expected)
        identity = self._identity(assertion)
        await self._require_first_use(assertion)
        return identity

    async def begin(self, *, random: Callable[[int], bytes], relay_state: str = "") -> SignInRequest:
        """A signed request for authentication. Keep its id for `verify`.

        Raises `ProviderUnavailable`, and `ValueError` as `ServiceProvider.request`.
        """
        idp = await self._metadata.current()
        return await asyncio.to_thread(
            self._service_provider.request, idp, nonce=random(16), now=self._now(), relay_state=relay_state
        )

    def restate(self, identity: SamlIdentity) -> SamlIdentity:
        """What another provider of the very same metadata verified, as this one would have put it."""
        own, name_qualifier = self._names(identity.issuer)
        names = {"saml:namequalifier": (name_qualifier,), "saml:doc": (own,)}
        return replace(identity, attributes={**identity.attributes, **names}, name_qualifier=name_qualifier)

    async def close(self) -> None:
        """Stop reading metadata."""
        await self._metadata.close()

    def _identity(self, assertion: VerifiedAssertion) -> SamlIdentity:
        asked = session_attributes(assertion.attributes)
        own, name_qualifier = self._names(assertion.issuer)
        subject_type = assertion.subject_format.removeprefix(NAME_ID_FORMATS)
        attributes = condition_keys(assertion.attributes) | {
            "saml:aud": (assertion.recipient,),
            "saml:iss": (assertion.issuer,),
            "saml:sub": (assertion.subject,),
            "saml:sub_type": (subject_type,),
            "saml:namequalifier": (name_qualifier,),
            "saml:doc": (own,),
        }
        return SamlIdentity(
            issuer=assertion.issuer,
            subject=assertion.subject,
            audience=assertion.recipient,
            authenticated_at=assertion.authenticated_at,
            expires_at=assertion.expires_at,
            session_until=assertion.session_until,
            attributes=attributes,
            multivalued=MULTIVALUED & attributes.keys(),
            carried=_CARRIED,
            session_name=asked.session_name,
            session_tags=asked.tags,
            transitive_tag_keys=asked.transitive_tag_keys,
            source_identity=asked.source_identity,
            roles=asked.roles,
            subject_type=subject_type,
            name_qualifier=name_qualifier,
            session_duration=asked.duration,
        )

    def _names(self, issuer: str) -> tuple[str, str]:
        """`saml:doc` and `saml:namequalifier`: the only keys that depend on the provider, not on the assertion."""
        own = f"{self.config.account}/{self.config.name}"
        digest = hashlib.sha1(f"{issuer}{own}".encode(), usedforsecurity=False).digest()
        return own, base64.b64encode(digest).decode("ascii")

    async def _require_first_use(self, assertion: VerifiedAssertion) -> None:
        first = await self._once.claim(
            "saml",
            hashlib.sha256(f"{assertion.issuer}\0{assertion.id}".encode()).hexdigest(),
            issued_at=assertion.issued_at,
            until=assertion.expires_at,
        )
        if not first:
            raise ProofRejected("The SAML assertion was used before; sign in again.", reason="replayed")
