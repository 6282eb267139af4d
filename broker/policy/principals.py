"""Principals: who calls, and whom a policy names (IAM User Guide, "AWS JSON policy elements: Principal").

States, from the weakest match to the strongest: an entry may name the account (which then decides by its own
identity policies), the parent (a session's role, a federated session's user), or the caller itself.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple


class PrincipalKind(StrEnum):
    """What a caller is."""

    ROOT = "root"
    USER = "user"
    ASSUMED_ROLE = "assumedRole"
    FEDERATED_USER = "federatedUser"
    PROVIDER = "provider"
    SERVICE = "service"
    ANONYMOUS = "anonymous"


class Principal(NamedTuple):
    """A caller.

    `arn`: the user's ARN, the session's, the account root's, the identity provider's, or the service's name.
    `account`: twelve digits, "" for services and anonymous callers. `parent`: of a role session its role's ARN with
    path, of a federated user the user's ARN, None where the account root made it. `unique_id`: that of the user
    or role, so that a document which names a bare id can match.
    """

    kind: PrincipalKind
    arn: str
    account: str
    parent: str | None = None
    unique_id: str | None = None


ANONYMOUS: Final = Principal(PrincipalKind.ANONYMOUS, "*", "")


class Match(IntEnum):
    """How a policy's Principal element matches a caller, weakest first.

    EVERYONE is `*`, as strong as DIRECT. In a trust policy `*` is no more than ACCOUNT for a caller that has one.
    """

    NONE = 0
    ACCOUNT = 1
    PARENT = 2
    EVERYONE = 3
    DIRECT = 4


class EntryKind(StrEnum):
    """What an entry of a Principal element names."""

    EVERYONE = "everyone"
    ACCOUNT = "account"
    USER = "user"
    ROLE = "role"
    SESSION = "session"
    FEDERATED_USER = "federatedUser"
    UNIQUE_ID = "uniqueId"
    PROVIDER = "provider"
    SERVICE = "service"
    CANONICAL_USER = "canonicalUser"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a Principal element. `type` and `value` are as the document has them; `*` alone has type AWS.

    `name` is what callers are compared with: the account id, `partition:account:name` of a role, else the value.
    """

    kind: EntryKind
    type: str
    value: str
    name: str


_PARTITION = r"[a-z][a-z0-9-]*"
_NAME = r"[A-Za-z0-9_+=,.@-]+"
_PATH = r"(?:[!-)+->@-~]+/)?"
_ACCOUNT = re.compile(r"[0-9]{12}")
_IAM = re.compile(rf"arn:({_PARTITION}):iam::([0-9]{{12}}):(?:(root)|(user|role)/{_PATH}({_NAME}))")
_STS = re.compile(rf"arn:({_PARTITION}):sts::([0-9]{{12}}):(?:assumed-role/({_NAME})/{_NAME}|federated-user/{_NAME})")
_UNIQUE_ID = re.compile(r"A(?:IDA|ROA)[A-Z0-9]{12,124}")
_PROVIDER = re.compile(rf"arn:{_PARTITION}:iam::[0-9]{{12}}:(?:saml|oidc|ldap|certificate)-provider/[^\s*?]+")
_WELL_KNOWN_PROVIDERS: Final = (
    "accounts.google.com",
    "www.amazon.com",
    "graph.facebook.com",
    "cognito-identity.amazonaws.com",
)
_SERVICE = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_CANONICAL = re.compile(r"[0-9a-f]{64}")
_GROUP = re.compile(rf"arn:{_PARTITION}:iam::[0-9]{{12}}:group/.*")

PRINCIPAL_TYPES: Final = ("AWS", "Federated", "Service", "CanonicalUser")

EVERYONE: Final = Entry(EntryKind.EVERYONE, "AWS", "*", "*")


def parse_entry(kind: str, value: str) -> Entry:
    """One value of the principal type `kind`, one of `PRINCIPAL_TYPES`.

    Raises:
        ValueError: it names no principal; the message says why.
    """
    match kind:
        case "AWS":
            return _aws_entry(value)
        case "Federated":
            if value in _WELL_KNOWN_PROVIDERS or _PROVIDER.fullmatch(value):
                return Entry(EntryKind.PROVIDER, kind, value, value)
            raise ValueError(f"{value[:100]!r} is neither an identity provider's ARN nor a well-known provider")
        case "Service":
            if _SERVICE.fullmatch(value):
                return Entry(EntryKind.SERVICE, kind, value, value)
            raise ValueError(f"{value[:100]!r} is no service name, such as ec2.amazonaws.com")
        case _:
            if _CANONICAL.fullmatch(value):
                return Entry(EntryKind.CANONICAL_USER, kind, value, value)
            raise ValueError(f"{value[:100]!r} is no canonical user id of 64 hexadecimal digits")


def _aws_entry(value: str) -> Entry:
    if value == "*":
        return EVERYONE
    if _ACCOUNT.fullmatch(value):
        return Entry(EntryKind.ACCOUNT, "AWS", value, value)
    if match := _IAM.fullmatch(value):
        partition, account, root, kind, name = match.groups()
        if root:
            return Entry(EntryKind.ACCOUNT, "AWS", value, account)
        if kind == "user":
            return Entry(EntryKind.USER, "AWS", value, value)
        return Entry(EntryKind.ROLE, "AWS", value, f"{partition}:{account}:{name}")
    if match := _STS.fullmatch(value):
        return Entry(EntryKind.SESSION if match[3] else EntryKind.FEDERATED_USER, "AWS", value, value)
    if _UNIQUE_ID.fullmatch(value):
        return Entry(EntryKind.UNIQUE_ID, "AWS", value, value)
    if _GROUP.fullmatch(value):
        raise ValueError(f"{value[:100]!r} is a group, which cannot be a principal")
    if "*" in value or "?" in value:
        raise ValueError(
            f'{value[:100]!r} has a wildcard, which a principal cannot have; use "*" with ArnLike on aws:PrincipalArn'
        )
    if value.isascii() and value.isdigit():
        raise ValueError(f"{value[:100]!r} is no account id of twelve digits")
    if value.startswith("arn:"):
        raise ValueError(f"{value[:100]!r} is not the ARN of an account, user, role or session")
    raise ValueError(f"{value[:100]!r} is no account id, unique id or ARN")


def _role_name(principal: Principal) -> str:
    """`partition:account:name`, from the session's own ARN, which has no path."""
    parts = principal.arn.split(":", 5)
    if len(parts) != 6:
        return ""
    return f"{parts[1]}:{parts[4]}:{parts[5].split('/')[1] if '/' in parts[5] else ''}"


_IN_ACCOUNT: Final = frozenset(
    {PrincipalKind.ROOT, PrincipalKind.USER, PrincipalKind.ASSUMED_ROLE, PrincipalKind.FEDERATED_USER}
)


def entry_match(entry: Entry, principal: Principal, *, trust: bool = False) -> Match:
    """How one entry matches the caller."""
    kind = principal.kind
    match entry.kind:
        case EntryKind.EVERYONE:
            return Match.ACCOUNT if trust and kind in _IN_ACCOUNT else Match.EVERYONE
        case EntryKind.ACCOUNT:
            return Match.ACCOUNT if kind in _IN_ACCOUNT and principal.account == entry.name else Match.NONE
        case EntryKind.ROLE:
            return (
                Match.PARENT
                if kind is PrincipalKind.ASSUMED_ROLE and _role_name(principal) == entry.name
                else Match.NONE
            )
        case EntryKind.UNIQUE_ID:
            if principal.unique_id != entry.name:
                return Match.NONE
            return Match.DIRECT if kind is PrincipalKind.USER else Match.PARENT
        case EntryKind.CANONICAL_USER:
            return Match.NONE
        case EntryKind.USER if kind is PrincipalKind.FEDERATED_USER:
            return Match.PARENT if principal.parent == entry.name else Match.NONE
        case _:
            return Match.DIRECT if kind is _NAMED[entry.kind] and principal.arn == entry.name else Match.NONE


_NAMED: Final = {
    EntryKind.USER: PrincipalKind.USER,
    EntryKind.SESSION: PrincipalKind.ASSUMED_ROLE,
    EntryKind.FEDERATED_USER: PrincipalKind.FEDERATED_USER,
    EntryKind.PROVIDER: PrincipalKind.PROVIDER,
    EntryKind.SERVICE: PrincipalKind.SERVICE,
}


def principal_match(entries: Sequence[Entry], principal: Principal, *, trust: bool) -> Match:
    """The strongest match of a Principal element, in a `trust` policy or another resource's."""
    return max((entry_match(entry, principal, trust=trust) for entry in entries), default=Match.NONE)


def not_principal_match(entries: Sequence[Entry], principal: Principal, *, deny: bool, bounded: bool) -> Match:
    """How a NotPrincipal element matches, where `bounded` says that the caller has a permissions boundary.

    A Deny spares only callers listed in full: the user and its account; the session, its role and its account; the
    federated session, its user and its account. With a boundary it spares nobody. An Allow leaves out whom any
    entry names, and leaves to the others' own accounts whether they may.
    """
    found = {entry_match(entry, principal) for entry in entries}
    if not deny:
        if found - {Match.NONE}:
            return Match.NONE
        return Match.ACCOUNT if principal.kind in _IN_ACCOUNT else Match.EVERYONE
    if bounded:
        return Match.EVERYONE
    return Match.NONE if Match.EVERYONE in found or _needed(principal) <= found else Match.EVERYONE


def _needed(principal: Principal) -> set[Match]:
    match principal.kind:
        case PrincipalKind.ROOT:
            return {Match.ACCOUNT}
        case PrincipalKind.USER:
            return {Match.DIRECT, Match.ACCOUNT}
        case PrincipalKind.ASSUMED_ROLE:
            return {Match.DIRECT, Match.PARENT, Match.ACCOUNT}
        case PrincipalKind.FEDERATED_USER:
            return {Match.DIRECT, Match.ACCOUNT} | ({Match.PARENT} if principal.parent else set())
        case PrincipalKind.PROVIDER | PrincipalKind.SERVICE | PrincipalKind.ANONYMOUS:
            return {Match.DIRECT}
