"""IAM ListMFADevices: the devices of a user, by default the caller; a root user has none."""

from dataclasses import dataclass

from broker.api.call import Call
from broker.api.iam.paging import DEFAULT_ITEMS, page
from broker.api.iam.shapes import EXISTING_NAME, MARKER, MAX_ITEMS, UNKNOWN_DATE
from broker.api.iam.users import WITH_ROOT, is_root, named_user, user_resource
from broker.api.params import param
from broker.api.query import Action, Result
from broker.flows import mfa_devices


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of ListMFADevices."""

    user_name: str | None = param("UserName", EXISTING_NAME, default=None)
    max_items: int = param("MaxItems", MAX_ITEMS, default=DEFAULT_ITEMS)
    marker: str | None = param("Marker", MARKER, default=None)


async def run(call: Call, request: Request) -> Result:
    """One page of them."""
    if is_root(call, request.user_name):
        return {"MFADevices": [], "IsTruncated": False}
    user = named_user(call, request.user_name)
    found = await mfa_devices.of_user(call.services, call.snapshot, user)
    shown, marker = page(found, lambda each: each.place, of="MFA", max_items=request.max_items, marker=request.marker)
    devices = [
        {
            "UserName": user.name,
            "SerialNumber": each.serial_number,
            "EnableDate": each.enabled_at or UNKNOWN_DATE,
        }
        for each in shown
    ]
    return {"MFADevices": devices, "IsTruncated": marker is not None, "Marker": marker}


ACTION = Action(
    request=Request,
    run=run,
    permission="iam:ListMFADevices",
    resource=user_resource,
    callers=WITH_ROOT,
    audited=("UserName", "MaxItems"),
)
