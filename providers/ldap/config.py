"""What an LDAP provider needs to know."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from providers.ldap.names import parse_dn

_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,254}")
_RESERVED = frozenset(("username", "dn", "groups"))
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_COMPARED_WITH_NAME = re.compile(r"\(\s*([A-Za-z][A-Za-z0-9-]*)\s*=\s*\{username\}\s*\)")
_LDAP_PORT, _LDAPS_PORT = 389, 636


@dataclass(frozen=True, slots=True)
class Address:
    """One server of a directory."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        return f"{'ldaps' if self.tls else 'ldap'}://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapConfig:
    """One directory: its servers, in the order in which they are tried, and where people and groups are in it.

    `issuer`: what the identities name as their issuer, the provider's ARN. `ca_file`: PEM, in place of the system's
    roots. `bind_dn`, `bind_password`: the service account that searches; both None for anonymous searches.
    `{username}` and `{dn}` in the filters are replaced by escaped values. `group_search_base` None: the groups are
    those that the user's `memberOf` names. `group_name_attribute`: `dn` for the groups' distinguished names.
    `session_tags`: tag key to attribute. `timeout`: of a whole sign-in. `nested_groups`: groups of groups count.
    `threads`: sign-ins at once; `waiting`: how many more may queue. `first_pause`: how long a server that failed is
    passed over, doubled with each failure in a row up to `longest_pause`.
    Raises `ValueError` that says what is wrong.
    """

    issuer: str
    urls: tuple[str, ...]
    start_tls: bool = False
    allow_plaintext: bool = False
    ca_file: Path | None = None
    bind_dn: str | None = None
    bind_password: str | None = field(default=None, repr=False)
    user_search_base: str
    user_search_filter: str = "(uid={username})"
    group_search_base: str | None = None
    group_search_filter: str = "(member={dn})"
    group_name_attribute: str = "cn"
    session_tags: Mapping[str, str] = field(default_factory=dict)
    timeout: timedelta = timedelta(seconds=5)
    nested_groups: bool = False
    threads: int = 3
    waiting: int = 60
    first_pause: timedelta = timedelta(seconds=1)
    longest_pause: timedelta = timedelta(seconds=30)

    def __post_init__(self) -> None:
        if not self.urls:
            raise ValueError("a directory needs at least one URL")
        for address in self.addresses:
            if address.tls and self.start_tls:
                raise ValueError(f"{address} is encrypted already; StartTLS is for ldap://")
            encrypted = address.tls or self.start_tls
            if not encrypted and not self.allow_plaintext and not _is_loopback(address.host):
                raise ValueError(f"{address} would get passwords unencrypted")
        if (self.bind_dn is None) != (self.bind_password is None) or self.bind_dn == "" or self.bind_password == "":
            raise ValueError("the service account needs a name and a password, or neither for anonymous searches")
        if not parse_dn(self.user_search_base):
            raise ValueError("the base of the search for users may not be empty")
        if self.group_search_base is not None:
            parse_dn(self.group_search_base)
        _require_placeholders(self.user_search_filter, allowed={"username"}, one_of={"username"})
        _require_placeholders(self.group_search_filter, allowed={"username", "dn"}, one_of={"username", "dn"})
        if not self.name_attributes:
            raise ValueError("the filter for users must compare an attribute with the name, as (uid={username}) does")
        for attribute in (self.group_name_attribute, *self.session_tags.values()):
            if _ATTRIBUTE.fullmatch(attribute) is None:
                raise ValueError(f"{attribute!r} is not an attribute's name")
        if taken := _RESERVED.intersection(name.lower() for name in self.session_tags.values()):
            raise ValueError(f"the condition key ldap:{min(taken)} has a meaning of its own")
        if self.timeout <= timedelta():
            raise ValueError("the time-out must be positive")
        if self.threads < 1 or self.waiting < 0:
            raise ValueError("a directory needs at least one thread and a queue of no negative length")

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The URLs taken apart."""
        return tuple(_address(url) for url in self.urls)

    @property
    def name_attributes(self) -> tuple[str, ...]:
        """The attributes that the filter for users compares with the presented name, in its order."""
        return tuple(dict.fromkeys(_COMPARED_WITH_NAME.findall(self.user_search_filter)))


def _address(url: str) -> Address:
    parts = urlsplit(url)
    if parts.scheme not in ("ldap", "ldaps") or not parts.hostname or parts.path.strip("/") or parts.username:
        raise ValueError(f"{url!r} is not ldap://HOST[:PORT] or ldaps://HOST[:PORT]")
    if parts.query or parts.fragment:
        raise ValueError(f"{url!r} may not have a query or a fragment")
    tls = parts.scheme == "ldaps"
    return Address(parts.hostname, parts.port or (_LDAPS_PORT if tls else _LDAP_PORT), tls)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _require_placeholders(text: str, *, allowed: set[str], one_of: set[str]) -> None:
    used = set(_PLACEHOLDER.findall(text))
    if not text.startswith("(") or not text.endswith(")") or used - allowed or not used & one_of:
        raise ValueError(f"{text!r} is not a filter in parentheses with {' or '.join(sorted(one_of))} in braces")
