"""STS GetCallerIdentity: whose credentials these are. No policy can forbid it."""

from dataclasses import dataclass

from broker.api.query import Action, Call, Result
from broker.sessions.model import SessionKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """GetCallerIdentity has no parameters."""


async def run(call: Call, _request: Request) -> Result:
    """Name the caller."""
    caller = call.signer
    return {"Arn": caller.principal.arn, "UserId": caller.user_id, "Account": caller.principal.account}


ACTION = Action(request=Request, run=run, callers=(None, *SessionKind))
