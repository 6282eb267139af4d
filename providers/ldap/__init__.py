"""Passwords against LDAP directories and Active Directory."""

from providers.ldap.config import LdapConfig
from providers.ldap.provider import Gate, LdapProvider
from providers.ldap.users import LdapUser

__all__ = ["Gate", "LdapConfig", "LdapProvider", "LdapUser"]
