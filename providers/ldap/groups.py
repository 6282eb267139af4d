"""Which groups a person is in: by search or by `memberOf`, groups of groups included where that is configured."""

import re
from collections.abc import Iterable

from providers.ldap.config import LdapConfig
from providers.ldap.names import Dn, filter_value, parse_dn, rdn_value
from providers.ldap.servers import Visit
from providers.ldap.users import LdapUser, text_of
from providers.ldap.wire import BASE, Entry, NoSuchObject, ServerFailed, TooMany
from providers.refusal import refused

# LDAP_MATCHING_RULE_IN_CHAIN, with which Active Directory follows groups of groups itself.
_IN_CHAIN = "1.2.840.113556.1.4.1941"
_MEMBER = re.compile(r"\(\s*([A-Za-z][A-Za-z0-9-]*)\s*=\s*\{dn\}\s*\)")
_PLACEHOLDER = re.compile(r"\{(dn|username)\}")
_MOST_GROUPS = 1000  # what Active Directory answers at most in one search
_DEEPEST = 16
_AT_ONCE = 20  # groups per search for their groups


def groups_of(visit: Visit, config: LdapConfig, user: LdapUser) -> tuple[str, ...]:
    """The names of the groups, sorted. Raises `ProofRejected` where they cannot be told completely."""
    found = _by_member_of(visit, config, user) if config.group_search_base is None else _by_search(visit, config, user)
    return tuple(sorted(found))


def _by_search(visit: Visit, config: LdapConfig, user: LdapUser) -> set[str]:
    text = config.group_search_filter
    if config.nested_groups and visit.is_active_directory():
        return _names(config, _search(visit, config, _MEMBER.sub(rf"(\1:{_IN_CHAIN}:={{dn}})", text), [user.dn], user))
    entries = _search(visit, config, text, [user.dn], user)
    names, seen = _names(config, entries), {_dn(entry.dn) for entry in entries}
    for _ in range(_DEEPEST if config.nested_groups and "{dn}" in text else 0):
        found = [
            entry
            for some in _chunks([entry.dn for entry in entries])
            for entry in _search(visit, config, text, some, None)
        ]
        entries = _unseen(found, seen)
        if not entries:
            return names
        names |= _names(config, entries)
    if config.nested_groups and entries and "{dn}" in text:
        raise refused("groups", f"groups are nested more than {_DEEPEST} deep")
    return names


def _search(
    visit: Visit, config: LdapConfig, text: str, dns: Iterable[str], user: LdapUser | None
) -> tuple[Entry, ...]:
    # A group has no user name: its own distinguished name stands in, which is nobody's.
    filters = [_filled(text, dn=dn, username=user.username if user is not None else dn) for dn in dns]
    attributes = ["1.1"] if config.group_name_attribute == "dn" else [config.group_name_attribute]
    try:
        return visit.search(
            config.group_search_base or "",
            filters[0] if len(filters) == 1 else f"(|{''.join(filters)})",
            attributes,
            limit=_MOST_GROUPS,
        )
    except TooMany:
        raise refused("groups", f"there are more than {_MOST_GROUPS} groups") from None
    except NoSuchObject:
        raise ServerFailed("the base of the search for groups does not exist") from None


def _filled(text: str, *, dn: str, username: str) -> str:
    values = {"dn": dn, "username": username}
    return _PLACEHOLDER.sub(lambda found: filter_value(values[found[1]]), text)


def _by_member_of(visit: Visit, config: LdapConfig, user: LdapUser) -> set[str]:
    names: set[str] = set()
    seen: set[Dn] = set()
    level: list[str] = list(user.member_of)
    for _ in range(_DEEPEST):
        above: list[str] = []
        for dn in level:
            if (parsed := _dn(dn)) in seen:
                continue
            seen.add(parsed)
            if len(seen) > _MOST_GROUPS:
                raise refused("groups", f"there are more than {_MOST_GROUPS} groups")
            own, parents = _group(visit, config, dn)
            names |= own
            above += parents
        level = above
        if not level or not config.nested_groups:
            return names
    raise refused("groups", f"groups are nested more than {_DEEPEST} deep")


def _group(visit: Visit, config: LdapConfig, dn: str) -> tuple[set[str], list[str]]:
    """The names of the group `dn`, and the groups that it is in."""
    name = dn if config.group_name_attribute == "dn" else rdn_value(dn, config.group_name_attribute)
    if name is not None and not config.nested_groups:
        return {name}, []
    try:
        entries = visit.search(dn, "(objectClass=*)", [config.group_name_attribute, "memberOf"], limit=1, scope=BASE)
    except NoSuchObject:
        return set(), []
    parents = [text_of(value) for entry in entries for value in entry.attributes.get("memberof", ())]
    return _names(config, entries), parents


def _names(config: LdapConfig, entries: Iterable[Entry]) -> set[str]:
    if config.group_name_attribute == "dn":
        return {text_of(entry.dn.encode()) for entry in entries}
    attribute = config.group_name_attribute.lower()
    return {text_of(value) for entry in entries for value in entry.attributes.get(attribute, ())}


def _unseen(entries: Iterable[Entry], seen: set[Dn]) -> tuple[Entry, ...]:
    fresh: dict[Dn, Entry] = {}
    for entry in entries:
        if (dn := _dn(entry.dn)) not in seen:
            fresh[dn] = entry
    seen.update(fresh)
    if len(seen) > _MOST_GROUPS:
        raise refused("groups", f"there are more than {_MOST_GROUPS} groups")
    return tuple(fresh.values())


def _dn(text: str) -> Dn:
    try:
        return parse_dn(text)
    except ValueError as error:
        raise refused("groups", f"a group's name cannot be read: {error}") from error


def _chunks(dns: list[str]) -> Iterable[list[str]]:
    return (dns[i : i + _AT_ONCE] for i in range(0, len(dns), _AT_ONCE))
