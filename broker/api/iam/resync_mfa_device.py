"""IAM ResyncMFADevice: two codes in a row tell how far off a device's clock is."""

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
    """The parameters of ResyncMFADevice."""

    user_name: str = param("UserName", EXISTING_NAME)
    serial_number: str = param("SerialNumber", SERIAL_NUMBER)
    first: str = param("AuthenticationCode1", AUTHENTICATION_CODE, secret=True)
    second: str = param("AuthenticationCode2", AUTHENTICATION_CODE, secret=True)


async def run(call: Call, request: Request) -> Result:
    """Remember it."""
    user = named_user(call, request.user_name)
    await mfa_devices.resync(call.services, call.snapshot, user, request.serial_number, request.first, request.second)
    return None


ACTION = Action(
    request=Request,
    run=run,
    permission="iam:ResyncMFADevice",
    resource=user_resource,
    callers=CALLERS,
    audited=("UserName", "SerialNumber"),
)
