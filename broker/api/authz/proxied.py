"""A reverse proxy asks on behalf of a request that it holds: is it let through, and as whom?"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from broker import telemetry
from broker.api.authz.decide import DECISIONS, Holder, Unverified
from broker.api.authz.mapping import Rules
from broker.api.authz.shapes import EMPTY_SHA256
from broker.api.call import Call
from broker.api.events import identity_of
from broker.api.received import Received, within
from broker.audit import cleaned
from broker.errors import AccessDenied, BrokerError, IncompleteSignature
from broker.flows.authorize import Judge, Surroundings
from broker.flows.caller import request_keys
from broker.sigv4 import HttpRequest, PresentedSignature

LENGTH: Final = "x-original-content-length"
"""Where a proxy that keeps the body tells its length: clients may have signed it."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BEARER: Final = "bearer "


@dataclass(frozen=True, slots=True)
class Original:
    """The request that the proxy holds. `body_sha256`: None where the proxy keeps the body to itself."""

    http: HttpRequest
    body_sha256: str | None


def told_length(question: HttpRequest, *, body_shown: bool) -> list[tuple[str, str]]:
    """The original's Content-Length as the proxy's question tells it, as a header line; none where it does not.

    Raises:
        AccessDenied: it is told more than once.
    """
    told = question.values.get("content-length" if body_shown else LENGTH, ())
    if len(told) > 1:
        raise AccessDenied(f"The header {LENGTH} must be there at most once.")
    return [("content-length", value) for value in told]


async def admit(
    call: Call, received: Received, original: Original, peer: str, rules: Rules, *, door: str
) -> Mapping[str, str]:
    """Headers that tell the service behind the proxy who calls. `peer`: the proxy's own address.

    Raises:
        Unverified: the credentials do not verify.
        AccessDenied: no rule knows the request, or policies do not allow it.
        StoreUnavailable: a session could not be looked up.
    """
    http = original.http
    call.event.parameters = {"method": cleaned(http.method, 32), "host": cleaned(http.header("host") or "", 255)}
    caller = (await _verify(call, original)).caller
    call.event.identity = identity_of(caller)
    call.event.account = caller.principal.account
    asked = rules.asked(call.snapshot.settings.proxy.rules, http)
    if asked is None:
        telemetry.DECISIONS.labels(door, "unmapped").inc()
        raise AccessDenied("No proxy rule of the configuration knows this request.")
    call.event.parameters |= {"action": asked.action, "resource": cleaned(asked.resource)}
    surroundings = Surroundings(single={**_known(call, received, peer), **asked.condition_keys})
    decision = Judge(call.services, call.snapshot, caller, surroundings).decide(asked.action, asked.resource)
    telemetry.DECISIONS.labels(door, DECISIONS[decision.verdict]).inc()
    if not decision.allowed:
        sentence = (
            f"User: {caller.principal.arn} is not authorized to perform: {asked.action} on resource: {asked.resource}"
        )
        raise call.services.denials.denied(sentence, decision.request, decision.policies)
    return {
        "X-Sojourn-Principal": caller.principal.arn,
        "X-Sojourn-Account": caller.principal.account,
        "X-Sojourn-Tags": "&".join(
            f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in sorted(caller.tags.items())
        ),
    }


def _known(call: Call, received: Received, peer: str) -> dict[str, str]:
    """Condition keys of the original request; those that only a trusted proxy could tell, where one did."""
    proxies = call.snapshot.settings.server.trusted_proxies
    trusted = within(peer, proxies)
    keys = request_keys(call.wire, call.services.now())
    known = {"aws:UserAgent": keys["aws:UserAgent"]}
    if trusted and call.wire.source_ip != peer:
        known["aws:SourceIp"] = keys["aws:SourceIp"]
    if trusted and "x-forwarded-proto" in received.http.values:
        known["aws:SecureTransport"] = keys["aws:SecureTransport"]
    return known


async def _verify(call: Call, original: Original) -> Holder:
    http, authenticator = original.http, call.services.authenticator

    def noted(presented: PresentedSignature) -> None:
        call.event.region = presented.region
        call.event.identity = {"type": "Unknown", "accessKeyId": cleaned(presented.access_key_id, 128)}

    try:
        authorization: Sequence[str] = http.values.get("authorization", ())
        if any(each.lower().startswith(_BEARER) for each in authorization):
            if len(authorization) > 1 or "X-Amz-" in http.query:
                raise IncompleteSignature("Give either one bearer token or one signature.")
            token = authorization[0][len(_BEARER) :].strip()
            return Holder(await authenticator.bearer(token, call.snapshot), payload_signed=False)
        caller, signed = await authenticator.verify_for_others(
            http, payload_sha256=_payload(original), snapshot=call.snapshot, noted=noted
        )
    except BrokerError as refusal:
        raise Unverified(refusal) from refusal
    return Holder(caller, signed)


def _payload(original: Original) -> str:
    """The body's hash; of one that is not shown, the hash that the request declares, for the service to compare."""
    if original.body_sha256 is not None:
        return original.body_sha256
    declared = original.http.header("x-amz-content-sha256")
    return declared if declared is not None and _SHA256.fullmatch(declared) else EMPTY_SHA256
