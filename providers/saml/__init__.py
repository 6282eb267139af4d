"""SAML 2.0 single sign-on: a service provider and the identity providers that it trusts."""

from providers.saml.metadata import IdpMetadata, MetadataFault, parse_metadata
from providers.saml.provider import SamlConfig, SamlProvider
from providers.saml.service_provider import ServiceProvider, SignInRequest
from providers.saml.source import Times
from providers.saml.workers import Workers

__all__ = [
    "IdpMetadata",
    "MetadataFault",
    "SamlConfig",
    "SamlProvider",
    "ServiceProvider",
    "SignInRequest",
    "Times",
    "Workers",
    "parse_metadata",
]
