"""IAM EnableMFADevice: a device for a user who shows two of its codes in a row."""

from dataclasses import dataclass

from broker.api.call import Call
from broker.api.iam.mfa import AUTHENTICATION_CODE, SERIAL_NUMBER
from broker.api.iam.shapes import CALLERS, EXISTING_NAME
from broker.api.iam.users import named_user, user_resource
from broker.api.params import param
from broker.api.query import Action, Result
from broker.flows import mfa_devices


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of EnableMFADevice."""

    user_name: str = param("UserName", EXISTING_NAME)
    serial_number: str = param("SerialNumber", SERIAL_NUMBER)
    first: str = param("AuthenticationCode1", AUTHENTICATION_CODE, secret=True)
    second: str = param("AuthenticationCode2", AUTHENTICATION_CODE, secret=True)


async def run(call: Call, request: Request) -> Result:
    """Give it to the user."""
    user = named_user(call, request.user_name)
    await mfa_devices.enable(call.services, call.snapshot, user, request.serial_number, request.first, request.second)
    return None


ACTION = Action(
    request=Request,
    run=run,
    permission="iam:EnableMFADevice",
    resource=user_resource,
    callers=CALLERS,
    audited=("UserName", "SerialNumber"),
)
