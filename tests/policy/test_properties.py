"""What holds for every request and every set of policies."""

import json
import random
from collections.abc import Sequence
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from broker.policy import (
    Kind,
    Policies,
    Policy,
    Principal,
    PrincipalKind,
    Request,
    RequestContext,
    Verdict,
    decide,
    explain,
    parse,
)

patient = settings(deadline=None)
"""Machines that run tests are shared; an example's time says nothing."""

A, B = "111122223333", "444455556666"
ROLE = f"arn:aws:iam::{A}:role/ci/deploy"
USER = f"arn:aws:iam::{A}:user/alice"
SESSION = f"arn:aws:sts::{A}:assumed-role/deploy/s"
FEDERATED = f"arn:aws:sts::{A}:federated-user/bob"
PROVIDER = f"arn:aws:iam::{A}:oidc-provider/issuer.test"
CALLERS = [
    Principal(PrincipalKind.ROOT, f"arn:aws:iam::{A}:root", A),
    Principal(PrincipalKind.USER, USER, A, unique_id="AIDA1234567890ABCDEFG"),
    Principal(PrincipalKind.ASSUMED_ROLE, SESSION, A, parent=ROLE, unique_id="AROA1234567890ABCDEFG"),
    Principal(PrincipalKind.FEDERATED_USER, FEDERATED, A, parent=USER),
    Principal(PrincipalKind.FEDERATED_USER, FEDERATED, A),
    Principal(PrincipalKind.PROVIDER, PROVIDER, A),
    Principal(PrincipalKind.SERVICE, "ec2.amazonaws.com", ""),
    Principal(PrincipalKind.ANONYMOUS, "*", ""),
]
NAMED = [
    "*", A, B, USER, ROLE, SESSION, FEDERATED, "AROA1234567890ABCDEFG", "AIDA1234567890ABCDEFG",
]  # fmt: skip


def one_or_many(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return values | st.lists(values, min_size=1, max_size=3)


EFFECTS = st.sampled_from(["Allow", "Allow", "Allow", "Deny"])
ACTIONS = st.sampled_from(["*", "sts:AssumeRole", "sts:*", "sts:Assume*", "s3:GetObject", "s3:*", "STS:assumerole"])
STS_ACTIONS = st.sampled_from(["sts:AssumeRole", "sts:*", "sts:Assume?ole", "sts:TagSession"])
RESOURCES = st.sampled_from(
    [
        "*",
        ROLE,
        f"arn:aws:iam::{A}:*",
        f"arn:aws:iam::{A}:role/ci/${{t:name}}",
        f"arn:aws:iam::{B}:role/*",
        "arn:aws:*:*:*:*",
    ]
)
OPERATOR = st.tuples(
    st.sampled_from(["", "", "ForAllValues:", "ForAnyValue:"]),
    st.sampled_from(
        ["StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "NumericEquals", "NumericNotEquals"]
    ),
    st.sampled_from(["", "IfExists"]),
).map("".join)
KEYS = st.sampled_from(["t:name", "t:count", "t:many", "T:NAME"])
VALUES = st.sampled_from(["deploy", "dep*", "7", "7.0", "${t:name}", "${t:none, '7'}"])


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    block: dict[str, Any] = {}
    for operator in draw(st.lists(OPERATOR, max_size=2, unique=True)):
        values = st.sampled_from(["7", "8.5"]) if "Numeric" in operator else VALUES
        block[operator] = {draw(KEYS): draw(one_or_many(values))}
    return block


@st.composite
def statements(draw: st.DrawFn, kind: Kind) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": "Deny" if kind is Kind.RCP else draw(EFFECTS)}
    statement[draw(st.sampled_from(["Action", "Action", "NotAction"]))] = draw(
        one_or_many(STS_ACTIONS if kind is Kind.TRUST else ACTIONS)
    )
    if kind is not Kind.TRUST:
        statement[draw(st.sampled_from(["Resource", "Resource", "NotResource"]))] = draw(one_or_many(RESOURCES))
    if kind is Kind.RCP:
        statement["Principal"] = "*"
    elif kind.names_principals:
        element = (
            "Principal" if kind is Kind.TRUST else draw(st.sampled_from(["Principal", "Principal", "NotPrincipal"]))
        )
        statement[element] = draw(
            st.just("*")
            | one_or_many(st.sampled_from(NAMED)).map(lambda names: {"AWS": names})
            | st.just({"Federated": PROVIDER, "Service": "ec2.amazonaws.com"})
        )
    if block := draw(conditions()):
        statement["Condition"] = block
    return statement


def compiled(kind: Kind, chosen: Sequence[dict[str, Any]]) -> Policy:
    return parse(json.dumps({"Version": "2012-10-17", "Statement": list(chosen)}), kind)


def documents(kind: Kind) -> st.SearchStrategy[Policy]:
    return st.lists(statements(kind), min_size=1, max_size=3).map(lambda chosen: compiled(kind, chosen))


def layers(kind: Kind) -> st.SearchStrategy[list[Policy]]:
    return st.lists(documents(kind), max_size=2)


POLICIES = st.builds(
    Policies,
    identity=layers(Kind.IDENTITY),
    boundary=st.none() | documents(Kind.BOUNDARY),
    session=st.none() | layers(Kind.SESSION),
    scps=st.lists(layers(Kind.SCP), max_size=2),
    resource=st.none() | documents(Kind.RESOURCE) | documents(Kind.TRUST),
    rcps=layers(Kind.RCP),
)
REQUESTS = st.builds(
    Request,
    principal=st.sampled_from(CALLERS),
    action=st.sampled_from(["sts:AssumeRole", "s3:GetObject", "STS:ASSUMEROLE", "odd"]),
    resource=st.sampled_from(["*", ROLE, f"arn:aws:iam::{B}:role/other", "arn:aws:s3:::b/k", "no arn"]),
    context=st.builds(
        RequestContext,
        st.dictionaries(st.sampled_from(["t:name", "T:Count"]), st.sampled_from(["deploy", "7", "dep*"])),
        st.dictionaries(st.just("t:many"), st.lists(st.sampled_from(["deploy", "7"]), max_size=2)),
    ),
    resource_account=st.none() | st.sampled_from([A, B]),
)


def deny_of(kind: Kind) -> Policy:
    statement: dict[str, Any] = {"Effect": "Deny", "Action": "sts:*" if kind is Kind.TRUST else "*"}
    if kind is not Kind.TRUST:
        statement["Resource"] = "*"
    if kind.names_principals:
        statement["Principal"] = "*"
    return compiled(kind, [statement])


@patient
@given(REQUESTS, POLICIES)
def test_an_explicit_deny_anywhere_wins(request: Request, policies: Policies) -> None:
    assume(request.action.lower() != "odd")
    request = request._replace(action="sts:AssumeRole")
    everywhere = [
        policies._replace(rcps=[*policies.rcps, deny_of(Kind.RCP)]),
        policies._replace(resource=deny_of(Kind.RESOURCE)),
        policies._replace(resource=deny_of(Kind.TRUST)),
    ]
    if request.principal.account and request.principal.kind is not PrincipalKind.PROVIDER:
        everywhere += [
            policies._replace(session=[*(policies.session or ()), deny_of(Kind.SESSION)]),
            policies._replace(scps=[*policies.scps, [deny_of(Kind.SCP)]]),
        ]
        if request.principal.kind is not PrincipalKind.ROOT:
            everywhere += [
                policies._replace(identity=[*policies.identity, deny_of(Kind.IDENTITY)]),
                policies._replace(boundary=deny_of(Kind.BOUNDARY)),
            ]
    for denied in everywhere:
        assert decide(request, denied).verdict is Verdict.EXPLICIT_DENY


@patient
@given(REQUESTS, POLICIES, documents(Kind.BOUNDARY))
def test_a_boundary_never_widens(request: Request, policies: Policies, boundary: Policy) -> None:
    if decide(request, policies._replace(boundary=boundary)).allowed:
        assert decide(request, policies._replace(boundary=None)).allowed


@patient
@given(REQUESTS, POLICIES, layers(Kind.SESSION))
def test_session_policies_never_widen(request: Request, policies: Policies, session: list[Policy]) -> None:
    if decide(request, policies._replace(session=session)).allowed:
        assert decide(request, policies._replace(session=None)).allowed


@patient
@given(REQUESTS, POLICIES, layers(Kind.SCP))
def test_a_level_of_service_control_policies_never_widens(
    request: Request, policies: Policies, level: list[Policy]
) -> None:
    if decide(request, policies._replace(scps=[*policies.scps, level])).allowed:
        assert decide(request, policies).allowed


@patient
@given(REQUESTS, POLICIES, documents(Kind.RCP))
def test_a_resource_control_policy_never_widens(request: Request, policies: Policies, rcp: Policy) -> None:
    if decide(request, policies._replace(rcps=[*policies.rcps, rcp])).allowed:
        assert decide(request, policies).allowed


@patient
@given(REQUESTS, POLICIES, st.randoms(use_true_random=False))
def test_order_never_matters(request: Request, policies: Policies, rng: random.Random) -> None:
    def shuffled_statements(policy: Policy) -> Policy:
        return compiled(policy.kind, shuffled(json.loads(policy.text)["Statement"]))

    def shuffled(items: Sequence[Any]) -> list[Any]:
        return rng.sample(list(items), len(items))

    def all_shuffled(layer: Sequence[Policy]) -> list[Policy]:
        return [shuffled_statements(policy) for policy in shuffled(layer)]

    other = Policies(
        identity=all_shuffled(policies.identity),
        boundary=policies.boundary and shuffled_statements(policies.boundary),
        session=None if policies.session is None else all_shuffled(policies.session),
        scps=shuffled([all_shuffled(level) for level in policies.scps]),
        resource=policies.resource and shuffled_statements(policies.resource),
        rcps=all_shuffled(policies.rcps),
    )
    one, two = decide(request, policies), decide(request, other)
    assert (one.verdict, len(one.matched), one.lacking) == (two.verdict, len(two.matched), two.lacking)
    assert one.gates._replace(scps=()) == two.gates._replace(scps=())
    assert one.gates.organization == two.gates.organization
    assert one.missing_context == two.missing_context


@patient
@given(REQUESTS, POLICIES)
def test_without_any_allow_nothing_is_allowed(request: Request, policies: Policies) -> None:
    decision = decide(request, policies)
    if decision.allowed and request.principal.kind is not PrincipalKind.ROOT and request.principal != CALLERS[4]:
        assert decision.matched
        assert all(matched.effect == "Allow" for matched in decision.matched)


@patient
@given(REQUESTS, POLICIES)
def test_the_explanation_agrees_with_the_decision(request: Request, policies: Policies) -> None:
    decision = decide(request, policies)
    explanation = explain(request, policies)
    assert explanation.decision == decision
    matched = [trace.statement for policy in explanation.policies for trace in policy.statements if trace.matched]
    denies = [statement for statement in matched if statement.effect == "Deny"]
    assert list(decision.matched) == (denies or matched)
    for policy in explanation.policies:
        for trace in policy.statements:
            assert trace.matched is not bool(trace.reasons)
    assert json.loads(json.dumps(explanation.as_json()))["decision"] == decision.verdict.value
    assert explanation.tree().startswith(decision.verdict.value)


@patient
@given(REQUESTS, POLICIES)
def test_a_second_decision_is_the_same(request: Request, policies: Policies) -> None:
    """Nothing that is remembered between decisions changes one."""
    fresh = RequestContext(
        {request.context.names[key]: value for key, value in request.context.values.items() if isinstance(value, str)},
        {
            request.context.names[key]: value
            for key, value in request.context.values.items()
            if isinstance(value, tuple)
        },
    )
    first = decide(request, policies)
    assert decide(request, policies).verdict is first.verdict
    assert decide(request._replace(context=fresh), policies).verdict is first.verdict
