"""`POST /authorize`: a resource server shows credentials and asks what their holder may do."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from broker import telemetry
from broker.api.authz.shapes import BODY_LIMIT, EMPTY_SHA256, Asked, Question, parse
from broker.api.call import Call
from broker.api.received import Received
from broker.audit import cleaned
from broker.errors import BrokerError, MalformedPolicyDocument, RequestTooLarge, ValidationError
from broker.flows.authorize import Judge, Surroundings, authorize
from broker.flows.caller import Caller
from broker.policy import Decision, Kind, Policy, PolicyError, Verdict
from broker.policy import parse as parse_policy
from broker.policy.context import fold
from broker.sigv4 import PresentedSignature

DECISIONS: Final = {
    Verdict.ALLOWED: "allow",
    Verdict.EXPLICIT_DENY: "explicitDeny",
    Verdict.IMPLICIT_DENY: "implicitDeny",
}
_PARSED_AT_ONCE: Final = 1024
"""Characters of a policy that are parsed on the event loop; longer ones would hold up others."""
_DECIDED_AT_ONCE: Final = 10


class Unverified(Exception):
    """The credentials in question do not verify: 401, whatever status the code has elsewhere."""

    def __init__(self, refusal: BrokerError) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the credentials in question, and whether the signature covers the payload."""

    caller: Caller
    payload_signed: bool


async def decide(call: Call, received: Received) -> Mapping[str, Any]:
    """The answer to one body. `call` is the resource server's own.

    Raises:
        Unverified: the credentials in question do not verify.
        BrokerError: the resource server's own call is refused, or its question is none.
        StoreUnavailable: a session could not be looked up.
    """
    server = await call.authenticate(received, {"sts"})
    if len(received.body) > BODY_LIMIT:
        raise RequestTooLarge
    asked = parse(received.body)
    if (asked.request is None) is (asked.token is None):
        raise ValidationError("Give either request or token.")
    questions = asked.questions()
    call.event.parameters = {
        "credentials": "request" if asked.token is None else "token",
        "requests": [{"action": each.action, "resource": cleaned(each.resource)} for each in questions],
    }
    permission = "broker:Authorize" if asked.token is None else "broker:AuthorizeBearer"
    resources = dict.fromkeys(each.resource for each in questions)
    authorize(call.services, call.snapshot, server, call.wire, permission, *resources)
    surroundings = await _surroundings(call, asked)
    holder = await _verify(call, asked)
    try:
        judge = Judge(call.services, call.snapshot, holder.caller, surroundings)
    except ValueError as error:
        raise ValidationError(f"The context cannot be taken: {error}.") from error
    decisions = await _decisions(judge, questions)
    call.event.response = {
        "principal": holder.caller.principal.arn,
        "decisions": [DECISIONS[decision.verdict] for decision in decisions],
    }
    session = holder.caller.session
    shown = [_shown(decision) for decision in decisions]
    return {
        **(shown[0] if asked.requests is None else {"decisions": shown}),
        "principal": {
            "arn": holder.caller.principal.arn,
            "account": holder.caller.principal.account,
            "user_id": holder.caller.user_id,
            "tags": dict(holder.caller.tags),
            "source_identity": session.source_identity if session is not None else None,
        },
        "expires_at": session.expires_at if session is not None else None,
        "payload": "signed" if holder.payload_signed else "unsigned",
    }


async def _surroundings(call: Call, asked: Asked) -> Surroundings:
    single, many = asked.condition_keys()
    _check_claims(call, asked)
    text = asked.policy_text()
    policy = None
    if text is not None:
        try:
            policy = _policy(text) if len(text) <= _PARSED_AT_ONCE else await asyncio.to_thread(_policy, text)
        except PolicyError as error:
            faults = "; ".join(str(fault) for fault in error.faults[:10])
            raise MalformedPolicyDocument(f"resource_policy: {faults}") from error
    return Surroundings(single=single, many=many, resource_policy=policy, resource_account=asked.resource_account)


def _check_claims(call: Call, asked: Asked) -> None:
    """Claims are keys under their issuer's name, and known from the session alone."""
    names = [name for name in asked.context if not name.startswith("aws:")]
    if not names:
        return
    issuers = [url for account in call.snapshot.accounts.values() for url in account.oidc_providers]
    prefixes = tuple(fold(url.partition("://")[2]) + ":" for url in issuers)
    for name in names:
        if fold(name).startswith(prefixes):
            raise ValidationError(f"The condition key {name} may not be given in context: it is known here.")


@lru_cache(maxsize=512)
def _policy(text: str) -> Policy:
    return parse_policy(text, Kind.RESOURCE, name="resource policy", source_type="Resource Policy")


async def _verify(call: Call, asked: Asked) -> Holder:
    authenticator = call.services.authenticator
    http = asked.request.http() if asked.request is not None else None

    def noted(presented: PresentedSignature) -> None:
        call.event.additional["presentedAccessKeyId"] = cleaned(presented.access_key_id, 128)

    try:
        if asked.request is None or http is None:
            return Holder(await authenticator.bearer(asked.token or "", call.snapshot), payload_signed=False)
        caller, signed = await authenticator.verify_for_others(
            http, payload_sha256=asked.request.payload_sha256 or EMPTY_SHA256, snapshot=call.snapshot, noted=noted
        )
    except BrokerError as refusal:
        raise Unverified(refusal) from refusal
    return Holder(caller, signed)


async def _decisions(judge: Judge, questions: Sequence[Question]) -> list[Decision]:
    decisions = []
    for number, each in enumerate(questions, 1):
        decision = judge.decide(each.action, each.resource)
        telemetry.DECISIONS.labels("authorize", DECISIONS[decision.verdict]).inc()
        decisions.append(decision)
        if number % _DECIDED_AT_ONCE == 0:
            await asyncio.sleep(0)
    return decisions


def _shown(decision: Decision) -> dict[str, Any]:
    return {
        "decision": DECISIONS[decision.verdict],
        "matched": [
            {"policy": matched.policy, "sid": matched.sid, "effect": matched.effect.value}
            for matched in decision.matched
        ],
        "missing_context": list(decision.missing_context),
    }
