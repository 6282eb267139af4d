"""The AWS STS API, version 2011-06-15: a new action is one module and one row."""

from broker.api.query import Action, Service
from broker.api.render import STS
from broker.api.sts import (
    assume_role,
    assume_role_with_certificate,
    assume_role_with_ldap_identity,
    assume_role_with_saml,
    assume_role_with_web_identity,
    assume_root,
    decode_authorization_message,
    get_access_key_info,
    get_caller_identity,
    get_federation_token,
    get_session_token,
    get_web_identity_token,
)

VERSION = "2011-06-15"

ACTIONS: dict[str, Action] = {
    "AssumeRole": assume_role.ACTION,
    "AssumeRoleWithCertificate": assume_role_with_certificate.ACTION,
    "AssumeRoleWithLDAPIdentity": assume_role_with_ldap_identity.ACTION,
    "AssumeRoleWithSAML": assume_role_with_saml.ACTION,
    "AssumeRoleWithWebIdentity": assume_role_with_web_identity.ACTION,
    "AssumeRoot": assume_root.ACTION,
    "DecodeAuthorizationMessage": decode_authorization_message.ACTION,
    "GetAccessKeyInfo": get_access_key_info.ACTION,
    "GetCallerIdentity": get_caller_identity.ACTION,
    "GetFederationToken": get_federation_token.ACTION,
    "GetSessionToken": get_session_token.ACTION,
    "GetWebIdentityToken": get_web_identity_token.ACTION,
}

SERVICE = Service("sts", STS, ACTIONS)
