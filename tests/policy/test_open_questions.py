"""One case for every choice in docs/decisions/policy-open-questions.md."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from broker.policy import (
    ANONYMOUS,
    Kind,
    Policies,
    Policy,
    PolicyError,
    Principal,
    PrincipalKind,
    Request,
    RequestContext,
    Verdict,
    decide,
    parse_value,
)

ACCOUNT, OTHER = "111122223333", "444455556666"
ROOT_ARN = f"arn:aws:iam::{ACCOUNT}:root"
USER_ARN = f"arn:aws:iam::{ACCOUNT}:user/alice"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/ci/deploy"
USER = Principal(PrincipalKind.USER, USER_ARN, ACCOUNT)
ROOT = Principal(PrincipalKind.ROOT, ROOT_ARN, ACCOUNT)
SESSION = Principal(
    PrincipalKind.ASSUMED_ROLE, f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/s", ACCOUNT, parent=ROLE_ARN
)
FEDERATED = Principal(PrincipalKind.FEDERATED_USER, f"arn:aws:sts::{ACCOUNT}:federated-user/bob", ACCOUNT)
ALLOWED, DENIED, NOT_ALLOWED = Verdict.ALLOWED, Verdict.EXPLICIT_DENY, Verdict.IMPLICIT_DENY


def policy(*statements: Mapping[str, Any], kind: Kind = Kind.IDENTITY, **top: object) -> Policy:
    return parse_value({"Version": "2012-10-17", **top, "Statement": list(statements)}, kind)


def statement(effect: str = "Allow", **elements: object) -> dict[str, Any]:
    base: dict[str, Any] = {"Effect": effect, "Action": "*"}
    if "NotResource" not in elements:
        base["Resource"] = "*"
    return base | elements


EVERYTHING = policy(statement())


def ask(
    policies: Policies,
    principal: Principal = USER,
    *,
    action: str = "s3:GetObject",
    resource: str = "arn:aws:s3:::b/k",
    single: Mapping[str, str] | None = None,
    many: Mapping[str, Sequence[str]] | None = None,
    account: str | None = None,
) -> Verdict:
    return decide(Request(principal, action, resource, RequestContext(single, many), account), policies).verdict


def both(resource: str, **elements: Any) -> tuple[Verdict, Verdict]:
    """What an Allow alone and a Deny beside a full Allow come to."""
    context = {name: elements.pop(name) for name in ("single", "many") if name in elements}
    allow = Policies(identity=[policy(statement(**elements))])
    deny = Policies(identity=[EVERYTHING, policy(statement("Deny", **elements))])
    return ask(allow, resource=resource, **context), ask(deny, resource=resource, **context)


REFUSED = (NOT_ALLOWED, DENIED)
APPLIES = (ALLOWED, DENIED)
APART = (NOT_ALLOWED, ALLOWED)
"""The statement does not match, whatever its effect."""


def condition(operator: str, key: str, *values: str, **context: Any) -> tuple[Verdict, Verdict]:
    return both("arn:aws:s3:::b/k", Condition={operator: {key: list(values)}}, **context)


def refuses(*statements: Mapping[str, Any], kind: Kind = Kind.IDENTITY, **top: object) -> bool:
    with pytest.raises(PolicyError):
        policy(*statements, kind=kind, **top)
    return True


def test_every_choice_on_the_page_has_its_test() -> None:
    page = Path(__file__).parents[2] / "docs" / "decisions" / "policy-open-questions.md"
    named = set(re.findall(r"\(`([a-z_]+)`\)", page.read_text(encoding="utf-8")))
    here = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert named <= here
    assert here - named == {"every_choice_on_the_page_has_its_test"}


# Documents


def test_id_outside_resource_policies() -> None:
    for kind in (Kind.IDENTITY, Kind.BOUNDARY, Kind.SESSION, Kind.SCP):
        assert refuses(statement(), kind=kind, Id="x")
    assert policy(statement(Principal="*"), kind=Kind.RESOURCE, Id="x").id == "x"


def test_variable_in_bool() -> None:
    assert refuses(statement(Condition={"Bool": {"aws:SecureTransport": "${aws:PrincipalTag/tls}"}}))


def test_odd_numbers_and_dates() -> None:
    assert refuses(statement(Condition={"NumericEquals": {"t:n": "1e3"}}))
    assert refuses(statement(Condition={"DateEquals": {"t:d": "2026-07"}}))
    assert refuses(statement(Condition={"DateEquals": {"t:d": "2026-07-13T10:00:00"}}))
    assert condition("NumericEquals", "t:n", "1000", single={"t:n": "1e3"}) == APART
    assert condition("DateGreaterThan", "t:d", "2020-01-01", single={"t:d": "2026-07"}) == APART


def test_short_arn_in_condition() -> None:
    assert refuses(statement(Condition={"ArnLike": {"aws:SourceArn": "*"}}))
    equal = {"aws:SourceArn": USER_ARN, "aws:PrincipalArn": USER_ARN}
    assert condition("ArnEquals", "aws:SourceArn", "${aws:PrincipalArn}", single=equal) == APPLIES


def test_key_twice_in_other_case() -> None:
    assert refuses(statement(Condition={"StringEquals": {"aws:PrincipalTag/a": "1", "aws:principaltag/A": "1"}}))


def test_empty_lists() -> None:
    assert refuses(statement(Condition={"StringEquals": {}}))
    assert refuses(statement(Condition={"StringEquals": {"aws:x": []}}))
    assert len(policy(statement(Condition={})).statements) == 1


def test_allow_in_rcp() -> None:
    assert refuses(statement(Principal="*"), kind=Kind.RCP)


# Resources


def test_wildcard_across_a_colon() -> None:
    queue = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:orders"
    assert both(queue, Resource="arn:aws:sqs:*:orders") == REFUSED
    assert both(queue, Resource="arn:aws:sqs:*:*:orders") == APPLIES
    assert both(queue, NotResource="arn:aws:sqs:*:orders") == REFUSED
    assert both(queue, NotResource="arn:aws:sqs:*:*:orders") == APART


def test_incomplete_resource() -> None:
    queue = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:orders"
    assert both(queue, Resource="arn:aws:sqs") == REFUSED
    assert both(queue, Resource="arn:aws:sqs:*") == REFUSED
    assert both(queue, Resource="arn:aws:sns") == APART


def test_wildcard_in_the_service() -> None:
    assert both("arn:aws:s3:::b/k", Resource="arn:aws:*:*:*:*") == REFUSED
    assert both(ROLE_ARN, Resource=f"arn:aws:iam::{ACCOUNT}:r*") == APPLIES


def test_variable_before_the_fifth_colon() -> None:
    pattern = "arn:aws:iam::${aws:PrincipalAccount}:role/*"
    assert both(ROLE_ARN, Resource=pattern, single={"aws:PrincipalAccount": ACCOUNT}) == REFUSED
    assert both(ROLE_ARN, Resource=pattern, single={"aws:PrincipalAccount": OTHER}) == APART


def test_not_resource_without_a_value() -> None:
    home = "arn:aws:s3:::home/${aws:username}/*"
    assert both("arn:aws:s3:::other/k", NotResource=home) == REFUSED
    assert both("arn:aws:s3:::other/k", NotResource=home, single={"aws:username": "alice"}) == APPLIES
    assert both("arn:aws:s3:::home/alice/k", NotResource=home, single={"aws:username": "alice"}) == APART
    assert both("arn:aws:s3:::other/k", NotResource=[home, "arn:aws:s3:::other/*"]) == APART


# Principals


def resource_policy(effect: str, **elements: object) -> Policy:
    return policy(statement(effect, **elements), kind=Kind.RESOURCE)


def test_incomplete_not_principal() -> None:
    def verdict(principal: Principal, *listed: str) -> Verdict:
        denial = resource_policy("Deny", NotPrincipal={"AWS": list(listed)})
        return ask(Policies(identity=[EVERYTHING], resource=denial), principal)

    assert verdict(USER, USER_ARN, ACCOUNT) is ALLOWED
    assert verdict(USER, USER_ARN) is DENIED
    assert verdict(USER, ACCOUNT) is DENIED
    assert verdict(ROOT, ACCOUNT) is ALLOWED
    assert verdict(SESSION, SESSION.arn, ROLE_ARN, ACCOUNT) is ALLOWED
    assert verdict(SESSION, ROLE_ARN, ACCOUNT) is DENIED
    assert verdict(SESSION, SESSION.arn, ACCOUNT) is DENIED


def test_allow_not_principal() -> None:
    grant = resource_policy("Allow", NotPrincipal={"AWS": ROLE_ARN})
    assert ask(Policies(resource=grant)) is NOT_ALLOWED
    assert ask(Policies(resource=grant), ANONYMOUS) is ALLOWED
    foreign = Principal(PrincipalKind.USER, f"arn:aws:iam::{OTHER}:user/eve", OTHER)
    assert ask(Policies(identity=[EVERYTHING], resource=grant), foreign, account=ACCOUNT) is ALLOWED
    assert ask(Policies(identity=[EVERYTHING], resource=grant), SESSION, account=OTHER) is NOT_ALLOWED
    by_account = resource_policy("Allow", NotPrincipal={"AWS": OTHER})
    assert ask(Policies(identity=[EVERYTHING], resource=by_account), foreign, account=ACCOUNT) is NOT_ALLOWED


def test_canonical_user() -> None:
    owner = {"CanonicalUser": "a" * 64}
    assert ask(Policies(resource=resource_policy("Allow", Principal=owner))) is NOT_ALLOWED
    assert ask(Policies(identity=[EVERYTHING], resource=resource_policy("Deny", Principal=owner))) is ALLOWED


def test_everyone_in_a_trust_policy() -> None:
    trust = policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": "*"}, kind=Kind.TRUST)

    def verdict(principal: Principal, *identity: Policy) -> Verdict:
        return ask(Policies(identity=identity, resource=trust), principal, action="sts:AssumeRole", resource=ROLE_ARN)

    assert verdict(USER) is NOT_ALLOWED
    assert verdict(USER, EVERYTHING) is ALLOWED
    assert verdict(ANONYMOUS) is NOT_ALLOWED
    both_named = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": ["*", ROLE_ARN]}}
    trust = policy(both_named, kind=Kind.TRUST)
    assert verdict(USER) is NOT_ALLOWED
    assert verdict(SESSION) is ALLOWED


def test_provider_of_another_account() -> None:
    issuer = f"arn:aws:iam::{ACCOUNT}:oidc-provider/issuer.test"
    action = "sts:AssumeRoleWithWebIdentity"
    for named in ("*", {"Federated": issuer}):
        trust = policy({"Effect": "Allow", "Action": action, "Principal": named}, kind=Kind.TRUST)
        own = Principal(PrincipalKind.PROVIDER, issuer, ACCOUNT)
        assert ask(Policies(resource=trust), own, action=action, resource=ROLE_ARN) is ALLOWED
        foreign_role = f"arn:aws:iam::{OTHER}:role/deploy"
        assert ask(Policies(resource=trust), own, action=action, resource=foreign_role) is NOT_ALLOWED
    google = policy(
        {"Effect": "Allow", "Action": action, "Principal": {"Federated": "accounts.google.com"}}, kind=Kind.TRUST
    )
    caller = Principal(PrincipalKind.PROVIDER, "accounts.google.com", "")
    assert ask(Policies(resource=google), caller, action=action, resource=ROLE_ARN) is ALLOWED


def test_wildcard_providers() -> None:
    assert refuses({"Effect": "Allow", "Action": "sts:*", "Principal": {"Federated": "*"}}, kind=Kind.TRUST)
    assert refuses({"Effect": "Allow", "Action": "sts:*", "Principal": {"Service": "*"}}, kind=Kind.TRUST)


# Conditions


def test_list_without_a_set_operator() -> None:
    assert condition("StringEquals", "t:k", "a", many={"t:k": ["a", "b"]}) == REFUSED
    assert condition("StringNotEquals", "t:k", "c", many={"t:k": ["a", "b"]}) == REFUSED
    assert condition("StringEquals", "t:k", "a", many={"t:k": ["a"]}) == APPLIES
    assert condition("StringEquals", "t:k", "b", many={"t:k": ["a"]}) == APART


def test_any_if_exists_without_the_key() -> None:
    assert condition("ForAnyValue:StringEqualsIfExists", "t:k", "a") == REFUSED
    assert condition("ForAnyValue:StringNotEqualsIfExists", "t:k", "a") == REFUSED
    assert condition("ForAnyValue:StringEquals", "t:k", "a") == APART


@pytest.mark.parametrize(
    ("operator", "value"),
    [("NumericNotEquals", "7"), ("DateNotEquals", "2026-01-01"), ("NotIpAddress", "::/0"), ("ArnNotLike", USER_ARN)],
)
def test_negated_operator_on_an_unreadable_value(operator: str, value: str) -> None:
    for unreadable in ("what", "", "1.2.3", "01.2.3.4", "fe80::1%eth0", "٣"):
        assert condition(operator, "t:k", value, single={"t:k": unreadable}) == REFUSED
        assert condition("ForAllValues:" + operator, "t:k", value, many={"t:k": [unreadable]}) == REFUSED
        assert condition("ForAnyValue:" + operator, "t:k", value, many={"t:k": [unreadable]}) == REFUSED


def test_list_as_a_variable() -> None:
    assert condition("StringEquals", "t:k", "${t:list}", single={"t:k": "a"}, many={"t:list": ["a"]}) == APART
    assert condition("StringEquals", "t:k", "${t:list, 'a'}", single={"t:k": "a"}, many={"t:list": ["b"]}) == APPLIES
    own = "arn:aws:s3:::b/${t:list}"
    assert both("arn:aws:s3:::b/a", Resource=own, many={"t:list": ["a"]}) == APART
    assert both("arn:aws:s3:::b/a", Resource="arn:aws:s3:::b/${t:list, 'a'}", many={"t:list": ["b"]}) == APPLIES


def test_empty_list_in_the_request() -> None:
    assert condition("Null", "t:k", "true", many={"t:k": []}) == APPLIES
    assert condition("StringEquals", "t:k", "a", many={"t:k": []}) == APART


def test_letters_beyond_ascii() -> None:
    assert condition("StringEqualsIgnoreCase", "t:k", "É", single={"t:k": "é"}) == APPLIES
    assert condition("StringEqualsIgnoreCase", "t:k", "k", single={"t:k": "\u212a"}) == APART
    assert condition("StringEquals", "t:k", "a", single={"t:\u212a": "a"}) == APART
    assert condition("StringEqualsIgnoreCase", "t:k", "ss", single={"t:k": "ß"}) == APART
    narrow = Policies(identity=[policy(statement(Action="kms:Key"))])
    assert ask(narrow, action="kms:\u212aey") is NOT_ALLOWED


def test_binary_in_the_request() -> None:
    assert condition("BinaryEquals", "t:k", "QUJD", single={"t:k": "QUJD"}) == APPLIES
    assert condition("BinaryEquals", "t:k", "QUJD", single={"t:k": "ABC"}) == APART


# Decision


def test_root_with_session_policies() -> None:
    read = policy(statement(Action="s3:Get*"), kind=Kind.SESSION)
    assert ask(Policies(session=[read]), ROOT) is ALLOWED
    assert ask(Policies(session=[read]), ROOT, action="s3:PutObject") is NOT_ALLOWED
    assert ask(Policies(session=[policy(statement("Deny"), kind=Kind.SESSION)]), ROOT) is DENIED


def test_federated_by_the_root() -> None:
    assert ask(Policies(session=[EVERYTHING]), FEDERATED) is ALLOWED
    assert ask(Policies(session=()), FEDERATED) is NOT_ALLOWED
    made_by_a_user = Principal(PrincipalKind.FEDERATED_USER, FEDERATED.arn, ACCOUNT, parent=USER_ARN)
    assert ask(Policies(session=[EVERYTHING]), made_by_a_user) is NOT_ALLOWED


def test_rcps_reach_every_service() -> None:
    denial = policy(statement("Deny", Principal="*", Action="reports:*"), kind=Kind.RCP)
    assert ask(Policies(identity=[EVERYTHING], rcps=[denial]), action="reports:GetReport") is DENIED
