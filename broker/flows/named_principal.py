"""The ARN of a caller to the principal that policies see, of every kind that has an ARN."""

import re
from typing import Final

from broker.arn import Arn, account_root, assumed_role, is_account_id
from broker.errors import InvalidInput
from broker.policy import Principal, PrincipalKind

UNKNOWN: Final = "*"
"""Stands in an ARN for a name that the simulation was not told; no policy can name it."""

_NAME = r"[A-Za-z0-9_+=,.@-]+"
_PATH = r"(?:[!-)+->@-~]+/)?"
_USER = re.compile(rf"(?:user|group)/{_PATH}{_NAME}")
_ROLE = re.compile(rf"role/{_PATH}({_NAME})")
_SESSION = re.compile(rf"assumed-role/({_NAME})/{_NAME}")
_FEDERATED_USER = re.compile(rf"federated-user/{_NAME}")
_PROVIDER = re.compile(r"(?:saml|oidc|ldap|certificate)-provider/[^\s*?]+")


def named_principal(text: str, *, federated: bool = False, place: str = "CallerArn") -> Principal:
    """The principal of an ARN. A role stands for any session of it, a group for any member.

    `federated`: it is a session that the user (or the root) made by GetFederationToken.
    Raises `InvalidInput` at `place`.
    """
    arn = read_arn(place, text)
    if arn.region or not is_account_id(arn.account):
        raise InvalidInput(f"{place}: {text!r} names no account of twelve digits.")
    account, partition, resource = arn.account, arn.partition, arn.resource
    principal: Principal | None = None
    if arn.service == "iam":
        if text == account_root(account, partition):
            principal = Principal(PrincipalKind.ROOT, text, account)
        elif _USER.fullmatch(resource):
            principal = Principal(PrincipalKind.USER, text, account)
        elif match := _ROLE.fullmatch(resource):
            session = assumed_role(account, match[1], UNKNOWN, partition)
            principal = Principal(PrincipalKind.ASSUMED_ROLE, session, account, parent=text)
        elif _PROVIDER.fullmatch(resource):
            principal = Principal(PrincipalKind.PROVIDER, text, account)
    elif arn.service == "sts":
        if match := _SESSION.fullmatch(resource):
            role = f"arn:{partition}:iam::{account}:role/{match[1]}"
            principal = Principal(PrincipalKind.ASSUMED_ROLE, text, account, parent=role)
        elif _FEDERATED_USER.fullmatch(resource):
            # Not None, which would say that the root made it, and that it needs no identity policy.
            return Principal(PrincipalKind.FEDERATED_USER, text, account, parent=UNKNOWN)
    if principal is None:
        raise InvalidInput(
            f"{place}: {text!r} is not the ARN of a user, group, role, assumed-role session, federated user, "
            "account root or identity provider."
        )
    if not federated:
        return principal
    if principal.kind is PrincipalKind.USER:
        return Principal(PrincipalKind.FEDERATED_USER, text, account, parent=text)
    if principal.kind is PrincipalKind.ROOT:
        return Principal(PrincipalKind.FEDERATED_USER, text, account)
    raise InvalidInput(f"FederatedSession: {text!r} cannot call GetFederationToken; only a user or the root can.")


def read_arn(place: str, text: str) -> Arn:
    """An ARN's parts. Raises `InvalidInput` at `place`."""
    try:
        return Arn.parse(text)
    except ValueError as error:
        raise InvalidInput(f"{place}: {text!r} is not an ARN.") from error
