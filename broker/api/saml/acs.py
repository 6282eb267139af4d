"""`POST /saml/acs`: back from the identity provider, with a response (SAML Profiles §4.1.4)."""

import re
from collections.abc import Mapping

from broker.api.events import federated_identity
from broker.api.pages.face import Redirect, Visit
from broker.api.pages.roles import pick_role
from broker.errors import ValidationError
from broker.flows import login, saml
from broker.flows.login import RELAY, Terminal, Vouched
from providers.contract import SamlIdentity

_OURS = re.compile(rf"{RELAY}([A-Za-z0-9_-]{{43}})")


async def receive(visit: Visit) -> Redirect:
    """Verify the response, then on to the role picker: by a GET, with which the browser sends its cookie.

    The ticket that the RelayState names says which request must be answered; any other RelayState counts for nothing,
    and the response is one that nobody asked for.
    """
    call = visit.call
    response = visit.parameters.get("SAMLResponse")
    if response is None:
        raise ValidationError("There is no SAMLResponse; sign-in begins at /saml/login.")
    ours = _OURS.fullmatch(visit.parameters.get("RelayState", ""))
    terminal: Terminal | None = None
    async with call.services.pace.refusable(call.wire.source_ip):
        if ours is not None:
            away = await login.back(call.services, ours[1])
            identities = await saml.verify_for_all(
                call.services.saml, call.snapshot, away.provider_arn, response, in_response_to=away.request_id
            )
            browser, terminal = away.browser, away.terminal
        else:
            identities = await saml.verify_unsolicited(call.services.saml, call.snapshot, response)
            browser = login.fingerprint(visit.known_browser())
    provider_arn, identity = next(iter(identities.items()))
    call.event.identity = federated_identity("SAMLUser", identity, provider_arn)
    call.event.parameters = {"principalArn": provider_arn, "solicited": ours is not None}
    return await pick_role(visit, _vouched(identities), browser=browser, terminal=terminal)


def _vouched(identities: Mapping[str, SamlIdentity]) -> list[Vouched]:
    return [
        Vouched(
            identity=identity,
            provider_arn=provider_arn,
            kind="SAMLUser",
            action=saml.ACTION,
            session_name=identity.session_name or "",
            roles=tuple(role for role, provider in identity.roles if provider == provider_arn),
            duration=identity.session_duration,
        )
        for provider_arn, identity in identities.items()
    ]
