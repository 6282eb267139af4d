"""SAML 2.0 sign-in for people: the gateway's metadata, the way to the identity provider, and the way back."""
