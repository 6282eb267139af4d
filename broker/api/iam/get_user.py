"""IAM GetUser: one user of the caller's account, by default the caller."""

from dataclasses import dataclass

from broker.api.call import Call
from broker.api.iam.shapes import CALLERS, EXISTING_NAME, entity_arn, own_account, user
from broker.api.params import param
from broker.api.query import Action, Result
from broker.errors import NoSuchEntity, ValidationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of GetUser."""

    name: str | None = param("UserName", EXISTING_NAME, default=None)


def _name(call: Call, request: Request) -> str:
    if request.name is not None:
        return request.name
    caller = call.signer.user
    if caller is None:
        raise ValidationError("Must specify userName when calling with non-User credentials")
    return caller.name


def resource(call: Call, request: Request) -> str:
    """The user's ARN; that of a user at the root path where there is none."""
    name = _name(call, request)
    found = own_account(call).users.get(name)
    return found.arn if found is not None else entity_arn(call, "user", name)


async def run(call: Call, request: Request) -> Result:
    """Look it up by its exact name."""
    name = _name(call, request)
    found = own_account(call).users.get(name)
    if found is None:
        raise NoSuchEntity(f"The user with name {name} cannot be found.")
    return {"User": user(found, detailed=True)}


ACTION = Action(
    request=Request, run=run, permission="iam:GetUser", resource=resource, callers=CALLERS, audited=("UserName",)
)
