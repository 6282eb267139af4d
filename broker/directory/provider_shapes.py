"""What may stand in an account file for identity providers and MFA devices."""

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Annotated, Self

from cryptography.x509 import load_pem_x509_certificates
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from broker.directory.shapes import EntityPath, LongName, Properties, ProviderName, TagKey, Tags, UserName
from broker.settings.shape import FaultyPart, Many
from broker.settings.sources import LoadedFile
from broker.settings.values import CertificatesFile, File, HttpUrl, Text, http_url, is_loopback, split_url
from providers.x509.files import authorities, revocation_lists

_MIN_SEED_BYTES = 10
_YEAR = 365 * 86_400
"""Seconds; what is beyond is a slip, and far beyond no time could be reckoned with."""
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def _seed(text: str) -> str:
    seed = text.replace(" ", "").rstrip("=").upper()
    try:
        secret = base64.b32decode(seed + "=" * (-len(seed) % 8))
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) < _MIN_SEED_BYTES:
        raise ValueError(
            f"must be the base32 text of at least {_MIN_SEED_BYTES} bytes; `sojourn generate mfa-seed` makes one"
        )
    return seed


class VirtualMfaDeviceProperties(Properties):
    """`AWS::IAM::VirtualMFADevice` with its seed; `LdapUsers` are `PROVIDER/USER`."""

    virtual_mfa_device_name: LongName
    path: EntityPath = "/"
    base32_string_seed: Annotated[str, AfterValidator(_seed)] = Field(repr=False)
    users: Annotated[tuple[UserName, ...], Many] = ()
    ldap_users: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,128}/.+$")], ...], Many
    ] = ()
    tags: Tags = ()


def _issuer(url: str) -> str:
    http_url(url)
    if len(url) > 255:
        raise ValueError("must have at most 255 characters")
    return url


def _key_set(file: LoadedFile) -> LoadedFile:
    try:
        value = json.loads(file.content)
    except (ValueError, RecursionError):
        value = None
    keys = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) for key in keys):
        raise ValueError("must name a JSON Web Key Set with at least one key")
    if any(key.get("kty") == "oct" or "d" in key for key in keys):
        raise ValueError("must name a key set of public keys only")
    return file


class OidcProviderProperties(Properties):
    """`AWS::IAM::OIDCProvider`; an issuer is trusted by its certificate chain, `ThumbprintList` is not used."""

    url: Annotated[str, AfterValidator(_issuer)]
    client_id_list: Annotated[
        tuple[Annotated[str, StringConstraints(min_length=1, max_length=255)], ...],
        Many,
        Field(min_length=1, max_length=100),
    ]
    thumbprint_list: Annotated[tuple[Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{40}$")], ...], Many] = ()
    tags: Tags = ()
    jwks_file: Annotated[File, AfterValidator(_key_set)] | None = None
    ca_file: CertificatesFile | None = None
    allow_http: bool = False
    session_tags: dict[TagKey, Text] = Field(default_factory=dict)
    max_token_age_seconds: int | None = Field(default=None, ge=1, le=_YEAR)
    single_use: bool = False

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        parts = split_url(self.url)
        if parts.scheme == "http" and not self.allow_http:
            raise FaultyPart([(("Url",), "must begin with https://")])
        if self.allow_http and not is_loopback(parts.hostname or ""):
            raise FaultyPart([(("AllowHttp",), "is for an issuer on a loopback address only")])
        return self


def _metadata(text: str) -> str:
    if "EntityDescriptor" not in text:
        raise ValueError("must be a SAML metadata document with an EntityDescriptor")
    return text


def _certificate(file: LoadedFile) -> LoadedFile:
    try:
        load_pem_x509_certificates(file.content)
    except ValueError:
        raise ValueError("names a file without a PEM certificate that can be read") from None
    return file


class SamlProviderProperties(Properties):
    """`AWS::IAM::SAMLProvider`; the metadata as text, or from a URL and signed by a known certificate."""

    name: ProviderName
    saml_metadata_document: Annotated[str, Field(max_length=10_000_000), AfterValidator(_metadata)] | None = Field(
        default=None, repr=False
    )
    metadata_url: HttpUrl | None = None
    metadata_certificate_file: Annotated[File, AfterValidator(_certificate)] | None = None
    allow_idp_initiated: bool = False
    tags: Tags = ()

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.saml_metadata_document is None) == (self.metadata_url is None):
            raise ValueError("needs SamlMetadataDocument or MetadataUrl, and not both")
        if (self.metadata_url is None) != (self.metadata_certificate_file is None):
            raise ValueError("needs MetadataUrl and MetadataCertificateFile together")
        return self


def _directory_url(url: str) -> str:
    parts = split_url(url)
    if parts.scheme not in ("ldap", "ldaps") or parts.path.strip("/") or "?" in url or "#" in url or "@" in url:
        raise ValueError("must be ldap://HOST or ldaps://HOST, with or without a port")
    return url


def _filter(*names: str, required: str) -> AfterValidator:
    def check(text: str) -> str:
        if not (text.startswith("(") and text.endswith(")")) or text.count("(") != text.count(")"):
            raise ValueError("must be an LDAP filter in parentheses, as in (uid={username})")
        used = set(_PLACEHOLDER.findall(text))
        if used - set(names) or "{" in _PLACEHOLDER.sub("", text) or "}" in _PLACEHOLDER.sub("", text):
            raise ValueError(f"may use {' and '.join(f'{{{name}}}' for name in names)} only")
        if not used & set(required.split()):
            raise ValueError(f"must use {' or '.join(f'{{{name}}}' for name in required.split())}")
        return text

    return AfterValidator(check)


_ATTRIBUTE = r"^[A-Za-z][A-Za-z0-9-]{0,254}$"
AttributeName = Annotated[str, StringConstraints(pattern=_ATTRIBUTE)]
_OWN_KEYS = frozenset(("username", "dn", "groups"))
_NAME_COMPARED = re.compile(r"\(\s*[A-Za-z][A-Za-z0-9-]*\s*=\s*\{username\}\s*\)")


def _compares_the_name(text: str) -> str:
    if _NAME_COMPARED.search(text) is None:
        raise ValueError("must compare an attribute with the name, as (uid={username}) does")
    return text


class LdapProviderProperties(Properties):
    """An LDAP directory: search with the service account, then bind as the user that was found."""

    name: ProviderName
    urls: Annotated[tuple[Annotated[str, AfterValidator(_directory_url)], ...], Many, Field(min_length=1)]
    start_tls: bool = False
    allow_plaintext: bool = False
    ca_file: CertificatesFile | None = None
    bind_dn: Text | None = None
    bind_password: Text | None = Field(default=None, repr=False)
    user_search_base: Text
    user_search_filter: Annotated[str, _filter("username", required="username"), AfterValidator(_compares_the_name)] = (
        "(uid={username})"
    )
    group_search_base: Text | None = None
    group_search_filter: Annotated[str, _filter("dn", "username", required="dn username")] = "(member={dn})"
    group_name_attribute: AttributeName = "cn"
    session_tags: dict[TagKey, AttributeName] = Field(default_factory=dict)
    timeout_seconds: int = Field(default=5, ge=1, le=60)
    nested_groups: bool = False
    recheck_seconds: int | None = Field(default=None, ge=1, le=_YEAR)
    enroll_security_keys: bool = False

    @model_validator(mode="after")
    def _safe(self) -> Self:
        faults: list[tuple[tuple[str | int, ...], str]] = []
        if (self.bind_dn is None) != (self.bind_password is None):
            faults.append(((), "needs BindDn and BindPassword together"))
        for i, url in enumerate(self.urls):
            parts = split_url(url)
            if parts.scheme == "ldaps" and self.start_tls:
                faults.append((("Urls", i), "is ldaps:// already; StartTls is for ldap://"))
            plain = parts.scheme == "ldap" and not self.start_tls
            if plain and not (self.allow_plaintext or is_loopback(parts.hostname or "")):
                faults.append(
                    (("Urls", i), "would send passwords unencrypted; use ldaps://, StartTls or AllowPlaintext: true")
                )
        attributes: dict[str, str] = {}
        for key, attribute in self.session_tags.items():
            if attribute.lower() in _OWN_KEYS:
                faults.append((("SessionTags", key), f"the condition key ldap:{attribute} has a meaning of its own"))
            if attributes.setdefault(attribute.lower(), attribute) != attribute:
                faults.append((("SessionTags", key), f"must be spelt {attributes[attribute.lower()]}, as before"))
        if faults:
            raise FaultyPart(faults)
        return self


def _readable(read: Callable[[bytes], object]) -> AfterValidator:
    def check(file: LoadedFile) -> LoadedFile:
        try:
            read(file.content)
        except ValueError as error:
            raise ValueError(f"names a file that {error}") from None
        return file

    return AfterValidator(check)


class CertificateProviderProperties(Properties):
    """Authorities whose client certificates are identities, and their revocation lists."""

    name: ProviderName
    ca_file: Annotated[File, _readable(authorities)]
    crl_file: Annotated[File, _readable(revocation_lists)] | None = None
