"""The server's settings: `sojourn.yaml`, every key optional."""

import ssl
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Self

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator, model_validator

from broker.mapping.paths import PathPattern, ResourceTemplate
from broker.settings.shape import Many, Shape
from broker.settings.sources import LoadedFile
from broker.settings.values import (
    AccountId,
    BaseUrl,
    CertificatesFile,
    Duration,
    File,
    MasterKeys,
    Network,
    StoreUrl,
    Text,
    is_loopback,
)

_MIN_RSA_BITS = 2048


class TlsSettings(Shape):
    """PEM files. `client_ca`: certificate authorities of TLS client certificates; None: none is asked for."""

    certificate: File
    private_key: File = Field(repr=False)
    client_ca: CertificatesFile | None = None

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                self.certificate.path, self.private_key.path, password=_no_password
            )
        except (OSError, ValueError):
            raise ValueError(
                "certificate and private_key must be PEM files that belong together, without a password"
            ) from None
        return self


def _no_password() -> str:
    return ""


class ServerSettings(Shape):
    """`public_url` as configured; what is in force is `Settings.public_url`."""

    host: Text = "127.0.0.1"
    port: int = Field(default=8080, ge=1, le=65535)
    public_url: BaseUrl | None = None
    workers: int = Field(default=1, ge=1, le=256)
    tls: TlsSettings | None = None
    trusted_proxies: Annotated[tuple[Network, ...], Many] = ()

    @model_validator(mode="after")
    def _reachable_name(self) -> Self:
        if self.public_url is None and not is_loopback(self.host):
            raise ValueError("needs public_url, because host is not a loopback address")
        return self


class StoreSettings(Shape):
    """Where sessions and counters are kept; the URL may hold a password.

    `wait_for_replicas`: credentials are handed out only when the replicas have their session too.
    """

    url: StoreUrl = Field(default="embedded://", repr=False)
    wait_for_replicas: bool = False


class KeysSettings(Shape):
    """`master`: newest first; empty: one is made under the state directory."""

    master: MasterKeys = Field(default=(), repr=False)
    rotate_every: Duration = timedelta(days=30)

    @field_validator("rotate_every")
    @classmethod
    def _not_constantly(cls, value: timedelta) -> timedelta:
        if value < timedelta(hours=1):
            raise ValueError("must be at least 1h")
        return value


class StsSettings(Shape):
    """`regions`: credential-scope regions accepted, empty for any. `session_policy_characters`: at least AWS's own."""

    regions: Annotated[tuple[Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,63}$")], ...], Many] = ()
    partition: str = Field(default="aws", pattern=r"^[a-z][a-z0-9-]{0,31}$")
    session_policy_characters: int = Field(default=2048, ge=2048, le=131_072)


def _private_key(file: LoadedFile) -> LoadedFile:
    try:
        key = load_pem_private_key(file.content, password=None)
    except (ValueError, TypeError):
        raise ValueError("names a file without a PEM private key that can be read without a password") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < _MIN_RSA_BITS:
        raise ValueError(f"must be an RSA key of at least {_MIN_RSA_BITS} bits")
    return file


_PrivateKey = Annotated[File, AfterValidator(_private_key)]


class SamlSettings(Shape):
    """As a SAML service provider; `entity_id` as configured, in force is `Settings.saml_entity_id`."""

    entity_id: Text | None = None
    audiences: Annotated[tuple[Text, ...], Many] = ()
    recipients: Annotated[tuple[Text, ...], Many] = ()
    signing_key: _PrivateKey | None = Field(default=None, repr=False)
    encryption_keys: Annotated[tuple[_PrivateKey, ...], Many] = Field(default=(), repr=False)


class AuditSettings(Shape):
    """`path`: a file for JSON lines, relative to the configuration directory; None: standard output only."""

    path: Text | None = None


class GuessingLimit(Shape):
    """So many failures within so long."""

    failures: int = Field(ge=1)
    within: Duration


class GuessingSettings(Shape):
    """Failed passwords and codes that are borne before delays begin."""

    user: GuessingLimit = GuessingLimit(failures=10, within=timedelta(minutes=15))
    address: GuessingLimit = GuessingLimit(failures=100, within=timedelta(minutes=15))
    everyone: GuessingLimit = GuessingLimit(failures=5000, within=timedelta(minutes=15))

    @field_validator("user", "address", "everyone", mode="before")
    @classmethod
    def _rest_by_default(cls, value: object, info: ValidationInfo) -> object:
        default = cls.model_fields[info.field_name or ""].default
        return {**dict(default), **value} if isinstance(value, dict) else value


class OrganizationSettings(Shape):
    """The account whose principals administer the others; None where there is none."""

    management_account: AccountId | None = None


class ProxyRule(Shape):
    """Which action on which resource a proxied request is.

    `{name}` stands for one path segment, `{name+}` at the end for all that follow.
    """

    host: Text
    methods: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z-]{0,30}$")], ...], Many, Field(min_length=1)
    ]
    path: str = Field(pattern=r"^/")
    action: str = Field(pattern=r"^[a-z0-9-]+:[A-Za-z0-9]+$")
    resource: Text

    @model_validator(mode="after")
    def _placeholders(self) -> Self:
        ResourceTemplate(self.resource, PathPattern(self.path).names)
        return self


class ProxySettings(Shape):
    """Rules of /auth/request and /auth/ext_authz; the first match wins, no match denies."""

    rules: Annotated[tuple[ProxyRule, ...], Many] = ()


class SettingsFile(Shape):
    """All that may stand in `sojourn.yaml`."""

    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    keys: KeysSettings = KeysSettings()
    sts: StsSettings = StsSettings()
    saml: SamlSettings = SamlSettings()
    audit: AuditSettings = AuditSettings()
    guessing: GuessingSettings = GuessingSettings()
    organization: OrganizationSettings = OrganizationSettings()
    proxy: ProxySettings = ProxySettings()


class Settings(SettingsFile):
    """The settings in force. `state`: the state directory, which comes from a flag or a variable, never the file."""

    state: Path = Path("state")

    @cached_property
    def public_url(self) -> str:
        """Base of every URL handed out and issuer of tokens, without a trailing slash."""
        server = self.server
        return server.public_url or f"{'https' if server.tls else 'http'}://localhost:{server.port}"

    @cached_property
    def saml_entity_id(self) -> str:
        """The service provider's entity id."""
        return self.saml.entity_id or f"{self.public_url}/saml/metadata"
