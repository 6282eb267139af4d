"""IAM GetUser: one user of the caller's account, by default the caller."""

from dataclasses import dataclass

from broker.api.call import Call
from broker.api.iam.shapes import EXISTING_NAME, UNKNOWN_DATE, user
from broker.api.iam.users import WITH_ROOT, is_root, named_user, user_resource
from broker.api.params import param
from broker.api.query import Action, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of GetUser."""

    user_name: str | None = param("UserName", EXISTING_NAME, default=None)


async def run(call: Call, request: Request) -> Result:
    """Look it up by its exact name; a root user has no name and no path."""
    if is_root(call, request.user_name):
        root = call.signer
        return {"User": {"UserId": root.user_id, "Arn": root.principal.arn, "CreateDate": UNKNOWN_DATE}}
    return {"User": user(named_user(call, request.user_name), detailed=True)}


ACTION = Action(
    request=Request,
    run=run,
    permission="iam:GetUser",
    resource=user_resource,
    callers=WITH_ROOT,
    audited=("UserName",),
)
