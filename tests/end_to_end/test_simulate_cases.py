"""The engine's case suite through SimulateCustomPolicy: the gateway answers what the documentation says."""

import json

import pytest

from tests.end_to_end.simulation import Simulator, entry, members, texts
from tests.end_to_end.world import ALICE
from tests.gateway import Gateway
from tests.policy.suite import Case, cases

_INEXPRESSIBLE = ("unique id", "A level without any policy")
"""A custom simulation knows no unique ids; an organisation's level without a policy is refused."""


def _expressible(case: Case) -> bool:
    """Services, nobody and providers without an ARN cannot be callers; no federated session is without a limit."""
    question = case.question
    if question.principal["kind"] == "FEDERATED_USER" and question.session is None:
        return False
    return question.principal["arn"].startswith("arn:") and not any(word in case.name for word in _INEXPRESSIBLE)


@pytest.mark.parametrize("theme", sorted({case.file for case in cases()}))
def test_the_suite_comes_out_the_same(gateway: Gateway, theme: str) -> None:
    simulator = Simulator(gateway, ALICE)
    asked = 0
    for case in cases():
        if case.file == theme and _expressible(case):
            assert _ask(simulator, case) == case.expected, case.id
            asked += 1
    assert asked


def _ask(simulator: Simulator, case: Case) -> str:
    question = case.question
    parameters = {
        "ActionNames": [question.action],
        "ResourceArns": [question.resource],
        "ContextEntries": [
            *(entry(name, value) for name, value in question.single.items()),
            *(entry(name, *values, kind="stringList") for name, values in question.many.items()),
        ],
        "CallerArn": question.principal["arn"],
    }
    if question.boundary is not None:
        parameters["PermissionsBoundaryPolicyInputList"] = texts(question.boundary)
    if question.scps:
        levels = [{"ServiceControlPolicyInputList": texts(*level)} for level in question.scps]
        parameters["OrderedOrganizationPolicyInputList"] = levels
    if question.resource_account is not None:
        parameters["ResourceOwner"] = f"arn:aws:iam::{question.resource_account}:root"
    resource_policy = question.trust if question.trust is not None else question.resource_policy
    if resource_policy is not None:
        parameters["ResourcePolicy"] = json.dumps(resource_policy)
    extra: dict[str, str] = {}
    if question.session is not None:
        extra |= members("SessionPolicyInputList", question.session)
    if question.rcps:
        extra |= members("ResourceControlPolicyInputList", question.rcps)
    if question.principal["kind"] == "FEDERATED_USER":
        # The user who made the session counts, which the session's own ARN does not tell.
        names_session = json.dumps(resource_policy).count(question.principal["arn"])
        if not names_session:
            parameters["CallerArn"] = question.principal["parent"]
        extra["FederatedSession"] = "true"
    decision: str = simulator.custom(*question.identity, extra=extra, **parameters)["EvalDecision"]
    return decision
