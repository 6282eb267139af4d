"""A denial in two readings: AWS's words for the caller, and in full, sealed, for who may decode it.

The encoded message is the explained decision, sealed under the master key: only `DecodeAuthorizationMessage` of a
gateway with that key opens it, for principals of the accounts that took part, and for a day.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from broker.clock import Now
from broker.errors import AccessDenied, InvalidAuthorizationMessage
from broker.policy import Explanation, Policies, Request, Verdict, because, explain
from broker.sealing import MasterKeys, SealBroken

READABLE_FOR = timedelta(hours=24)
MAXIMUM_CHARACTERS = 10_240
"""The longest message that DecodeAuthorizationMessage takes."""

_PURPOSE = "authorization message"
_BOUND_TO = b"1"
_MAXIMUM_BYTES = 1 << 20


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
        return AccessDenied(f"{sentence} Encoded authorization failure message: {message}", detail=detail)

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
        at = datetime.fromisoformat(content.pop("at"))
        if account not in content.pop("accounts") or self.now() >= at + READABLE_FOR:
            raise InvalidAuthorizationMessage
        return json.dumps(content)

    def _encode(self, request: Request, explanation: Explanation, note: str | None) -> str:
        content: dict[str, Any] = {
            "at": self.now().isoformat(),
            "accounts": sorted({request.principal.account, request.resource_account or ""} - {""}),
            **_decoded_message(request, explanation),
        }
        if note is not None:
            content["note"] = note
        text = self._seal(content)
        for droppable in ("explanation", "context"):
            if len(text) <= MAXIMUM_CHARACTERS:
                break
            del content[droppable]
            text = self._seal(content)
        return text

    def _seal(self, content: Mapping[str, Any]) -> str:
        packed = zlib.compress(json.dumps(content, separators=(",", ":")).encode())
        return base64.urlsafe_b64encode(self.masters.seal(_PURPOSE, packed, bound_to=_BOUND_TO)).decode("ascii")


def _decoded_message(request: Request, explanation: Explanation) -> dict[str, Any]:
    """AWS's shape of a decoded message, and the whole explanation beside it."""
    decision, context = explanation.decision, request.context
    statements = [
        {
            "statementId": trace.statement.sid or "",
            "effect": trace.statement.effect.value.upper(),
            "policy": policy.name,
        }
        for policy in explanation.policies
        for trace in policy.statements
        if trace.matched
    ]
    conditions = [
        {"key": name, "values": {"items": [{"value": value} for value in context.get(name) or ()]}}
        for name in context.names.values()
    ]
    return {
        "allowed": decision.allowed,
        "explicitDeny": decision.verdict is Verdict.EXPLICIT_DENY,
        "matchedStatements": {"items": statements},
        "failures": {"items": []},
        "context": {
            "principal": {
                "id": request.principal.unique_id or "",
                "name": request.principal.arn.rpartition("/")[2],
                "arn": request.principal.arn,
            },
            "action": request.action,
            "resource": request.resource,
            "conditions": {"items": conditions},
        },
        "explanation": explanation.as_json(),
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
