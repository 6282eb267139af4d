"""STS GetSessionToken: temporary credentials of the user itself. No policy is asked."""

from dataclasses import dataclass
from datetime import timedelta

from broker.api.params import param
from broker.api.query import Action, Call, Result
from broker.api.rules import seconds
from broker.api.sts.shapes import SERIAL_NUMBER, TOKEN_CODE, credentials, record_session
from broker.flows.mfa import presented, verify_callers_code
from broker.flows.user_sessions import session_token


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of GetSessionToken."""

    duration: timedelta = param("DurationSeconds", seconds(900, 129_600), default=timedelta(hours=12))
    serial_number: str | None = param("SerialNumber", SERIAL_NUMBER, default=None)
    token_code: str | None = param("TokenCode", TOKEN_CODE, default=None, secret=True)


async def run(call: Call, request: Request) -> Result:
    """Mint a session of the user, which keeps that a second factor was verified."""
    shown = presented(request.serial_number, request.token_code)
    if shown is not None:
        await verify_callers_code(call.services, call.snapshot, call.signer, call.wire, shown)
    minted = await session_token(
        call.services, call.signer, call.wire, request.duration, code_verified=shown is not None
    )
    record_session(call, minted.session)
    return {"Credentials": credentials(minted.credentials)}


ACTION = Action(
    request=Request,
    run=run,
    callers=(None,),
    misfit="Cannot call GetSessionToken with session credentials",
    audited=("DurationSeconds", "SerialNumber"),
)
