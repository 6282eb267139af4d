"""IAM ListVirtualMFADevices: the devices of the caller's account; never a seed."""

from dataclasses import dataclass

from broker.api.call import Call
from broker.api.iam.paging import DEFAULT_ITEMS, page
from broker.api.iam.shapes import CALLERS, MARKER, MAX_ITEMS, UNKNOWN_DATE, own_account, user
from broker.api.params import param
from broker.api.query import Action, Result
from broker.api.rules import choice
from broker.flows import mfa_devices


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of ListVirtualMFADevices."""

    status: str = param("AssignmentStatus", choice("Assigned", "Unassigned", "Any"), default="Any")
    max_items: int = param("MaxItems", MAX_ITEMS, default=DEFAULT_ITEMS)
    marker: str | None = param("Marker", MARKER, default=None)


async def run(call: Call, request: Request) -> Result:
    """One page of them."""
    found = await mfa_devices.of_account(call.services, call.snapshot, own_account(call))
    wanted = [each for each in found if request.status in ("Any", "Assigned" if each.assigned else "Unassigned")]
    shown, marker = page(wanted, lambda each: each.place, of="MFA", max_items=request.max_items, marker=request.marker)
    devices = [
        {
            "SerialNumber": each.serial_number,
            "User": user(each.user) if each.user is not None else None,
            "EnableDate": (each.enabled_at or UNKNOWN_DATE) if each.assigned else None,
        }
        for each in shown
    ]
    return {"VirtualMFADevices": devices, "IsTruncated": marker is not None, "Marker": marker}


ACTION = Action(
    request=Request,
    run=run,
    permission="iam:ListVirtualMFADevices",
    callers=CALLERS,
    audited=("AssignmentStatus", "MaxItems"),
)
