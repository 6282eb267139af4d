"""STS AssumeRole: a signed caller for role credentials, in its own account or another."""

from dataclasses import dataclass

from broker.api.params import param
from broker.api.query import Action, Call, Result
from broker.api.rules import arn
from broker.api.sts.shapes import (
    EXTERNAL_ID,
    SERIAL_NUMBER,
    SESSION_AUDITED,
    SESSION_NAME,
    TOKEN_CODE,
    SessionParameters,
    role_session,
)
from broker.arn import Arn
from broker.flows.assume import assume
from broker.flows.mfa import presented, verify_callers_code
from broker.flows.requester import Requester
from broker.sessions.model import SessionKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(SessionParameters):
    """The parameters of AssumeRole."""

    role_arn: Arn = param("RoleArn", arn())
    session_name: str = param("RoleSessionName", SESSION_NAME)
    external_id: str | None = param("ExternalId", EXTERNAL_ID, default=None)
    serial_number: str | None = param("SerialNumber", SERIAL_NUMBER, default=None)
    token_code: str | None = param("TokenCode", TOKEN_CODE, default=None, secret=True)


async def run(call: Call, request: Request) -> Result:
    """Assume the role, with a second factor where a code is given."""
    shown = presented(request.serial_number, request.token_code)
    if shown is not None:
        await verify_callers_code(call.services, call.snapshot, call.signer, call.wire, shown)
    requester = Requester.calling(call.signer, call.services.now(), code_verified=True if shown is not None else None)
    asked = request.of(
        str(request.role_arn), request.session_name, action="sts:AssumeRole", external_id=request.external_id
    )
    return role_session(call, await assume(call.services, call.snapshot, requester, call.wire, asked))


ACTION = Action(
    request=Request,
    run=run,
    callers=(None, SessionKind.ASSUMED_ROLE, SessionKind.USER),
    audited=(*SESSION_AUDITED, "ExternalId", "SerialNumber"),
)
