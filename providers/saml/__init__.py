"""SAML 2.0 single sign-on: a service provider and the identity providers that it trusts; begin at `provider`."""
