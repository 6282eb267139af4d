"""RotateSigningKeys: new keys, published at once and signing as soon as every process knows them."""

from dataclasses import dataclass

from broker.api.admin.shapes import CALLERS, signing_keys
from broker.api.query import Action, Call, Result
from broker.flows import administer


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """RotateSigningKeys has no parameters."""


async def run(call: Call, _request: Request) -> Result:
    """Rotate, and tell the keys as they are now."""
    keys = await administer.rotate_signing_keys(call.services, call.snapshot, call.signer)
    now = call.services.now()
    call.event.response = {"keyIds": [key.kid for key in keys if now < key.active_from]}
    return signing_keys(keys, now)


ACTION = Action(request=Request, run=run, permission="broker:RotateSigningKeys", callers=CALLERS)
