"""ListSigningKeys: the keys that tokens are, were or will be signed with, as far as they are published; master keys."""

from dataclasses import dataclass

from broker.api.admin.shapes import CALLERS, master_keys, signing_keys
from broker.api.query import Action, Call, Result
from broker.flows.signing_keys import listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """ListSigningKeys has no parameters."""


async def run(call: Call, _request: Request) -> Result:
    """All of them."""
    signing, masters = await listed(call.services, call.snapshot, call.signer)
    return {**signing_keys(signing, call.services.now()), **master_keys(masters)}


ACTION = Action(request=Request, run=run, permission="broker:ListSigningKeys", callers=CALLERS)
