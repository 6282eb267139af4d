"""ListSigningKeys: the keys that tokens are, were or will be signed with, as far as they are published."""

from dataclasses import dataclass

from broker.api.admin.shapes import CALLERS, signing_keys
from broker.api.query import Action, Call, Result
from broker.flows import administer


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """ListSigningKeys has no parameters."""


async def run(call: Call, _request: Request) -> Result:
    """All of them."""
    keys = await administer.signing_keys(call.services, call.snapshot, call.signer)
    return signing_keys(keys, call.services.now())


ACTION = Action(request=Request, run=run, permission="broker:ListSigningKeys", callers=CALLERS)
