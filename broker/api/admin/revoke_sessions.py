"""RevokeSessions: credentials that are worth nothing from now on, in every process."""

from dataclasses import dataclass

from broker.api.admin.shapes import CALLERS, FILTERS, Filters
from broker.api.params import param
from broker.api.query import Action, Call, Result
from broker.api.rules import integer
from broker.flows.administer import revoke_sessions

_MOST = 10_000
"""In one call: some two seconds of work, and an audit event within CloudTrail's 256 KB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Filters):
    """The parameters of RevokeSessions."""

    max_items: int = param("MaxItems", integer(1, _MOST), default=_MOST)


async def run(call: Call, request: Request) -> Result:
    """Revoke them; where there are more than fit one call, it says so: call again."""
    revoked = await revoke_sessions(
        call.services, call.snapshot, call.signer, call.wire, request.wanted, limit=request.max_items
    )
    call.event.response = {"accessKeyIds": [session.access_key_id for session in revoked.sessions]}
    return {"Revoked": len(revoked.sessions), "IsTruncated": revoked.more}


# The flow asks for the permission, on each session.
ACTION = Action(request=Request, run=run, callers=CALLERS, audited=(*FILTERS, "MaxItems"))
