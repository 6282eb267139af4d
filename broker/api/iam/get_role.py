"""IAM GetRole: one role of the caller's account, its trust policy included."""

from dataclasses import dataclass

from broker.api.call import Call
from broker.api.iam.shapes import CALLERS, ROLE_NAME, entity_arn, own_account, role
from broker.api.params import param
from broker.api.query import Action, Result
from broker.errors import NoSuchEntity


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of GetRole."""

    name: str = param("RoleName", ROLE_NAME)


def resource(call: Call, request: Request) -> str:
    """The role's ARN; that of a role at the root path where there is none."""
    found = own_account(call).roles.get(request.name)
    return found.arn if found is not None else entity_arn(call, "role", request.name)


async def run(call: Call, request: Request) -> Result:
    """Look it up by its exact name."""
    found = own_account(call).roles.get(request.name)
    if found is None:
        raise NoSuchEntity(f"The role with name {request.name} cannot be found.")
    return {"Role": role(found, detailed=True)}


ACTION = Action(
    request=Request, run=run, permission="iam:GetRole", resource=resource, callers=CALLERS, audited=("RoleName",)
)
