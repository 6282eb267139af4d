"""IAM ListVirtualMFADevices: the devices of the caller's account; never a seed."""

from dataclasses import dataclass

from broker.api.call import Call
from broker.api.iam.paging import Paged, page
from broker.api.iam.shapes import CALLERS, UNKNOWN_DATE, own_account, user
from broker.api.params import param
from broker.api.query import Action, Result
from broker.api.rules import choice
from broker.flows import mfa_devices


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Paged):
    """The parameters of ListVirtualMFADevices."""

    status: str = param("AssignmentStatus", choice("Assigned", "Unassigned", "Any"), default="Any")


async def run(call: Call, request: Request) -> Result:
    """One page of them."""
    found = await mfa_devices.of_account(call.services, call.snapshot, own_account(call))
    wanted = [each for each in found if request.status in ("Any", "Assigned" if each.assigned else "Unassigned")]
    shown, rest = page(wanted, lambda each: each.place, request, of="MFA")
    devices = [
        {
            "SerialNumber": each.serial_number,
            "User": user(each.user) if each.user is not None else None,
            "EnableDate": (each.enabled_at or UNKNOWN_DATE) if each.assigned else None,
        }
        for each in shown
    ]
    return {"VirtualMFADevices": devices, **rest}


ACTION = Action(
    request=Request,
    run=run,
    permission="iam:ListVirtualMFADevices",
    callers=CALLERS,
    audited=("AssignmentStatus", "MaxItems"),
)
