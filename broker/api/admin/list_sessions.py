"""ListSessions: who holds what, page by page."""

import base64
import binascii
from dataclasses import dataclass

import msgspec

from broker.api.admin.shapes import CALLERS, FILTERS, Filters, session
from broker.api.params import param
from broker.api.query import Action, Call, Result
from broker.api.rules import integer, text
from broker.errors import ValidationError
from broker.flows.administer import Place, list_sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Filters):
    """The parameters of ListSessions."""

    max_items: int = param("MaxItems", integer(1, 1000), default=100)
    marker: str | None = param("Marker", text(1, 320, r"[A-Za-z0-9_=-]+"), default=None)


async def run(call: Call, request: Request) -> Result:
    """One page of them."""
    found = await list_sessions(
        call.services,
        call.snapshot,
        call.signer,
        call.wire,
        request.wanted,
        limit=request.max_items,
        after=None if request.marker is None else _place(request.marker),
    )
    return {
        "Sessions": [session(each, found.last_used.get(each.access_key_id)) for each in found.sessions],
        "IsTruncated": found.next is not None,
        "Marker": None if found.next is None else _marker(found.next),
    }


def _marker(place: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode((place.index, *place.position))).decode("ascii")


def _place(marker: str) -> Place:
    try:
        decoded = base64.b64decode(marker, altchars=b"-_", validate=True)
        index, score, member = msgspec.json.decode(decoded, type=tuple[str, float, str])
    except (binascii.Error, msgspec.MsgspecError, ValueError):
        raise ValidationError("Invalid Marker: pass the Marker of the answer before as it is.") from None
    return Place(index, (score, member))


# The flow asks for the permission, on each session.
ACTION = Action(request=Request, run=run, callers=CALLERS, audited=(*FILTERS, "MaxItems"), bulky=True)
