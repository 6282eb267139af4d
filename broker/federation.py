"""The identity providers of a process: made from the configuration when first asked, kept while it stays the same."""

import asyncio
import logging

import aiohttp

from broker.clock import Now
from broker.directory.model import Account, CertificateProvider, LdapProvider, OidcProvider
from providers.contract import ClientCertificate, IdToken, Once, Password, Verifier
from providers.errors import ProviderUnavailable
from providers.jwks import KeySets
from providers.ldap import LdapConfig
from providers.ldap import LdapProvider as LdapVerifier
from providers.oidc import OidcConfig, peek_issuer
from providers.oidc import OidcProvider as OidcVerifier
from providers.password import LocalUser, PasswordHashes, PasswordProvider
from providers.pool import Pool
from providers.x509 import CertificateConfig
from providers.x509 import CertificateProvider as CertificateVerifier

log = logging.getLogger(__name__)


class Providers:
    """A `Federation`. One instance a process; `session` makes its outgoing requests."""

    def __init__(self, session: aiohttp.ClientSession, once: Once, now: Now) -> None:
        self._session = session
        self._key_sets = KeySets(session)
        self._once = once
        self._now = now
        self._oidc: dict[str, tuple[OidcProvider, OidcVerifier]] = {}
        self._ldap: dict[str, tuple[LdapProvider, LdapVerifier]] = {}
        self._certificate: dict[str, tuple[CertificateProvider, CertificateVerifier]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._hashes = PasswordHashes()
        # A certificate takes a fraction of a millisecond, a long revocation list that was just read some forty.
        self._certificate_pool = Pool("x509", threads=1, waiting=200)

    def issuer_of(self, raw: str) -> str:
        """See `Federation`."""
        return peek_issuer(raw)

    def oidc(self, configured: OidcProvider) -> Verifier[IdToken]:
        """See `Federation`. Raises `ProviderUnavailable` where the configured files are unusable by now."""
        kept = self._oidc.get(configured.arn)
        if kept is not None and (kept[0] is configured or kept[0] == configured):
            return kept[1]
        try:
            verifier = self._make(configured)
        except (ValueError, OSError) as error:
            raise _unusable(configured.arn, error) from error
        self._oidc[configured.arn] = (configured, verifier)
        return verifier

    def ldap(self, configured: LdapProvider) -> LdapVerifier:
        """See `Federation`. Raises `ProviderUnavailable` where the CA file is unusable by now."""
        kept = self._ldap.get(configured.arn)
        if kept is not None and (kept[0] is configured or kept[0] == configured):
            return kept[1]
        try:
            verifier = LdapVerifier(_ldap_config(configured), now=self._now)
        except (ValueError, OSError) as error:
            raise _unusable(configured.arn, error) from error
        if kept is not None:
            closing = asyncio.ensure_future(_close_later(*kept))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        self._ldap[configured.arn] = (configured, verifier)
        return verifier

    def certificate(self, configured: CertificateProvider) -> Verifier[ClientCertificate]:
        """See `Federation`."""
        kept = self._certificate.get(configured.arn)
        if kept is not None and (kept[0] is configured or kept[0] == configured):
            verifier = kept[1]
        else:
            config = CertificateConfig(
                issuer=configured.arn,
                authorities=configured.ca_file.content,
                revocation_lists=configured.crl_file.content if configured.crl_file is not None else None,
            )
            verifier = CertificateVerifier(config, now=self._now, pool=self._certificate_pool)
        # Lists can be long: they are compared once after a reload, not at each request.
        self._certificate[configured.arn] = (configured, verifier)
        return verifier

    def local(self, account: Account) -> Verifier[Password]:
        """See `Federation`."""

        def find(name: str) -> LocalUser | None:
            user = account.users.get(name)
            if user is None or user.password_hash is None:
                return None
            return LocalUser(subject=user.arn, username=user.name, password_hash=user.password_hash)

        return PasswordProvider(account.id, find, self._hashes, now=self._now)

    async def close(self) -> None:
        """Stop fetching keys, and close the outgoing connections."""
        for closing in self._closing:
            closing.cancel()
        for _, verifier in self._ldap.values():
            await verifier.close()
        self._hashes.close()
        self._certificate_pool.close()
        await self._key_sets.close()
        await self._session.close()

    def _make(self, configured: OidcProvider) -> OidcVerifier:
        config = OidcConfig(
            issuer=configured.url,
            audiences=frozenset(configured.client_ids),
            jwks=configured.jwks_file.content if configured.jwks_file is not None else None,
            ca_file=configured.ca_file.path if configured.ca_file is not None else None,
            allow_http=configured.allow_http,
            session_tags=configured.session_tags,
            max_token_age=configured.max_token_age,
            single_use=configured.single_use,
        )
        return OidcVerifier(config, once=self._once, now=self._now, key_sets=self._key_sets)


async def _close_later(configured: LdapProvider, verifier: LdapVerifier) -> None:
    """Close what a reload replaced, once the sign-ins that began with it have ended."""
    try:
        await asyncio.sleep(2 * configured.timeout.total_seconds())
    finally:
        await verifier.close()


def _ldap_config(configured: LdapProvider) -> LdapConfig:
    return LdapConfig(
        issuer=configured.arn,
        urls=configured.urls,
        start_tls=configured.start_tls,
        allow_plaintext=configured.allow_plaintext,
        ca_file=configured.ca_file.path if configured.ca_file is not None else None,
        bind_dn=configured.bind_dn,
        bind_password=configured.bind_password,
        user_search_base=configured.user_search_base,
        user_search_filter=configured.user_search_filter,
        group_search_base=configured.group_search_base,
        group_search_filter=configured.group_search_filter,
        group_name_attribute=configured.group_name_attribute,
        session_tags=configured.session_tags,
        timeout=configured.timeout,
        nested_groups=configured.nested_groups,
    )


def _unusable(arn: str, error: Exception) -> ProviderUnavailable:
    log.error("%s cannot be used: %s", arn, error)
    return ProviderUnavailable(
        "The identity provider is not usable as it is configured.", reason="configuration", detail=str(error)
    )
