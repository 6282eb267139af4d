"""Parameters and results that both simulations share (IAM API Reference, SimulateCustomPolicy)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker.api.iam.paging import Paged, page
from broker.api.params import many, param, structure
from broker.api.query import Result
from broker.api.render import Entries
from broker.api.rules import choice, text
from broker.api.shapes import POLICY
from broker.flows import simulate
from broker.flows.simulate import CONTEXT_TYPES, Simulation
from broker.policy import Decision, Effect, Kind, Match, Matched, Verdict

DOCUMENTS = many(POLICY)
RESOURCE_NAME = text(1, 2048)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextEntry:
    """A member of `ContextEntries`."""

    name: str = param("ContextKeyName", text(5, 256))
    values: tuple[str, ...] = param("ContextKeyValues", many(text()), default=())
    type: str = param("ContextKeyType", choice(*CONTEXT_TYPES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated(Paged):
    """The parameters of both."""

    boundaries: tuple[str, ...] = param("PermissionsBoundaryPolicyInputList", DOCUMENTS, default=())
    actions: tuple[str, ...] = param("ActionNames", many(text(3, 128)))
    resources: tuple[str, ...] = param("ResourceArns", many(RESOURCE_NAME), default=())
    resource_policy: str | None = param("ResourcePolicy", POLICY, default=None)
    resource_owner: str | None = param("ResourceOwner", RESOURCE_NAME, default=None)
    caller_arn: str | None = param("CallerArn", RESOURCE_NAME, default=None)
    context: tuple[ContextEntry, ...] = param("ContextEntries", many(structure(ContextEntry)), default=())
    scenario: str | None = param("ResourceHandlingOption", text(1, 64), default=None)


def given(request: Simulated, policies: tuple[str, ...]) -> simulate.Given:
    """What both are given, as the simulator takes it."""
    return simulate.Given(
        actions=request.actions,
        resources=request.resources or ("*",),
        policies=policies,
        boundaries=request.boundaries,
        resource_policy=request.resource_policy,
        resource_owner=request.resource_owner,
        caller_arn=request.caller_arn,
        context=tuple(simulate.ContextEntry(each.name, each.values, each.type) for each in request.context),
        scenario=request.scenario,
    )


def results(simulation: Simulation, request: Simulated, *, of: str) -> Result:
    """One page of results, an action with a resource each; only what is on the page is decided."""
    resources = request.resources or ("*",)
    pairs = [(action, resource) for action in request.actions for resource in resources]
    numbers, rest = page(range(len(pairs)), lambda number: f"{number:06}", request, of=of)
    return {"EvaluationResults": [_result(simulation, *pairs[number]) for number in numbers], **rest}


def _result(simulation: Simulation, action: str, resource: str) -> Mapping[str, Any]:
    decision = simulation.decide(action, resource)
    gates = decision.gates
    matched = [_statement(simulation, each) for each in decision.matched if _is_told(each)]
    missing = list(decision.missing_context)
    organization = boundary = details = None
    capped = gates.organization is False or _denies(decision, Kind.SCP)
    if gates.organization is not None:
        organization = {"AllowedByOrganizations": not capped}
    if gates.boundary is not None:
        boundary = {"AllowedByPermissionsBoundary": gates.boundary and not _denies(decision, Kind.BOUNDARY)}
    if resource != "*" and not capped:
        details = Entries(_details(decision) if gates.cross_account else {})
    specific = {
        "EvalResourceName": resource,
        "EvalResourceDecision": decision.verdict.value,
        "MatchedStatements": matched,
        "MissingContextValues": missing,
        "EvalDecisionDetails": details if gates.cross_account else None,
        "PermissionsBoundaryDecisionDetail": boundary,
    }
    return {
        "EvalActionName": action,
        "EvalResourceName": resource,
        "EvalDecision": decision.verdict.value,
        "MatchedStatements": matched,
        "MissingContextValues": missing,
        "OrganizationsDecisionDetail": organization,
        "PermissionsBoundaryDecisionDetail": boundary,
        "EvalDecisionDetails": details,
        "ResourceSpecificResults": [specific] if resource != "*" else None,
    }


def _is_told(statement: Matched) -> bool:
    """AWS tells no statement of a service control policy; one that denies is what everybody looks for."""
    return statement.kind is not Kind.SCP or statement.effect is Effect.DENY


def _statement(simulation: Simulation, statement: Matched) -> Mapping[str, Any]:
    return {
        "SourcePolicyId": simulation.source_ids.get(statement.policy, statement.policy),
        "SourcePolicyType": "resource" if statement.kind in (Kind.RESOURCE, Kind.TRUST) else statement.source_type,
        "StartPosition": {"Line": statement.start.line, "Column": statement.start.column},
        "EndPosition": {"Line": statement.end.line, "Column": statement.end.column},
    }


def _denies(decision: Decision, kind: Kind) -> bool:
    return any(each.kind is kind and each.effect is Effect.DENY for each in decision.matched)


def _details(decision: Decision) -> Mapping[str, str]:
    """How each type of policy contributes to a decision across accounts."""
    gates = decision.gates
    layers = (
        ("IAM Policy", (Kind.IDENTITY,), gates.identity),
        ("Permissions Boundary Policy", (Kind.BOUNDARY,), gates.boundary),
        ("Session Policy", (Kind.SESSION,), gates.session),
        ("Resource Policy", (Kind.RESOURCE, Kind.TRUST), gates.resource not in (None, Match.NONE)),
    )
    details = {}
    for name, kinds, allows in layers:
        if any(_denies(decision, kind) for kind in kinds):
            details[name] = Verdict.EXPLICIT_DENY.value
        elif allows is not None:
            details[name] = Verdict.ALLOWED.value if allows else Verdict.IMPLICIT_DENY.value
    return details
