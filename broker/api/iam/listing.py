"""Actions that list the entities of one kind in the caller's account, by path."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from broker.api.call import Call
from broker.api.iam.paging import Paged, page
from broker.api.iam.shapes import CALLERS, entity_arn, own_account
from broker.api.params import param
from broker.api.query import Action, Result
from broker.api.rules import text
from broker.directory.model import Account

_PATH_PREFIX = text(1, 512, r"\u002F[\u0021-\u007F]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Paged):
    """The parameters of such a list."""

    path_prefix: str = param("PathPrefix", _PATH_PREFIX, default="/")


def listing(
    name: str,
    kind: str,
    element: str,
    entities: Callable[[Account], Mapping[str, Any]],
    shown_as: Callable[[Any], Mapping[str, Any]],
) -> Action:
    """The action `name`, which lists the account's `entities` in `element`; `kind` stands in their ARNs."""

    async def run(call: Call, request: Request) -> Result:
        found = [each for each in entities(own_account(call)).values() if each.path.startswith(request.path_prefix)]
        found.sort(key=lambda each: each.name.lower())
        shown, rest = page(found, lambda each: each.name.lower(), request, of=name)
        return {element: [shown_as(each) for each in shown], **rest}

    return Action(
        request=Request,
        run=run,
        permission=f"iam:{name}",
        resource=lambda call, request: entity_arn(call, kind, "", request.path_prefix),
        callers=CALLERS,
        audited=("PathPrefix", "MaxItems"),
        bulky=True,
    )
