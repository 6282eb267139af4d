"""TLS client certificates against configured authorities (RFC 5280)."""

from providers.x509.provider import CertificateConfig, CertificateProvider

__all__ = ["CertificateConfig", "CertificateProvider"]
