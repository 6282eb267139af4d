"""IAM DeactivateMFADevice: take a device from its user.

Beyond AWS's: without a UserName, the security key of a directory's person, who is no user of IAM.
"""

from dataclasses import dataclass

from broker.api.call import Call
from broker.api.iam.mfa import SERIAL_NUMBER
from broker.api.iam.shapes import CALLERS, EXISTING_NAME
from broker.api.iam.users import named_user, user_resource
from broker.api.params import param
from broker.api.query import Action, Result
from broker.directory.security_keys import KeyHolder
from broker.flows import mfa_devices


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of DeactivateMFADevice."""

    user_name: str | None = param("UserName", EXISTING_NAME, default=None)
    serial_number: str = param("SerialNumber", SERIAL_NUMBER)


async def run(call: Call, request: Request) -> Result:
    """Take it."""
    person = _person(call, request)
    if person is not None:
        await mfa_devices.deactivate_in_directory(call.services, person, request.serial_number)
        return None
    user = named_user(call, request.user_name)
    await mfa_devices.deactivate(call.services, call.snapshot, user, request.serial_number)
    return None


def _person(call: Call, request: Request) -> KeyHolder | None:
    if request.user_name is not None:
        return None
    return KeyHolder.of_directory(call.signer.principal.account, request.serial_number)


def _resource(call: Call, request: Request) -> str:
    return request.serial_number if _person(call, request) is not None else user_resource(call, request)


ACTION = Action(
    request=Request,
    run=run,
    permission="iam:DeactivateMFADevice",
    resource=_resource,
    callers=CALLERS,
    audited=("UserName", "SerialNumber"),
)
