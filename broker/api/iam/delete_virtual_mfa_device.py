"""IAM DeleteVirtualMFADevice: remove a device that nobody has."""

from dataclasses import dataclass

from broker.api.call import Call
from broker.api.iam.mfa import SERIAL_NUMBER
from broker.api.iam.shapes import CALLERS, own_account
from broker.api.params import param
from broker.api.query import Action, Result
from broker.flows import mfa_devices


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of DeleteVirtualMFADevice."""

    serial_number: str = param("SerialNumber", SERIAL_NUMBER)


async def run(call: Call, request: Request) -> Result:
    """Remove it."""
    await mfa_devices.delete(call.services, call.snapshot, own_account(call), request.serial_number)
    return None


ACTION = Action(
    request=Request,
    run=run,
    permission="iam:DeleteVirtualMFADevice",
    resource=lambda _call, request: request.serial_number,
    callers=CALLERS,
    audited=("SerialNumber",),
)
