"""Each lint rule speaks where it should, in the right place, and is silent where it should be."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.policy import Kind, parse
from broker.policy.coverage import covers
from broker.policy.lint import RULES, Finding, Severity, lint
from tests.policy.asking import ask
from tests.policy.reference import Document, Question
from tests.policy.suite import principals
from tests.policy.vocabulary import CONTEXT_VALUES, REQUESTED, documents

ACCOUNT, FOREIGN = "111122223333", "444455556666"
GITHUB = "token.actions.githubusercontent.com"
IDENTITY, TRUST, RESOURCE, SCP = Kind.IDENTITY, Kind.TRUST, Kind.RESOURCE, Kind.SCP
DOCUMENTS = Path(__file__).parent / "documents"

Statement = dict[str, Any]


def allow(action: Any = "s3:GetObject", resource: Any = "*", condition: Any = None, **more: Any) -> Statement:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource, **more}
    return statement | ({"Condition": condition} if condition else {})


def deny(*given: Any, **more: Any) -> Statement:
    return allow(*given, **more) | {"Effect": "Deny"}


def trust(principal: Any, condition: Any = None, action: Any = "sts:AssumeRole") -> Statement:
    statement = {"Effect": "Allow", "Action": action, "Principal": principal}
    return statement | ({"Condition": condition} if condition else {})


def federated(provider: str, condition: Any = None) -> Statement:
    return trust({"Federated": f"arn:aws:iam::{ACCOUNT}:{provider}"}, condition, "sts:AssumeRoleWithWebIdentity")


def github(**claims: Any) -> Statement:
    """Trust of GitHub with its audience and these claims; a value with a wildcard becomes a pattern."""
    condition: dict[str, dict[str, Any]] = {"StringEquals": {f"{GITHUB}:aud": "sts.amazonaws.com"}}
    for claim, value in claims.items():
        operator = "StringLike" if "*" in str(value) or "?" in str(value) else "StringEquals"
        condition.setdefault(operator, {})[f"{GITHUB}:{claim}"] = value
    return federated(f"oidc-provider/{GITHUB}", condition)


def idp(condition: Any, path: str = "") -> Statement:
    return federated(f"oidc-provider/idp.test{path}", condition)


def gitlab(condition: Any) -> Statement:
    return federated("oidc-provider/gitlab.com", condition)


def resource(statement: Statement, **principal: Any) -> Statement:
    return statement | principal


WHO, FEDERATED = "/Statement/Principal", "/Statement/Principal/Federated"
ANY_GITHUB = f"/Statement/Condition/StringLike/{GITHUB}:sub"
NEW, OLD = "repo:acme@123/site@456:ref:refs/heads/main", "repo:acme/site:ref:refs/heads/main"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"
ORGANIZATION = {"StringEquals": {"aws:PrincipalOrgID": "o-aa111bb222"}}

# Rule, kind, statements (or one), and the pointers of its findings; none: it is silent.
TABLE: list[tuple[str, Kind, Any, list[str]]] = [
    ("trust-everyone", TRUST, trust("*"), [WHO]),
    ("trust-everyone", TRUST, [trust({"AWS": [ALICE, "*"]})], ["/Statement/0/Principal"]),
    ("trust-everyone", TRUST, trust("*", {"StringEquals": {"sts:ExternalId": "x-1"}}), [WHO]),
    ("trust-everyone", TRUST, trust("*", {"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}), [WHO]),
    ("trust-everyone", TRUST, trust("*", {"StringLike": {"aws:PrincipalArn": "*"}}), [WHO]),
    ("trust-everyone", TRUST, trust("*", {"StringEqualsIfExists": {"aws:PrincipalOrgID": "o"}}), [WHO]),
    ("trust-everyone", TRUST, trust("*", ORGANIZATION), []),
    ("trust-everyone", TRUST, trust({"AWS": ACCOUNT}), []),
    ("trust-everyone", TRUST, trust("*") | {"Effect": "Deny"}, []),
    ("trust-everyone", RESOURCE, resource(allow(), Principal="*"), []),
    ("federated-unconditioned", TRUST, federated(f"oidc-provider/{GITHUB}"), [FEDERATED]),
    ("federated-unconditioned", TRUST, federated("saml-provider/corp"), [FEDERATED]),
    ("federated-unconditioned", TRUST, federated("ldap-provider/corp"), []),
    ("own-unconditioned", TRUST, federated("ldap-provider/corp"), [FEDERATED]),
    ("own-unconditioned", TRUST, federated("certificate-provider/fleet"), [FEDERATED]),
    ("own-unconditioned", TRUST, federated("saml-provider/corp"), []),
    ("federated-unconditioned", TRUST, trust({"Federated": "accounts.google.com"}), [FEDERATED]),
    ("federated-unconditioned", TRUST, idp({"StringEquals": {"idp.test:iss": "x"}}),
     [FEDERATED]),
    ("federated-unconditioned", TRUST, idp({"StringEquals": {"other.test:aud": "x"}}),
     [FEDERATED]),
    ("federated-unconditioned", TRUST, idp({"StringNotEquals": {"idp.test:sub": "x"}}),
     [FEDERATED]),
    ("federated-unconditioned", TRUST, idp({"StringLike": {"idp.test:aud": "*"}}),
     [FEDERATED]),
    ("federated-unconditioned", TRUST, idp({"StringEquals": {"idp.test:aud": "x"}}), []),
    ("federated-unconditioned", TRUST, idp({"StringLike": {"IDP.test/a:sub": "x-*"}}, "/a"), []),
    ("federated-unconditioned", TRUST, federated("saml-provider/corp", {"StringEquals": {"SAML:aud": "x"}}), []),
    ("own-unconditioned", TRUST,
     federated("ldap-provider/corp", {"ForAnyValue:StringEquals": {"ldap:groups": "admins"}}), []),
    ("own-unconditioned", TRUST,
     federated("certificate-provider/fleet", {"StringEquals": {"x509:subject/CN": "a"}}), []),
    ("federated-unconditioned", TRUST, trust({"AWS": ACCOUNT}), []),
    ("federated-unconditioned", TRUST, federated("saml-provider/corp") | {"Action": "sts:TagSession"}, []),
    ("federated-unconditioned", TRUST, federated("saml-provider/corp") | {"Action": ["sts:*"]}, [FEDERATED]),
    ("federated-any-tenant", TRUST, github(), [FEDERATED]),
    ("federated-any-tenant", TRUST, github(actor="octocat"), [FEDERATED]),
    ("federated-any-tenant", TRUST, github(sub="*"), [FEDERATED]),
    ("federated-any-tenant", TRUST, gitlab({"StringEquals": {"gitlab.com:user_email": "x"}}), [FEDERATED]),
    ("federated-any-tenant", TRUST, gitlab({"StringEquals": {"gitlab.com:aud": "x"}}),
     [FEDERATED]),
    ("federated-any-tenant", TRUST, federated(f"oidc-provider/{GITHUB}"), []),
    ("federated-any-tenant", TRUST, github(sub=OLD), []),
    ("federated-any-tenant", TRUST, github(repository_owner_id="123"), []),
    ("federated-any-tenant", TRUST, idp({"StringEquals": {"idp.test:aud": "x"}}), []),
    *[
        ("subject-wildcard", TRUST, github(sub=pattern), [ANY_GITHUB])
        for pattern in ("repo:*", "repo:acme*", "repo:*/site:*", "repo:acme*/site:*", "repo:a?me/*",
                        "*:ref:refs/heads/main", "repo:acme-*/x", "r*", "repo*acme/site",
                        "repository_owner:acme*", "environment:*:repo:acme/site")
    ],
    ("subject-wildcard", TRUST, github(sub=["repo:acme/*", "repo:*"]), [ANY_GITHUB + "/1"]),
    ("subject-wildcard", TRUST, github(repository_owner="acme*"),
     [f"/Statement/Condition/StringLike/{GITHUB}:repository_owner"]),
    ("subject-wildcard", TRUST,
     gitlab({"StringLike": {"gitlab.com:sub": "project_path:*:ref_type:branch:ref:main"}}),
     ["/Statement/Condition/StringLike/gitlab.com:sub"]),
    *[
        ("subject-wildcard", TRUST, github(sub=pattern), [])
        for pattern in (OLD, NEW, "repo:acme/*", "repo:acme/site:*", "repo:acme@123/*", "repo:acme@1*",
                        "repo:acme@*/site@*:*", "repository_owner:acme:*", "job_workflow_ref:acme/ci/*",
                        "environment:prod:repo:acme/*")
    ],
    ("subject-wildcard", TRUST, github(sub="repo:*", repository_owner_id="123"), []),
    ("subject-wildcard", TRUST,
     gitlab({"StringLike": {"gitlab.com:sub": "project_path:acme/*"}}), []),
    ("subject-wildcard", TRUST, idp({"StringLike": {"idp.test:sub": "repo:*"}}), []),
    ("subject-form", TRUST, github(sub=OLD), [f"/Statement/Condition/StringEquals/{GITHUB}:sub"]),
    ("subject-form", TRUST, github(sub="repo:acme/site:*"), [ANY_GITHUB]),
    ("subject-form", TRUST, github(sub="repo:acme/*"), [ANY_GITHUB]),
    ("subject-form", TRUST, github(sub=["repo:acme/site:*", "repo:acme@123/other@789:*"]), [ANY_GITHUB + "/0"]),
    ("subject-form", TRUST,
     federated(f"oidc-provider/{GITHUB}", {"StringEquals": {f"{GITHUB}:sub": [OLD, "repo:acme@*/site@*:*"]}}),
     [f"/Statement/Condition/StringEquals/{GITHUB}:sub/0"]),
    ("subject-form", TRUST, github(sub=NEW), []),
    ("subject-form", TRUST, github(sub="repo:acme@123/site@456:*"), []),
    ("subject-form", TRUST, github(sub=["repo:acme/site:*", "repo:acme@123/site@456:*"]), []),
    ("subject-form", TRUST, github(sub=["repo:acme/site:*", "repo:acme@*/site@*:*"]), []),
    ("subject-form", TRUST, github(repository_id="456"), []),
    ("external-id", TRUST, trust({"AWS": FOREIGN}), ["/Statement/Principal/AWS"]),
    ("external-id", TRUST, trust({"AWS": [ACCOUNT, f"arn:aws:iam::{FOREIGN}:role/x"]}), ["/Statement/Principal/AWS/1"]),
    ("external-id", TRUST, trust({"AWS": FOREIGN}, {"StringEqualsIfExists": {"sts:ExternalId": "x"}}),
     ["/Statement/Principal/AWS"]),
    ("external-id", TRUST, trust({"AWS": FOREIGN}, {"StringEquals": {"sts:ExternalId": "x"}}), []),
    ("external-id", TRUST, trust({"AWS": FOREIGN}, ORGANIZATION), []),
    ("external-id", TRUST, trust({"AWS": [ACCOUNT, ALICE]}), []),
    ("external-id", TRUST, trust({"AWS": FOREIGN}, action="sts:TagSession"), []),
    ("external-id", TRUST, trust({"Service": "ec2.amazonaws.com"}), []),
    ("not-principal-allow", RESOURCE, resource(allow(), NotPrincipal={"AWS": ACCOUNT}), ["/Statement/NotPrincipal"]),
    ("not-principal-allow", RESOURCE, resource(deny(), NotPrincipal={"AWS": ACCOUNT}), []),
    ("not-principal-allow", RESOURCE, resource(allow(), Principal={"AWS": ACCOUNT}), []),
    ("equals-wildcard", IDENTITY, allow(condition={"StringEquals": {"s3:prefix": "home/*"}}),
     ["/Statement/Condition/StringEquals/s3:prefix"]),
    ("equals-wildcard", IDENTITY,
     allow(condition={"ForAnyValue:StringNotEqualsIgnoreCase": {"aws:TagKeys": ["a", "b?"]}}),
     ["/Statement/Condition/ForAnyValue:StringNotEqualsIgnoreCase/aws:TagKeys/1"]),
    ("equals-wildcard", IDENTITY, allow(condition={"StringLike": {"s3:prefix": "home/*"}}), []),
    ("equals-wildcard", IDENTITY, allow(condition={"ArnEquals": {"aws:SourceArn": "arn:aws:s3:::*"}}), []),
    ("equals-wildcard", IDENTITY, allow(condition={"StringEquals": {"s3:prefix": "a${*}"}}), []),
    ("equals-wildcard", IDENTITY, allow(condition={"StringEquals": {"aws:referer": "https://a.test/?x=1"}}), []),
    ("for-all-values-alone", IDENTITY, allow(condition={"ForAllValues:StringEquals": {"aws:TagKeys": "a"}}),
     ["/Statement/Condition/ForAllValues:StringEquals/aws:TagKeys"]),
    ("for-all-values-alone", IDENTITY,
     allow(condition={"ForAllValues:StringEquals": {"aws:TagKeys": "a"}, "Null": {"aws:TagKeys": "true"}}),
     ["/Statement/Condition/ForAllValues:StringEquals/aws:TagKeys"]),
    ("for-all-values-alone", IDENTITY,
     allow(condition={"ForAllValues:StringEquals": {"aws:TagKeys": "a"}, "Null": {"aws:tagkeys": False}}), []),
    ("for-all-values-alone", IDENTITY,
     allow(condition={"ForAllValues:StringEquals": {"aws:TagKeys": "a"}, "ForAnyValue:Null": {"aws:TagKeys": "true"}}),
     ["/Statement/Condition/ForAllValues:StringEquals/aws:TagKeys"]),
    ("for-all-values-alone", IDENTITY,
     allow(condition={f"{each}:StringEquals": {"aws:TagKeys": "a"} for each in ("ForAllValues", "ForAnyValue")}), []),
    ("for-all-values-alone", IDENTITY, deny(condition={"ForAllValues:StringEquals": {"aws:TagKeys": "a"}}), []),
    ("for-all-values-alone", IDENTITY, allow(condition={"ForAnyValue:StringEquals": {"aws:TagKeys": "a"}}), []),
    ("unreachable-statement", IDENTITY, [allow(), deny("s3:*")], ["/Statement/0"]),
    ("unreachable-statement", IDENTITY, [deny("*"), allow(NotAction="iam:*") | {"Action": None}], ["/Statement/1"]),
    ("unreachable-statement", IDENTITY,
     [deny("s3:*", "arn:aws:s3:::secret*"), allow("s3:Get*", ["arn:aws:s3:::secret/a/*", "arn:aws:s3:::secrets"])],
     ["/Statement/1"]),
    ("unreachable-statement", RESOURCE, [resource(deny(), Principal="*"), resource(allow(), Principal={"AWS": ALICE})],
     ["/Statement/1"]),
    ("unreachable-statement", TRUST, [trust({"AWS": ALICE}), trust("*") | {"Effect": "Deny"}], ["/Statement/0"]),
    ("unreachable-statement", IDENTITY,
     [allow(resource="arn:aws:s3:::${aws:username}/x"), deny(resource="arn:aws:s3:::*/x")], ["/Statement/0"]),
    ("unreachable-statement", IDENTITY,
     [allow(resource="arn:aws:s3:::a${aws:username}"), deny(resource="arn:aws:s3:::a${*}")], []),
    ("unreachable-statement", IDENTITY,
     [allow(resource="arn:aws:s3:::${aws:username}"), deny(resource="arn:aws:s3:::" + 15 * "?")], []),
    ("unreachable-statement", IDENTITY, [allow("s3:*"), deny("s3:GetObject")], []),
    ("unreachable-statement", IDENTITY, [allow(), deny("s3:*", condition={"Null": {"aws:userid": "false"}})], []),
    ("unreachable-statement", IDENTITY, [allow(), deny("s3:*", "arn:aws:s3:::b/*")], []),
    ("unreachable-statement", IDENTITY, [allow("s3:Get*"), deny("s3:Get?bject")], []),
    ("unreachable-statement", IDENTITY, [allow(), deny(NotAction="s3:Get*") | {"Action": None}], []),
    ("unreachable-statement", RESOURCE,
     [resource(deny(), Principal={"AWS": ALICE}), resource(allow(), Principal="*")], []),
    ("shadowed-statement", IDENTITY, [allow("s3:*"), allow()], ["/Statement/1"]),
    ("shadowed-statement", IDENTITY, [allow(), allow("s3:*")], ["/Statement/0"]),
    ("shadowed-statement", IDENTITY, [allow(), allow()], ["/Statement/1"]),
    ("shadowed-statement", IDENTITY, [deny("*"), deny()], ["/Statement/1"]),
    ("shadowed-statement", IDENTITY, [allow(), allow(condition={"Null": {"aws:userid": "false"}})], ["/Statement/1"]),
    ("shadowed-statement", TRUST, [trust({"AWS": [ACCOUNT, FOREIGN]}), trust({"AWS": FOREIGN})], ["/Statement/1"]),
    ("shadowed-statement", IDENTITY, [allow(resource="arn:aws:s*:::b"), allow(resource="arn:aws:s3:::b")], []),
    ("shadowed-statement", IDENTITY, [deny(resource="arn:aws:s*:::b"), deny(resource="arn:aws:s3:::b")],
     ["/Statement/1"]),
    ("shadowed-statement", IDENTITY,
     [allow(resource=None, NotResource=f"arn:aws:s3:::{name}/*") for name in ("${aws:username}", "*")], []),
    ("shadowed-statement", IDENTITY, [allow("s3:*"), deny()], []),
    ("shadowed-statement", IDENTITY, [allow("s3:Get*"), allow("s3:Put*")], []),
    ("shadowed-statement", IDENTITY, [allow(resource="arn:aws:s3:::a/*"), allow(resource="arn:aws:s3:::b/*")], []),
    ("shadowed-statement", TRUST, [trust("*", ORGANIZATION), trust({"AWS": ALICE}, ORGANIZATION)], []),
    ("unknown-action", IDENTITY, allow("s3:GetObjects"), ["/Statement/Action"]),
    ("unknown-action", IDENTITY, allow(["s3:Get*", "iam:CreateUsers"]), ["/Statement/Action/1"]),
    ("unknown-action", TRUST, trust({"AWS": ACCOUNT}, action="sts:AssumRole"), ["/Statement/Action"]),
    ("unknown-action", IDENTITY, allow("broker:Authorise"), ["/Statement/Action"]),
    ("unknown-action", IDENTITY, allow("sts:Asume*"), ["/Statement/Action"]),
    ("unknown-action", IDENTITY,
     allow(["STS:assumerole", "iam:PassRole", "s3:*", "*", "sts:Assume?ole", "broker:Auth*"]), []),
    ("unknown-action", IDENTITY, allow("reports:GetReport"), []),
    ("unknown-key", IDENTITY, allow(condition={"Bool": {"aws:MultifactorAuth": "true"}}),
     ["/Statement/Condition/Bool/aws:MultifactorAuth"]),
    ("unknown-key", IDENTITY, allow(condition={"StringEquals": {"aws:PrincipalTag": "x"}}),
     ["/Statement/Condition/StringEquals/aws:PrincipalTag"]),
    ("unknown-key", IDENTITY, allow(condition={"StringEquals": {"aws:PrincipleTag/team": "x"}}),
     ["/Statement/Condition/StringEquals/aws:PrincipleTag~1team"]),
    ("unknown-key", IDENTITY, allow(resource="arn:aws:s3:::${aws:usrname}/*"), ["/Statement/Resource"]),
    ("unknown-key", IDENTITY, allow(condition={"StringLike": {"s3:prefix": "${aws:user}"}}),
     ["/Statement/Condition/StringLike/s3:prefix"]),
    ("unknown-key", TRUST, trust({"AWS": ACCOUNT}, {"StringEquals": {"sts:ExternalID2": "x"}}),
     ["/Statement/Condition/StringEquals/sts:ExternalID2"]),
    ("unknown-key", TRUST, federated("ldap-provider/corp", {"StringEquals": {"ldap:group": "x"}}),
     ["/Statement/Condition/StringEquals/ldap:group"]),
    ("unknown-key", TRUST, federated("ldap-provider/corp", {"StringEquals": {"sojourn:AuthenticationMethod": "otp"}}),
     ["/Statement/Condition/StringEquals/sojourn:AuthenticationMethod"]),
    ("unknown-key", TRUST, federated("ldap-provider/corp", {"StringEquals": {"ldap:departmentNumber": "7"}}), []),
    ("unknown-key", TRUST, federated("certificate-provider/f", {"StringEquals": {"x509:subject/CN": "a"}}), []),
    ("unknown-key", TRUST, github(sub=OLD, any_claim="x"), []),
    ("unknown-key", IDENTITY, allow(condition={"StringEquals": {"AWS:PRINCIPALTAG/Team": "${aws:username}"}}), []),
    ("unknown-key", IDENTITY, allow(condition={"StringEquals": {"reports:Owner": "x"}}), []),
    ("old-variable", SCP, {"Version": "2008-10-17", "Statement": allow(resource="arn:aws:s3:::${aws:username}/*")},
     ["/Statement/Resource"]),
    ("old-variable", IDENTITY,
     {"Statement": [allow(condition={"StringLike": {"s3:prefix": ["a", "${aws:username}"]}})]},
     ["/Statement/0/Condition/StringLike/s3:prefix/1"]),
    ("old-variable", IDENTITY, {"Version": "2008-10-17", "Statement": allow()}, []),
    ("old-variable", IDENTITY, allow(resource="arn:aws:s3:::${aws:username}/*"), []),
    ("oversize", IDENTITY, allow([f"s3:Get{'x' * 100}{n}" for n in range(60)]), [""]),
    ("oversize", TRUST, [trust({"AWS": [f"arn:aws:iam::{ACCOUNT}:user/{'x' * 60}{n}" for n in range(25)]})], [""]),
    ("oversize", IDENTITY, allow([f"s3:Get{'x' * 100}{n}" for n in range(50)]), []),
    ("oversize", RESOURCE,
     resource(allow([f"s3:Get{'x' * 100}{n}" for n in range(60)]), Principal={"AWS": ACCOUNT}), []),
]  # fmt: skip


def findings(kind: Kind, content: Any) -> list[Finding]:
    if isinstance(content, list) or "Statement" not in content:
        statements = [content] if isinstance(content, dict) else content
        kept = [{name: value for name, value in statement.items() if value is not None} for statement in statements]
        content = {"Version": "2012-10-17", "Statement": kept if isinstance(content, list) else kept[0]}
    return list(lint(parse(json.dumps(content, indent=1), kind), account=ACCOUNT))


@pytest.mark.parametrize(
    ("rule", "kind", "content", "pointers"), TABLE, ids=[f"{n} {row[0]}" for n, row in enumerate(TABLE)]
)
def test_a_rule_speaks_and_is_silent(rule: str, kind: Kind, content: Any, pointers: list[str]) -> None:
    assert [finding.pointer for finding in findings(kind, content) if finding.rule == rule] == pointers


def test_every_rule_is_tried_both_ways() -> None:
    assert {row[0] for row in TABLE if row[3]} == {row[0] for row in TABLE if not row[3]} == {rule.id for rule in RULES}


def test_a_finding_carries_its_rule_severity_place_and_sentence() -> None:
    first, *rest = findings(TRUST, [trust({"AWS": ALICE}), trust("*")])
    assert (first.rule, first.severity, first.pointer) == ("trust-everyone", Severity.ERROR, "/Statement/1/Principal")
    assert (first.line, first.column) == (14, 17)
    assert str(first).startswith("/Statement/1/Principal (line 14): Everyone in every account may assume the role; ")
    assert rest == []


@pytest.mark.parametrize(
    ("statement", "hint"),
    [
        (allow("s3:GetObjects"), "s3:GetObject?"),
        (allow("s3:ListObjcts"), "s3:"),
        (allow("sts:AssumeRol"), "sts:AssumeRole?"),
        (allow(condition={"StringEquals": {"aws:PrincipleArn": "x"}}), "aws:PrincipalArn?"),
        (allow(condition={"StringEquals": {"aws:PrincipleTag/team": "x"}}), "aws:PrincipalTag/?"),
        (allow(condition={"StringEquals": {"saml:audience": "x"}}), "saml:"),
    ],
)
def test_an_unknown_name_comes_with_the_nearest_known(statement: Statement, hint: str) -> None:
    (found,) = findings(IDENTITY, statement)
    assert hint in found.message


def test_findings_come_in_the_documents_order() -> None:
    wrong = {"StringEquals": {"s3:prefix": "a*"}, "ForAllValues:StringLike": {"aws:TagKey": "a"}}
    lines = [finding.line for finding in findings(IDENTITY, [allow("s3:Gett", condition=wrong), allow("sts:Gett")])]
    assert lines == sorted(lines)
    assert len(set(lines)) == 4


def test_without_an_account_none_is_foreign() -> None:
    policy = parse(json.dumps({"Statement": trust({"AWS": FOREIGN})}), TRUST)
    assert [finding.rule for finding in lint(policy)] == []
    assert [finding.rule for finding in lint(policy, account=ACCOUNT)] == ["external-id"]


def test_the_examples_of_the_documentation_show_what_is_known_of_them() -> None:
    found = {}
    for path in sorted(DOCUMENTS.glob("*/*.json")):
        rules = [
            finding.rule for finding in lint(parse(path.read_text("utf-8"), Kind(path.parent.name)), account=ACCOUNT)
        ]
        if rules:
            found[f"{path.parent.name}/{path.stem}"] = rules
    assert found == {
        "identity/dynamodb-leading-keys": ["for-all-values-alone"] * 2,
        "trust/github": ["subject-form"],
        "trust/saml": ["for-all-values-alone"],
        "trust/saml-session-tags": ["for-all-values-alone"],
    }


LAYERS = {"identity": IDENTITY, "resource_policy": RESOURCE, "trust": TRUST}


@st.composite
def alike(draw: st.DrawFn, kind: str) -> Document:
    """Two statements that have most elements in common."""
    first, second = (draw(documents(kind))["Statement"][0] for _ in range(2))
    mixed: Statement = {}
    for element in ("Effect", "Action", "Resource", "Principal", "Condition"):
        source = draw(st.sampled_from([first, first, first, second]))
        mixed |= {name: value for name, value in source.items() if name.removeprefix("Not") == element}
    return {"Version": "2012-10-17", "Statement": draw(st.permutations([first, mixed]))}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_statement_called_superfluous_is(data: st.DataObject) -> None:
    layer = data.draw(st.sampled_from(sorted(LAYERS)))
    document = data.draw(alike(layer.removesuffix("_policy")))
    superfluous = [
        finding.pointer.split("/")[2]
        for finding in lint(parse(json.dumps(document), LAYERS[layer]))
        if finding.rule in ("shadowed-statement", "unreachable-statement")
    ]
    if superfluous:
        question = Question(
            principal=data.draw(
                st.sampled_from([principals()[name] for name in ("alice", "deploy", "mallory", "saml")])
            ),
            action=data.draw(st.sampled_from(["sts:AssumeRole", "s3:GetObject"])),
            resource=data.draw(st.sampled_from(REQUESTED)),
            resource_account=ACCOUNT,
            single=data.draw(st.dictionaries(st.just("aws:username"), st.sampled_from(CONTEXT_VALUES))),
        )
        left = [statement for n, statement in enumerate(document["Statement"]) if n != int(superfluous[0])]
        shorter = {**document, "Statement": left}
        assert ask(put(question, layer, document)).verdict == ask(put(question, layer, shorter)).verdict


def put(question: Question, layer: str, document: Document) -> Question:
    match layer:
        case "identity":
            return replace(question, identity=[document])
        case "trust":
            return replace(question, trust=document)
        case _:
            return replace(question, resource_policy=document)


@pytest.mark.parametrize(
    ("pattern", "other", "expected"),
    [
        ("*", "", True),
        ("*", "*", True),
        ("a*", "ab*", True),
        ("ab*", "a*", False),
        ("a?", "a*", False),
        ("a*?", "a*", False),
        ("a?", "a?", True),
        ("a?", "ab", True),
        ("ab", "a?", False),
        ("*b*", "a*b", True),
        ("*a*b*", "xaxbx", True),
        ("", "", True),
        ("", "*", False),
        ("a**", "a", True),
    ],
)
def test_one_pattern_covers_another(pattern: str, other: str, expected: bool) -> None:
    assert covers(pattern, other) is expected
