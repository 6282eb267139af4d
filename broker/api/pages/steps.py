"""What comes after the right password: the person's security key, the list of them, or the role picker."""

from typing import Final
from urllib.parse import urlencode

from broker.api.pages.face import Redirect, Visit
from broker.api.pages.roles import pick_role
from broker.flows import login, security_keys
from broker.flows.login import Vouched

_PATHS: Final = {"use": "/login/key", "manage": "/login/keys"}


async def go_on(visit: Visit, vouched: Vouched, *, to_keys: bool) -> Redirect:
    """To the next step, with a ticket of its own. Raises `AccessDenied` where it is the roles, and none is open."""
    call, browser = visit.call, login.fingerprint(visit.known_browser())
    begun = await security_keys.begin(call.services, call.snapshot, vouched, browser=browser, to_keys=to_keys)
    if begun is None:
        return await pick_role(visit, [vouched], browser=browser, terminal=None)
    step, ticket = begun
    return Redirect(url=f"{visit.public_url}{_PATHS[step]}?{urlencode({'ticket': ticket})}")
