"""Why a decision came out as it did: a tree for people, JSON for machines.

Every statement is judged by the same tests as in `decide`, only without stopping at the first that fails.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from broker.policy.evaluate import Decision, Policies, Request, Scene, decide
from broker.policy.model import Kind, Matched, Statement
from broker.policy.principals import Match


@dataclass(frozen=True, slots=True)
class Reason:
    """An element of a statement that did not match. `element` is action, principal, resource or condition.

    `expected` is what the document has; `actual` is what the request has, None where it lacks the key.
    """

    element: str
    expected: tuple[str, ...]
    actual: tuple[str, ...] | None
    operator: str | None = None
    key: str | None = None

    def __str__(self) -> str:
        expected = ", ".join(map(repr, self.expected))
        actual = "absent" if self.actual is None else ", ".join(map(repr, self.actual))
        if self.element == "condition":
            return f"{self.operator} {self.key}: expected {expected}, is {actual}"
        return f"{self.operator or self.element.capitalize()}: expected {expected}, is {actual}"


@dataclass(frozen=True, slots=True)
class StatementTrace:
    """One statement: whether it matched, and if not, each element that failed."""

    statement: Matched
    matched: bool
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class PolicyTrace:
    """One policy and its statements, in the document's order."""

    name: str
    kind: Kind
    statements: tuple[StatementTrace, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision and the trace of every policy that applied, in AWS's order of evaluation."""

    decision: Decision
    policies: tuple[PolicyTrace, ...]

    def tree(self) -> str:
        """For people, one line a finding."""
        return "\n".join(_tree(self))

    def as_json(self) -> dict[str, object]:
        """For machines: JSON-ready, the same content as the tree."""
        return _as_json(self)


def explain(request: Request, policies: Policies) -> Explanation:
    """Decide, and say of every statement that did not match what failed."""
    scene = Scene(request, policies)
    traces = tuple(
        PolicyTrace(policy.name, kind, tuple(_trace(scene, kind, statement) for statement in policy.statements))
        for kind, policy in scene.applicable()
    )
    return Explanation(decide(request, policies), traces)


def _trace(scene: Scene, kind: Kind, statement: Statement) -> StatementTrace:
    reasons = tuple(_reasons(scene, kind, statement))
    return StatementTrace(statement.matched, not reasons, reasons)


def _reasons(scene: Scene, kind: Kind, statement: Statement) -> Iterator[Reason]:
    request = scene.request
    context = request.context
    if not statement.action_matches(scene.action):
        name = "NotAction" if statement.not_action else "Action"
        yield Reason("action", statement.actions, (request.action,), name)
    if scene.principal_match(statement, kind) is Match.NONE:
        name = "NotPrincipal" if statement.not_principal else "Principal"
        yield Reason("principal", tuple(entry.value for entry in statement.principals), (request.principal.arn,), name)
    if not statement.resource_matches(request.resource, context):
        name = "NotResource" if statement.not_resource else "Resource"
        yield Reason("resource", statement.resources, (request.resource,), name)
    for condition in statement.conditions:
        if not condition.test(context):
            yield Reason("condition", condition.values, context.get(condition.key), condition.operator, condition.key)


_POLICY_NAMES = {
    Kind.IDENTITY: "identity-based policy",
    Kind.BOUNDARY: "permissions boundary",
    Kind.SESSION: "session policy",
    Kind.SCP: "service control policy",
    Kind.RCP: "resource control policy",
    Kind.RESOURCE: "resource-based policy",
    Kind.TRUST: "role trust policy",
}
_ARTICLES = {Kind.IDENTITY: "an", Kind.TRUST: "the"}


def because(decision: Decision) -> str:
    """AWS's phrase for a refusal: "with an explicit deny in ..." or "because no ... allows the ... action".

    Empty for an allowed request.
    """
    if decision.denied_by is not None:
        return f"with an explicit deny in {_ARTICLES.get(decision.denied_by, 'a')} {_POLICY_NAMES[decision.denied_by]}"
    if not decision.lacking:
        return ""
    return f"because no {_POLICY_NAMES[decision.lacking[0]]} allows the {decision.request.action} action"


def _tree(explanation: Explanation) -> Iterator[str]:
    decision = explanation.decision
    request = decision.request
    yield f"{decision.verdict.value}: {request.principal.arn} {request.action} {request.resource}"
    phrase = because(decision)
    if phrase:
        yield f"  {phrase}"
    for policy in explanation.policies:
        yield f"  {_POLICY_NAMES[policy.kind]} {policy.name}".rstrip()
        for trace in policy.statements:
            yield f"    {_title(trace)}"
            for reason in trace.reasons:
                yield f"      {reason}"
    if decision.missing_context:
        yield f"  keys the request lacks: {', '.join(decision.missing_context)}"


def _title(trace: StatementTrace) -> str:
    statement = trace.statement
    name = f"statement {statement.statement}" + (f" ({statement.sid})" if statement.sid else "")
    if not trace.matched:
        return f"{name} {statement.effect.value}: does not match"
    return f"{name} {statement.effect.value}: matches, line {statement.start.line}"


def _as_json(explanation: Explanation) -> dict[str, object]:
    decision = explanation.decision
    gates = decision.gates
    return {
        "decision": decision.verdict.value,
        "because": because(decision),
        "principal": decision.request.principal.arn,
        "action": decision.request.action,
        "resource": decision.request.resource,
        "gates": {
            "identity": gates.identity,
            "boundary": gates.boundary,
            "session": gates.session,
            "scps": list(gates.scps),
            "resource": None if gates.resource is None else gates.resource.name.lower(),
            "crossAccount": gates.cross_account,
        },
        "lacking": [kind.value for kind in decision.lacking],
        "missingContext": list(decision.missing_context),
        "policies": [
            {
                "name": policy.name,
                "kind": policy.kind.value,
                "statements": [_statement_json(trace) for trace in policy.statements],
            }
            for policy in explanation.policies
        ],
    }


def _statement_json(trace: StatementTrace) -> dict[str, object]:
    statement = trace.statement
    return {
        "index": statement.statement,
        "sid": statement.sid,
        "effect": statement.effect.value,
        "matched": trace.matched,
        "start": {"line": statement.start.line, "column": statement.start.column},
        "end": {"line": statement.end.line, "column": statement.end.column},
        "reasons": [
            {
                "element": reason.element,
                "operator": reason.operator,
                "key": reason.key,
                "expected": list(reason.expected),
                "actual": None if reason.actual is None else list(reason.actual),
            }
            for reason in trace.reasons
        ],
    }
