"""What the actions on MFA devices share (AWS IAM API Reference)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from broker.api.call import Call
from broker.api.iam.shapes import CALLERS, EXISTING_NAME
from broker.api.iam.users import named_user, user_resource
from broker.api.params import param
from broker.api.query import Action, Result
from broker.api.rules import text
from broker.directory.model import Snapshot, User
from broker.flows.services import Services

SERIAL_NUMBER = text(9, 256, r"[\w+=/:,.@-]+")
_AUTHENTICATION_CODE = text(6, 6, r"[\d]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoCodes:
    """A user, a device, and two codes in a row."""

    user_name: str = param("UserName", EXISTING_NAME)
    serial_number: str = param("SerialNumber", SERIAL_NUMBER)
    first: str = param("AuthenticationCode1", _AUTHENTICATION_CODE, secret=True)
    second: str = param("AuthenticationCode2", _AUTHENTICATION_CODE, secret=True)


def shown_two_codes(name: str, do: Callable[[Services, Snapshot, User, str, str, str], Awaitable[None]]) -> Action:
    """The action `name` of a user who shows two codes of a device."""

    async def run(call: Call, request: TwoCodes) -> Result:
        user = named_user(call, request.user_name)
        await do(call.services, call.snapshot, user, request.serial_number, request.first, request.second)
        return None

    return Action(
        request=TwoCodes,
        run=run,
        permission=f"iam:{name}",
        resource=user_resource,
        callers=CALLERS,
        audited=("UserName", "SerialNumber"),
    )
