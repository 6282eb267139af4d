"""What the actions on MFA devices share (AWS IAM API Reference)."""

from typing import Any

from broker.api.call import Call
from broker.api.iam.shapes import entity_arn, own_account
from broker.api.rules import text
from broker.directory.model import User
from broker.errors import NoSuchEntity, ValidationError

SERIAL_NUMBER = text(9, 256, r"[\w+=/:,.@-]+")
AUTHENTICATION_CODE = text(6, 6, r"[\d]+")


def named_user(call: Call, name: str | None) -> User:
    """The user of that name in the caller's account, by default the caller. Raises `NoSuchEntity`."""
    name = _name(call, name)
    found = own_account(call).users.get(name)
    if found is None:
        raise NoSuchEntity(f"The user with name {name} cannot be found.")
    return found


def user_resource(call: Call, request: Any) -> str:
    """The ARN of the user in question; that of a user at the root path where there is none."""
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
