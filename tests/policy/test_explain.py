"""What a decision tells: gates, lacking layers, missing keys, places, AWS's phrases, and what did not match."""

from typing import Any

import pytest

from broker.policy import (
    Kind,
    Match,
    Policies,
    Policy,
    Position,
    Principal,
    PrincipalKind,
    Reason,
    Request,
    RequestContext,
    Verdict,
    because,
    decide,
    explain,
    parse,
    parse_value,
)

ACCOUNT, OTHER = "111122223333", "444455556666"
USER = Principal(PrincipalKind.USER, f"arn:aws:iam::{ACCOUNT}:user/alice", ACCOUNT)
OBJECT = "arn:aws:s3:::b/alice/k"


def make(kind: Kind, effect: str = "Allow", name: str = "", **elements: object) -> Policy:
    statement: dict[str, Any] = {"Effect": effect, "Action": "sts:*" if kind is Kind.TRUST else "*"}
    if kind is not Kind.TRUST:
        statement["Resource"] = "*"
    if kind.names_principals:
        statement["Principal"] = "*"
    return parse_value({"Version": "2012-10-17", "Statement": statement | elements}, kind, name=name)


def asked(action: str = "s3:GetObject", resource: str = OBJECT, **values: str) -> Request:
    return Request(USER, action, resource, RequestContext({name.replace("_", ":"): v for name, v in values.items()}))


FULL = {kind: make(kind) for kind in (Kind.IDENTITY, Kind.BOUNDARY, Kind.SESSION, Kind.SCP)}
ALL = Policies(
    identity=[FULL[Kind.IDENTITY]],
    boundary=FULL[Kind.BOUNDARY],
    session=[FULL[Kind.SESSION]],
    scps=[[FULL[Kind.SCP]], [FULL[Kind.SCP]]],
)
OTHERS = {"Action": "sns:*"}


def test_the_gates_of_an_allowed_request_are_all_open() -> None:
    decision = decide(asked(), ALL)
    assert decision.gates.organization is True
    assert decision.gates == (True, True, True, (True, True), None, False)
    assert [matched.kind for matched in decision.matched] == [
        Kind.SCP,
        Kind.SCP,
        Kind.IDENTITY,
        Kind.BOUNDARY,
        Kind.SESSION,
    ]
    assert because(decision) == ""


@pytest.mark.parametrize(
    ("policies", "lacking", "phrase"),
    [
        (Policies(), Kind.IDENTITY, "because no identity-based policy allows the s3:GetObject action"),
        (
            Policies(identity=[FULL[Kind.IDENTITY]], boundary=make(Kind.BOUNDARY, **OTHERS)),
            Kind.BOUNDARY,
            "because no permissions boundary allows the s3:GetObject action",
        ),
        (
            Policies(identity=[FULL[Kind.IDENTITY]], session=[]),
            Kind.SESSION,
            "because no session policy allows the s3:GetObject action",
        ),
        (
            Policies(identity=[FULL[Kind.IDENTITY]], scps=[[FULL[Kind.SCP]], [make(Kind.SCP, **OTHERS)]]),
            Kind.SCP,
            "because no service control policy allows the s3:GetObject action",
        ),
        (
            Policies(resource=make(Kind.TRUST, Principal={"AWS": OTHER})),
            Kind.TRUST,
            "because no role trust policy allows the s3:GetObject action",
        ),
    ],
)
def test_the_layer_that_lacks_an_allow_is_named(policies: Policies, lacking: Kind, phrase: str) -> None:
    decision = decide(asked(), policies)
    assert (decision.verdict, decision.lacking[0], decision.denied_by) == (Verdict.IMPLICIT_DENY, lacking, None)
    assert because(decision) == phrase


def test_every_lacking_layer_is_listed() -> None:
    policies = Policies(
        boundary=make(Kind.BOUNDARY, **OTHERS), session=[], scps=[[]], resource=make(Kind.RESOURCE, **OTHERS)
    )
    foreign = Request(USER, "s3:GetObject", OBJECT, RequestContext(), resource_account=OTHER)
    decision = decide(foreign, policies)
    assert decision.lacking == (Kind.SCP, Kind.RESOURCE, Kind.IDENTITY, Kind.BOUNDARY, Kind.SESSION)
    assert decision.gates == (False, False, False, (False,), Match.NONE, True)


@pytest.mark.parametrize(
    ("policies", "kind", "phrase"),
    [
        (
            Policies(identity=[make(Kind.IDENTITY, "Deny")]),
            Kind.IDENTITY,
            "with an explicit deny in an identity-based policy",
        ),
        (
            Policies(boundary=make(Kind.BOUNDARY, "Deny")),
            Kind.BOUNDARY,
            "with an explicit deny in a permissions boundary",
        ),
        (Policies(session=[make(Kind.SESSION, "Deny")]), Kind.SESSION, "with an explicit deny in a session policy"),
        (Policies(scps=[[make(Kind.SCP, "Deny")]]), Kind.SCP, "with an explicit deny in a service control policy"),
        (Policies(rcps=[make(Kind.RCP, "Deny")]), Kind.RCP, "with an explicit deny in a resource control policy"),
        (
            Policies(resource=make(Kind.RESOURCE, "Deny")),
            Kind.RESOURCE,
            "with an explicit deny in a resource-based policy",
        ),
        (Policies(resource=make(Kind.TRUST, "Deny")), Kind.TRUST, "with an explicit deny in the role trust policy"),
    ],
)
def test_the_layer_of_an_explicit_deny_is_named(policies: Policies, kind: Kind, phrase: str) -> None:
    decision = decide(asked("sts:AssumeRole"), policies)
    assert (decision.verdict, decision.denied_by, because(decision)) == (Verdict.EXPLICIT_DENY, kind, phrase)


def test_an_explicit_deny_reports_the_denials_alone() -> None:
    deny = make(Kind.IDENTITY, "Deny", name="no")
    decision = decide(asked(), Policies(identity=[FULL[Kind.IDENTITY], deny]))
    assert [matched.policy for matched in decision.matched] == ["no"]


def test_a_matched_statement_has_its_place_and_source() -> None:
    text = '{"Statement": [\n  {"Sid": "S", "Effect": "Allow",\n   "Action": "s3:*", "Resource": "*"}]}'
    policy = parse(text, Kind.IDENTITY, name="PolicyInputList.1", source_type="IAM Policy")
    (matched,) = decide(asked(), Policies(identity=[policy])).matched
    assert (matched.policy, matched.source_type, matched.sid) == ("PolicyInputList.1", "IAM Policy", "S")
    assert (matched.start, matched.end) == (Position(2, 3), Position(3, 38))


def test_a_managed_policy_can_be_a_boundary_and_is_reported_as_one() -> None:
    managed = make(Kind.IDENTITY, "Deny", name="managed")
    decision = decide(asked(), Policies(identity=[FULL[Kind.IDENTITY]], boundary=managed))
    assert decision.denied_by is Kind.BOUNDARY


@pytest.mark.parametrize(
    "policies",
    [
        Policies(identity=[make(Kind.RESOURCE)]),
        Policies(session=[make(Kind.TRUST)]),
        Policies(rcps=[make(Kind.SCP)]),
        Policies(resource=make(Kind.IDENTITY)),
    ],
)
def test_a_policy_of_another_grammar_is_a_mistake(policies: Policies) -> None:
    with pytest.raises(ValueError, match="cannot"):
        decide(asked("sts:AssumeRole"), policies)


def test_missing_keys_are_those_of_statements_about_this_request() -> None:
    def about(resource: str, **elements: Any) -> Policy:
        return make(Kind.IDENTITY, Resource=resource, **elements)

    def needs(key: str) -> dict[str, Any]:
        return {"Condition": {"StringEquals": {key: "${t:Value}"}}}

    policies = Policies(
        identity=[
            about("arn:aws:s3:::b/*", **needs("t:Wanted")),
            about("arn:aws:s3:::b/*", **needs("t:Given")),
            about("arn:aws:s3:::b/*", **needs("t:otheraction"), Action="sns:*"),
            about("arn:aws:s3:::other/*", **needs("t:otherresource")),
            about("arn:aws:s3:::b/${t:Name}/*", **needs("t:unreached")),
        ],
    )
    assert decide(asked(t_given="x"), policies).missing_context == ("t:Name", "t:Value", "t:Wanted")


def test_context_keys_are_all_keys_that_a_policy_names() -> None:
    policy = make(
        Kind.IDENTITY,
        Resource=["*", "arn:aws:s3:::${aws:username}"],
        Condition={"StringLike": {"AWS:UserName": "x", "t:k": "${t:v, 'd'}"}, "Null": {"t:n": "true"}},
    )
    assert policy.context_keys == ("aws:username", "t:k", "t:v", "t:n")


def test_every_element_that_failed_is_a_reason() -> None:
    policy = parse_value(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Sid": "One",
                "Effect": "Allow",
                "Principal": {"AWS": OTHER},
                "Action": ["sns:*", "sqs:SendMessage"],
                "NotResource": "arn:aws:s3:::b/*",
                "Condition": {
                    "StringEquals": {"t:team": ["red", "blue"], "t:size": "7"},
                    "Bool": {"aws:SecureTransport": True},
                    "IpAddress": {"aws:SourceIp": "10.0.0.0/8"},
                },
            },
        },
        Kind.RESOURCE,
        name="bucket",
    )
    request = asked(t_team="green", t_size="7", aws_sourceip="192.0.2.1")
    explanation = explain(request, Policies(resource=policy))
    ((trace,),) = [policy.statements for policy in explanation.policies]
    assert trace.reasons == (
        Reason("action", ("sns:*", "sqs:SendMessage"), ("s3:GetObject",), "Action"),
        Reason("principal", (OTHER,), (USER.arn,), "Principal"),
        Reason("resource", ("arn:aws:s3:::b/*",), (OBJECT,), "NotResource"),
        Reason("condition", ("red", "blue"), ("green",), "StringEquals", "t:team"),
        Reason("condition", ("true",), None, "Bool", "aws:SecureTransport"),
        Reason("condition", ("10.0.0.0/8",), ("192.0.2.1",), "IpAddress", "aws:SourceIp"),
    )
    tree = explanation.tree().splitlines()
    assert tree[0] == f"implicitDeny: {USER.arn} s3:GetObject {OBJECT}"
    assert "      StringEquals t:team: expected 'red', 'blue', is 'green'" in tree
    assert "      Bool aws:SecureTransport: expected 'true', is absent" in tree
    assert "    statement 0 (One) Allow: does not match" in tree


def test_the_json_has_what_the_tree_has() -> None:
    report: Any = explain(asked(t_team="green"), Policies(identity=[make(Kind.IDENTITY, name="p", **OTHERS)])).as_json()
    assert report["decision"] == "implicitDeny"
    assert report["lacking"] == ["identity"]
    (policy,) = report["policies"]
    assert policy["name"] == "p"
    assert policy["statements"][0]["reasons"] == [
        {"element": "action", "operator": "Action", "key": None, "expected": ["sns:*"], "actual": ["s3:GetObject"]}
    ]
