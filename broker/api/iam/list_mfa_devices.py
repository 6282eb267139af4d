"""IAM ListMFADevices: the devices of a user, by default the caller; a root user has none."""

from dataclasses import dataclass

from broker.api.call import Call
from broker.api.iam.paging import Paged, page
from broker.api.iam.shapes import EXISTING_NAME, UNKNOWN_DATE
from broker.api.iam.users import WITH_ROOT, is_root, named_user, user_resource
from broker.api.params import param
from broker.api.query import Action, Result
from broker.flows import mfa_devices


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Paged):
    """The parameters of ListMFADevices."""

    user_name: str | None = param("UserName", EXISTING_NAME, default=None)


async def run(call: Call, request: Request) -> Result:
    """One page of them."""
    if is_root(call, request.user_name):
        return {"MFADevices": [], "IsTruncated": False}
    user = named_user(call, request.user_name)
    found = await mfa_devices.of_user(call.services, call.snapshot, user)
    shown, rest = page(found, lambda each: each.place, request, of="MFA")
    devices = [
        {
            "UserName": user.name,
            "SerialNumber": each.serial_number,
            "EnableDate": each.enabled_at or UNKNOWN_DATE,
        }
        for each in shown
    ]
    return {"MFADevices": devices, **rest}


ACTION = Action(
    request=Request,
    run=run,
    permission="iam:ListMFADevices",
    resource=user_resource,
    callers=WITH_ROOT,
    audited=("UserName", "MaxItems"),
)
