"""A denial in two readings: AWS's words for the caller, and in full, sealed, for who may decode it.

The encoded message is the explained decision, sealed under the master key: only `DecodeAuthorizationMessage` of a
gateway with that key opens it, for a day, and for each account that took part with its own side alone: who is refused
by a role of another account learns neither what its trust policy expects, an external id for one, nor that it exists.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from broker.clock import Now
from broker.errors import AccessDenied, BrokerError, InvalidAuthorizationMessage
from broker.policy import Effect, Explanation, Policies, Request, because, explain
from broker.sealing import MasterKeys, SealBroken

READABLE_FOR = timedelta(hours=24)
MAXIMUM_CHARACTERS = 10_240
"""The longest message that DecodeAuthorizationMessage takes."""

_PURPOSE = "authorization message"
_BOUND_TO = b"2"
_MAXIMUM_BYTES = 1 << 20
_MOST_KEYS = 200  # of the request; a token may have a thousand claims, and what policies name is in the explanation
_BLOCK = 1024
"""Bytes. A message is as long as the next whole block, so that its length does not tell a role from one that is not."""
_OF_BOTH = frozenset({"decision", "because", "gates", "lacking", "missingContext"})
"""What the explanation says of all policies together."""
_BEHIND = " Encoded authorization failure message: "
_OWNERS_KEYS = ("aws:resourcetag/", "iam:resourcetag/")


def sentence_of(error: BrokerError) -> str:
    """What a refusal says to people: without the encoded message."""
    return error.message.partition(_BEHIND)[0]


@dataclass(frozen=True, slots=True)
class Denials:
    """Seals and opens authorization messages."""

    masters: MasterKeys
    now: Now

    def denied(self, sentence: str, request: Request, policies: Policies, *, note: str | None = None) -> AccessDenied:
        """AWS's sentence with the encoded message behind it. `note` is for the operator, inside the seal."""
        explanation = explain(request, policies)
        message = self._encode(request, explanation, note)
        detail = {"authorization": _for_audit(explanation)} | ({"note": note} if note is not None else {})
        return AccessDenied(f"{sentence}{_BEHIND}{message}", detail=detail)

    def decode(self, message: str, *, account: str) -> str:
        """The decoded message as JSON text. Raises `InvalidAuthorizationMessage`."""
        try:
            sealed = base64.b64decode(message.encode("ascii"), altchars=b"-_", validate=True)
            opened = zlib.decompressobj().decompress(
                self.masters.open(_PURPOSE, sealed, bound_to=_BOUND_TO), _MAXIMUM_BYTES
            )
            content = json.loads(opened)
        except (binascii.Error, UnicodeEncodeError, ValueError, SealBroken, zlib.error):
            raise InvalidAuthorizationMessage from None
        if account not in content["sides"] or self.now() >= datetime.fromisoformat(content["at"]) + READABLE_FOR:
            raise InvalidAuthorizationMessage
        return json.dumps(content["sides"][account])

    def _encode(self, request: Request, explanation: Explanation, note: str | None) -> str:
        caller = request.principal.account
        owner = request.resource_account or caller
        sides = {
            each: _side(request, explanation, callers=each == caller, owners=each == owner) for each in {caller, owner}
        }
        if note is not None:
            sides[owner]["note"] = note
        content = {"at": self.now().isoformat(), "sides": sides}
        text = self._seal(content)
        for droppable in ("explanation", "context"):
            if len(text) <= MAXIMUM_CHARACTERS:
                break
            for side in sides.values():
                del side[droppable]
            text = self._seal(content)
        return text

    def _seal(self, content: Mapping[str, Any]) -> str:
        packed = zlib.compress(json.dumps(content, separators=(",", ":")).encode())
        packed += bytes(-len(packed) % _BLOCK)  # who decompresses stops before it
        return base64.urlsafe_b64encode(self.masters.seal(_PURPOSE, packed, bound_to=_BOUND_TO)).decode("ascii")


def _side(request: Request, explanation: Explanation, *, callers: bool, owners: bool) -> dict[str, Any]:
    """AWS's shape of a decoded message and the explanation beside it, for the caller's account, the owner's, or one.

    To the caller's nothing is told that comes from the other's policies and tags, and nothing of its policies to the
    owner's; so what became of both together only one account may know that is both.
    """
    together = callers and owners
    policies = [each for each in explanation.policies if together or each.kind.names_principals is owners]
    matched = [(policy, trace) for policy in policies for trace in policy.statements if trace.matched]
    context = request.context
    names = [name for key, name in context.names.items() if owners or not key.startswith(_OWNERS_KEYS)][:_MOST_KEYS]
    told = explanation if together else replace(explanation, policies=tuple(policies))
    return {
        "allowed": explanation.decision.allowed,
        "explicitDeny": any(trace.statement.effect is Effect.DENY for _, trace in matched),
        "matchedStatements": {
            "items": [
                {
                    "statementId": trace.statement.sid or "",
                    "effect": trace.statement.effect.value.upper(),
                    "policy": policy.name,
                }
                for policy, trace in matched
            ]
        },
        "failures": {"items": []},
        "context": {
            "principal": {
                "id": request.principal.unique_id or "",
                "name": request.principal.arn.rpartition("/")[2],
                "arn": request.principal.arn,
            },
            "action": request.action,
            "resource": request.resource,
            "conditions": {
                "items": [
                    {"key": name, "values": {"items": [{"value": value} for value in context.get(name) or ()]}}
                    for name in names
                ]
            },
        },
        "explanation": {name: value for name, value in told.as_json().items() if together or name not in _OF_BOTH},
    }


def _for_audit(explanation: Explanation) -> dict[str, Any]:
    """The decision and, of the statements about this action, what each lacked."""
    decision = explanation.decision
    statements = [
        {
            "policy": policy.name,
            "statement": trace.statement.sid or trace.statement.statement,
            "effect": trace.statement.effect.value,
            "matched": trace.matched,
            "reasons": [str(reason) for reason in trace.reasons],
        }
        for policy in explanation.policies
        for trace in policy.statements
        if all(reason.element != "action" for reason in trace.reasons)
    ]
    return {"decision": decision.verdict.value, "because": because(decision), "statements": statements}
