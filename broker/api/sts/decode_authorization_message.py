"""STS DecodeAuthorizationMessage: what a policy decided and why, for who may read it."""

from dataclasses import dataclass

from broker.api.params import param
from broker.api.query import Action, Call, Result
from broker.api.rules import text
from broker.flows.denials import MAXIMUM_CHARACTERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of DecodeAuthorizationMessage."""

    message: str = param("EncodedMessage", text(1, MAXIMUM_CHARACTERS))


async def run(call: Call, request: Request) -> Result:
    """Open the message."""
    account = call.signer.principal.account
    return {"DecodedMessage": call.services.denials.decode(request.message, account=account)}


ACTION = Action(request=Request, run=run, permission="sts:DecodeAuthorizationMessage")
