"""Asking the simulators through an unmodified boto3, the parameters that AWS does not have included."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.gateway import Gateway

READ, OBJECT = "s3:GetObject", "arn:aws:s3:::shared/report"


def members(name: str, documents: Sequence[Any]) -> dict[str, str]:
    """A list of documents as form parameters; an empty one as SDKs send it."""
    return {f"{name}.member.{i}": json.dumps(each) for i, each in enumerate(documents, 1)} or {name: ""}


def texts(*documents: Any) -> list[str]:
    """Documents as JSON texts."""
    return [json.dumps(each) for each in documents]


def entry(name: str, *values: str, kind: str = "string") -> dict[str, Any]:
    """A context entry."""
    return {"ContextKeyName": name, "ContextKeyType": kind, "ContextKeyValues": list(values)}


class Simulator:
    """An IAM client of the gateway. `extra` holds parameters that the SDK's model lacks."""

    def __init__(self, gateway: Gateway, credentials: Mapping[str, str]) -> None:
        self.client = gateway.client("iam", credentials)
        self._extra: Mapping[str, str] = {}
        self.client.meta.events.register("before-call.iam.*", self._add)

    def _add(self, params: dict[str, Any], **_: Any) -> None:
        params["body"].update(self._extra)

    def custom(self, *identity: Any, extra: Mapping[str, str] | None = None, **parameters: Any) -> dict[str, Any]:
        """SimulateCustomPolicy of one action on one resource: the only result."""
        self._extra = extra or {}
        asked = {"ActionNames": [READ], "ResourceArns": [OBJECT], "PolicyInputList": texts(*identity)} | parameters
        try:
            [result] = self.client.simulate_custom_policy(**asked)["EvaluationResults"]
        finally:
            self._extra = {}
        found: dict[str, Any] = result
        return found

    def principal(self, arn: str, action: str = READ, resource: str = OBJECT, **parameters: Any) -> dict[str, Any]:
        """SimulatePrincipalPolicy of one action on one resource: the only result."""
        asked = {"PolicySourceArn": arn, "ActionNames": [action], "ResourceArns": [resource]} | parameters
        [result] = self.client.simulate_principal_policy(**asked)["EvaluationResults"]
        found: dict[str, Any] = result
        return found
