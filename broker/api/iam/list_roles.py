"""IAM ListRoles: the roles of the caller's account."""

from dataclasses import dataclass

from broker.api.call import Call
from broker.api.iam.paging import DEFAULT_ITEMS, page
from broker.api.iam.shapes import CALLERS, MARKER, MAX_ITEMS, PATH_PREFIX, entity_arn, own_account, role, under
from broker.api.params import param
from broker.api.query import Action, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of ListRoles."""

    path_prefix: str = param("PathPrefix", PATH_PREFIX, default="/")
    max_items: int = param("MaxItems", MAX_ITEMS, default=DEFAULT_ITEMS)
    marker: str | None = param("Marker", MARKER, default=None)


async def run(call: Call, request: Request) -> Result:
    """One page of them."""
    found = under(request.path_prefix, own_account(call).roles.values())
    shown, marker = page(
        found, lambda each: each.name.lower(), of="ListRoles", max_items=request.max_items, marker=request.marker
    )
    return {"Roles": [role(each) for each in shown], "IsTruncated": marker is not None, "Marker": marker}


ACTION = Action(
    request=Request,
    run=run,
    permission="iam:ListRoles",
    resource=lambda call, request: entity_arn(call, "role", "", request.path_prefix),
    callers=CALLERS,
    audited=("PathPrefix", "MaxItems"),
    bulky=True,
)
