"""STS GetAccessKeyInfo: the account that an access key id belongs to, whatever the key's state."""

from dataclasses import dataclass

from broker import ids
from broker.api.params import param
from broker.api.query import Action, Call, Result
from broker.api.rules import text
from broker.errors import ValidationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of GetAccessKeyInfo."""

    access_key_id: str = param("AccessKeyId", text(16, 128, r"[\w]*"))


async def run(call: Call, request: Request) -> Result:
    """Read the account from the configured key, else from the id itself, which carries it."""
    key = call.snapshot.access_key(request.access_key_id)
    account = key.account if key is not None else ids.account_of(request.access_key_id)
    if account is None:
        raise ValidationError("The access key id carries no account; check that it is complete.")
    return {"Account": account}


ACTION = Action(request=Request, run=run, permission="sts:GetAccessKeyInfo", audited=("AccessKeyId",))
