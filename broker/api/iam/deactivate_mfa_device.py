"""IAM DeactivateMFADevice: take a device from its user."""

from dataclasses import dataclass

from broker.api.call import Call
from broker.api.iam.mfa import SERIAL_NUMBER
from broker.api.iam.shapes import CALLERS, EXISTING_NAME
from broker.api.iam.users import named_user, user_resource
from broker.api.params import param
from broker.api.query import Action, Result
from broker.flows import mfa_devices


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of DeactivateMFADevice."""

    user_name: str | None = param("UserName", EXISTING_NAME, default=None)
    serial_number: str = param("SerialNumber", SERIAL_NUMBER)


async def run(call: Call, request: Request) -> Result:
    """Take it."""
    user = named_user(call, request.user_name)
    await mfa_devices.deactivate(call.services, call.snapshot, user, request.serial_number)
    return None


ACTION = Action(
    request=Request,
    run=run,
    permission="iam:DeactivateMFADevice",
    resource=user_resource,
    callers=CALLERS,
    audited=("UserName", "SerialNumber"),
)
