"""RotateSigningKeys: new keys, published at once and signing as soon as every process knows them.

With `EndSessions`, the emergency: the old keys are gone at once, and with them every session.
"""

from dataclasses import dataclass

from broker.api.admin.shapes import CALLERS, signing_keys
from broker.api.params import param
from broker.api.query import Action, Call, Result
from broker.api.rules import boolean
from broker.flows.signing_keys import replace, rotate


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameter of RotateSigningKeys."""

    end_sessions: bool = param("EndSessions", boolean(), default=False)


async def run(call: Call, request: Request) -> Result:
    """Rotate, and tell the keys as they are now."""
    if request.end_sessions:
        ended = await replace(call.services, call.snapshot, call.signer, call.wire)
        keys = call.services.keyring.published()
        call.event.response = {"keyIds": [key.kid for key in keys], "sessionsEnded": ended}
        return {**signing_keys(keys, call.services.now()), "Revoked": ended}
    keys = await rotate(call.services, call.snapshot, call.signer)
    now = call.services.now()
    call.event.response = {"keyIds": [key.kid for key in keys if now < key.active_from]}
    return signing_keys(keys, now)


ACTION = Action(
    request=Request, run=run, permission="broker:RotateSigningKeys", callers=CALLERS, audited=("EndSessions",)
)
