"""Whom an action is about: the user that its `UserName` names, by default the caller (AWS IAM API Reference)."""

from typing import Any, Final

from broker.api.call import Call
from broker.api.iam.shapes import CALLERS, entity_arn, own_account
from broker.directory.model import User
from broker.errors import NoSuchEntity, ValidationError
from broker.policy import PrincipalKind
from broker.sessions.model import SessionKind

WITH_ROOT: Final = (*CALLERS, SessionKind.ROOT)
"""Actions that a root session may call, about the root user where no name is given."""


def is_root(call: Call, name: str | None) -> bool:
    """Whether the action is about the account's root user."""
    return name is None and call.signer.principal.kind is PrincipalKind.ROOT


def named_user(call: Call, name: str | None) -> User:
    """The user of that name in the caller's account, by default the caller. Raises `NoSuchEntity`."""
    name = _name(call, name)
    found = own_account(call).users.get(name)
    if found is None:
        raise NoSuchEntity(f"The user with name {name} cannot be found.")
    return found


def user_resource(call: Call, request: Any) -> str:
    """The ARN of the user in question; that of a user at the root path where there is none."""
    if is_root(call, request.user_name):
        return call.signer.principal.arn
    name = _name(call, request.user_name)
    found = own_account(call).users.get(name)
    return found.arn if found is not None else entity_arn(call, "user", name)


def _name(call: Call, name: str | None) -> str:
    if name is not None:
        return name
    caller = call.signer.user
    if caller is None:
        raise ValidationError("Must specify userName when calling with non-User credentials")
    return caller.name
