"""A person's entry: found by name, read strictly, and whether the account is in use."""

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from providers.errors import ProofRejected
from providers.ldap.config import LdapConfig
from providers.ldap.names import filter_value, inside, normal_form, parse_dn, rdn_value
from providers.ldap.servers import Visit
from providers.ldap.wire import BASE, Entry, NoSuchObject, ServerFailed, TooMany
from providers.refusal import refused
from providers.spelling import comparable

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What names an entry for good, best first: Active Directory, OpenLDAP and RFC 4530, 389 Directory Server, FreeIPA.
_BINARY_KEY = "objectGUID"
_TEXT_KEYS = ("entryUUID", "nsUniqueId", "ipaUniqueID")
_KEY_FORM = re.compile(r"[0-9A-Fa-f-]{16,64}")
_NEVER = 0x7FFFFFFFFFFFFFFF
_WINDOWS_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ACCOUNT_DISABLED = 0x2


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapUser:
    """A person of the directory, as found; nobody has proved to be this person.

    `subject`: names the entry for good, through renames. `username`: the entry's own name, not the presented one, so
    that aliases and other spellings give the same. `tags`: session tags. `attributes`: condition keys.
    `disabled`: why the account is not in use, None where it is.
    """

    subject: str
    dn: str
    username: str
    groups: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    mapped: Mapping[str, str] = field(default_factory=dict)
    member_of: tuple[str, ...] = ()
    disabled: str | None = None

    @property
    def attributes(self) -> dict[str, tuple[str, ...]]:
        """Condition key to values."""
        keys: dict[str, tuple[str, ...]] = {f"ldap:{name}": (value,) for name, value in self.mapped.items()}
        keys |= {"ldap:username": (self.username,), "ldap:dn": (self.dn,)}
        if self.groups:
            keys["ldap:groups"] = self.groups
        return keys


def find(visit: Visit, config: LdapConfig, username: str, now: datetime) -> LdapUser:
    """The one person of that name. Raises `ProofRejected` where there is none, several, or one out of place."""
    text = config.user_search_filter.replace("{username}", filter_value(username))
    try:
        entries = visit.search(config.user_search_base, text, _wanted(config), limit=1)
    except TooMany:
        raise refused("ambiguous", "several entries have this name") from None
    except NoSuchObject:
        raise ServerFailed("the base of the search for users does not exist") from None
    if not entries:
        raise refused("unknown_user")
    return _user(entries[0], config, username, now)


def find_again(visit: Visit, config: LdapConfig, subject: str, now: datetime) -> LdapUser | None:
    """The person that `subject` names, None where the entry is gone or no longer one that may sign in."""
    kind, _, key = subject.partition(":")
    if kind == _BINARY_KEY:
        octets = "".join(f"\\{octet:02x}" for octet in uuid.UUID(key).bytes_le)
        named = f"({kind}={octets})"
    elif kind in _TEXT_KEYS:
        named = f"({kind}={filter_value(key)})"
    else:
        named = None
    try:
        if named is not None:
            entries = visit.search(config.user_search_base, named, _wanted(config), limit=1)
        else:
            entries = visit.search(key, "(objectClass=*)", _wanted(config), limit=1, scope=BASE)
        if not entries:
            return None
        user = _user(entries[0], config, None, now)
        # The filter may say more than the name: a class, a group, a flag.
        text = config.user_search_filter.replace("{username}", filter_value(user.username))
        still = visit.search(user.dn, text, ["1.1"], limit=1, scope=BASE)
    except (NoSuchObject, TooMany, ProofRejected):
        return None
    return user if still and user.subject == subject else None


def text_of(value: bytes) -> str:
    """A value as text. Raises `ProofRejected` for what is none, or would not survive a log or XML."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise refused("attributes", "a value is not UTF-8") from None
    if _CONTROL.search(text):
        raise refused("attributes", "a value has control characters")
    return text


def _wanted(config: LdapConfig) -> list[str]:
    names = [*config.name_attributes, *config.session_tags.values(), _BINARY_KEY, *_TEXT_KEYS, *_DISABLED_BY]
    if config.group_search_base is None:
        names.append("memberOf")
    return list(dict.fromkeys(names))


def _user(entry: Entry, config: LdapConfig, presented: str | None, now: datetime) -> LdapUser:
    try:
        dn, base = parse_dn(entry.dn), parse_dn(config.user_search_base)
    except ValueError as error:
        raise refused("misplaced", f"the entry's name cannot be read: {error}") from error
    if not inside(dn, base):
        raise refused("misplaced", "the entry is not under the base of the search")
    mapped: dict[str, str] = {}
    tags: dict[str, str] = {}
    for key, attribute in config.session_tags.items():
        values = entry.attributes.get(attribute.lower(), ())
        if len(values) > 1:
            raise refused("attributes", f"the attribute {attribute} has several values")
        for value in values:
            tags[key] = mapped[attribute] = text_of(value)
    return LdapUser(
        subject=_subject(entry) or f"dn:{normal_form(dn)}",
        dn=text_of(entry.dn.encode()),
        username=_username(entry, config, presented),
        tags=tags,
        mapped=mapped,
        member_of=tuple(text_of(value) for value in entry.attributes.get("memberof", ())),
        disabled=_disabled(entry, now),
    )


def _subject(entry: Entry) -> str | None:
    binary = entry.attributes.get(_BINARY_KEY.lower(), ())
    if len(binary) == 1 and len(binary[0]) == 16:
        return f"{_BINARY_KEY}:{uuid.UUID(bytes_le=binary[0])}"
    for kind in _TEXT_KEYS:
        values = entry.attributes.get(kind.lower(), ())
        if len(values) == 1 and _KEY_FORM.fullmatch(text := values[0].decode("ascii", "replace")):
            return f"{kind}:{text.lower()}"
    return None


def _username(entry: Entry, config: LdapConfig, presented: str | None) -> str:
    """The entry's own name: of the first attribute that the filter compares, the value in its distinguished name.

    Without one there the first in order, for a directory may give values in any order.
    """
    for attribute in config.name_attributes:
        values = [text_of(value) for value in entry.attributes.get(attribute.lower(), ())]
        if values:
            in_dn = rdn_value(entry.dn, attribute)
            chosen = [value for value in values if in_dn is not None and comparable(value) == comparable(in_dn)]
            return min(chosen or values)
    raise refused("attributes", f"the entry has no {' or '.join(config.name_attributes)} (asked for {presented!r})")


def _number(value: bytes) -> int:
    return int(value.decode("ascii"))


def _account_expired(value: bytes, now: datetime) -> bool:
    ticks = _number(value)  # of 100 nanoseconds
    return ticks not in (0, _NEVER) and _WINDOWS_EPOCH + timedelta(microseconds=ticks // 10) <= now


def _shadow_expired(value: bytes, now: datetime) -> bool:
    days = _number(value)
    return days > 0 and _UNIX_EPOCH + timedelta(days=days) <= now


def _true(value: bytes, _: datetime) -> bool:
    return value.lower() == b"true"


# Attribute to (whether its value shuts the account, why). A value that cannot be read shuts it, too.
_DISABLED_BY: Mapping[str, tuple[Callable[[bytes, datetime], bool], str]] = {
    "userAccountControl": (lambda value, _: bool(_number(value) & _ACCOUNT_DISABLED), "disabled"),
    "accountExpires": (_account_expired, "expired"),
    "shadowExpire": (_shadow_expired, "expired"),
    "nsAccountLock": (_true, "disabled"),
    "loginDisabled": (_true, "disabled"),
    # ppolicy's mark of an account that was locked for good, by an administrator.
    "pwdAccountLockedTime": (lambda value, _: value == b"000001010000Z", "locked"),
}


def _disabled(entry: Entry, now: datetime) -> str | None:
    for attribute, (shut, why) in _DISABLED_BY.items():
        for value in entry.attributes.get(attribute.lower(), ()):
            try:
                if shut(value, now):
                    return why
            except (ValueError, OverflowError):
                return why
    return None
