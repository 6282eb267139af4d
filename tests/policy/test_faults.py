"""Documents that IAM refuses ("Grammar of the IAM JSON policy language") are refused with the place of each fault.

Every fault is tried in each kind of document that has the element, and in documents with other statements around it.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from broker.policy import Kind, PolicyError, parse
from tests.policy.suite import cases

Statement = dict[str, Any]

PLAIN = (Kind.IDENTITY, Kind.BOUNDARY, Kind.SESSION, Kind.SCP)
WITH_RESOURCE = (*PLAIN, Kind.RCP, Kind.RESOURCE)
NAMING = (Kind.RESOURCE, Kind.TRUST)
EVERY = tuple(Kind)
REMOVED = object()

# The kinds, what is put into the statement (REMOVED: taken out), and the place of the fault below the statement.
BENT: list[tuple[tuple[Kind, ...], Statement, str]] = [
    # Elements: unknown, misspelt, missing or contradictory
    (EVERY, {"Note": "x"}, "/Note"),
    (EVERY, {"effect": "Allow"}, "/effect"),
    (EVERY, {"ACTION": "sts:AssumeRole"}, "/ACTION"),
    (EVERY, {"Conditions": {}}, "/Conditions"),
    (EVERY, {"Effect": REMOVED}, ""),
    (EVERY, {"Action": REMOVED}, ""),
    (EVERY, {"NotAction": "sts:TagSession"}, "/NotAction"),
    (WITH_RESOURCE, {"Resource": REMOVED}, ""),
    (WITH_RESOURCE, {"NotResource": "*"}, "/NotResource"),
    (PLAIN, {"Principal": "*"}, "/Principal"),
    (PLAIN, {"NotPrincipal": {"AWS": "111122223333"}}, "/NotPrincipal"),
    (NAMING, {"Principal": REMOVED}, ""),
    ((Kind.RESOURCE,), {"NotPrincipal": {"AWS": "111122223333"}}, "/NotPrincipal"),
    # Effect and Sid
    (EVERY, {"Effect": "deny"}, "/Effect"),
    (EVERY, {"Effect": "ALLOW"}, "/Effect"),
    (EVERY, {"Effect": ""}, "/Effect"),
    (EVERY, {"Effect": ["Deny"]}, "/Effect"),
    (EVERY, {"Effect": None}, "/Effect"),
    (EVERY, {"Sid": 7}, "/Sid"),
    (EVERY, {"Sid": ["a"]}, "/Sid"),
    ((*PLAIN, Kind.TRUST), {"Sid": "with space"}, "/Sid"),
    ((*PLAIN, Kind.TRUST), {"Sid": "under_score"}, "/Sid"),
    # Actions
    (EVERY, {"Action": ""}, "/Action"),
    (EVERY, {"Action": []}, "/Action"),
    (EVERY, {"Action": {}}, "/Action"),
    (EVERY, {"Action": None}, "/Action"),
    (EVERY, {"Action": True}, "/Action"),
    (EVERY, {"Action": "AssumeRole"}, "/Action"),
    (EVERY, {"Action": ["sts:AssumeRole", "AssumeRole"]}, "/Action/1"),
    (EVERY, {"Action": [["sts:AssumeRole"]]}, "/Action/0"),
    (EVERY, {"Action": "st*:AssumeRole"}, "/Action"),
    ((Kind.TRUST,), {"Action": "iam:CreateUser"}, "/Action"),
    ((Kind.TRUST,), {"Action": ["sts:AssumeRole", "s3:*"]}, "/Action/1"),
    # Resources
    (WITH_RESOURCE, {"Resource": ""}, "/Resource"),
    (WITH_RESOURCE, {"Resource": []}, "/Resource"),
    (WITH_RESOURCE, {"Resource": 5}, "/Resource"),
    (WITH_RESOURCE, {"Resource": {"a": 1}}, "/Resource"),
    (WITH_RESOURCE, {"Resource": "bucket"}, "/Resource"),
    (WITH_RESOURCE, {"Resource": "ARN:aws:s3:::b"}, "/Resource"),
    (WITH_RESOURCE, {"Resource": "https://example.test/"}, "/Resource"),
    (WITH_RESOURCE, {"Resource": ["*", "x"]}, "/Resource/1"),
    ((Kind.TRUST,), {"Resource": "arn:aws:iam::111122223333:role/deploy"}, "/Resource"),
    ((Kind.TRUST,), {"NotResource": "*"}, "/NotResource"),
    # Principals
    (NAMING, {"Principal": []}, "/Principal"),
    (NAMING, {"Principal": "arn:aws:iam::111122223333:root"}, "/Principal"),
    (NAMING, {"Principal": None}, "/Principal"),
    (NAMING, {"Principal": {"aws": "*"}}, "/Principal/aws"),
    (NAMING, {"Principal": {"User": "alice"}}, "/Principal/User"),
    (NAMING, {"Principal": {"AWS": "11112222333"}}, "/Principal/AWS"),
    (NAMING, {"Principal": {"AWS": "1111222233334"}}, "/Principal/AWS"),
    (NAMING, {"Principal": {"AWS": "alice"}}, "/Principal/AWS"),
    (NAMING, {"Principal": {"AWS": ""}}, "/Principal/AWS"),
    (NAMING, {"Principal": {"AWS": None}}, "/Principal/AWS"),
    (NAMING, {"Principal": {"AWS": ["111122223333", {}]}}, "/Principal/AWS/1"),
    (NAMING, {"Principal": {"AWS": "arn:aws:iam::111122223333:user/*"}}, "/Principal/AWS"),
    (NAMING, {"Principal": {"AWS": "arn:aws:iam::*:root"}}, "/Principal/AWS"),
    (NAMING, {"Principal": {"AWS": "arn:aws:iam::111122223333:role/dep?oy"}}, "/Principal/AWS"),
    (NAMING, {"Principal": {"AWS": "arn:aws:iam::111122223333:group/staff"}}, "/Principal/AWS"),
    (NAMING, {"Principal": {"AWS": "arn:aws:iam::1111:user/alice"}}, "/Principal/AWS"),
    (NAMING, {"Principal": {"AWS": "arn:aws:iam::111122223333"}}, "/Principal/AWS"),
    (NAMING, {"Principal": {"AWS": "arn:aws:sts::111122223333:assumed-role/deploy/*"}}, "/Principal/AWS"),
    (NAMING, {"Principal": {"AWS": "arn:aws:sts::111122223333:assumed-role/deploy"}}, "/Principal/AWS"),
    (NAMING, {"Principal": {"AWS": ["*", "arn:aws:s3:::bucket"]}}, "/Principal/AWS/1"),
    ((Kind.TRUST,), {"NotPrincipal": {"AWS": "111122223333"}, "Principal": REMOVED}, "/NotPrincipal"),
    ((Kind.RCP,), {"Principal": {"AWS": "111122223333"}}, "/Principal"),
    ((Kind.RCP,), {"Principal": REMOVED}, ""),
    ((Kind.RCP,), {"Effect": "Allow"}, "/Effect"),
    # Conditions
    (EVERY, {"Condition": "x"}, "/Condition"),
    (EVERY, {"Condition": None}, "/Condition"),
    (EVERY, {"Condition": [{"Bool": {"aws:SecureTransport": "true"}}]}, "/Condition"),
    (EVERY, {"Condition": {"Equals": {"aws:x": "y"}}}, "/Condition/Equals"),
    (EVERY, {"Condition": {"stringLike": {"aws:x": "y"}}}, "/Condition/stringLike"),
    (EVERY, {"Condition": {"NotBool": {"aws:x": "true"}}}, "/Condition/NotBool"),
    (EVERY, {"Condition": {"NullIfExists": {"aws:x": "true"}}}, "/Condition/NullIfExists"),
    (EVERY, {"Condition": {"StringEqualsIfExistsIfExists": {"aws:x": "y"}}}, "/Condition/StringEqualsIfExistsIfExists"),
    (EVERY, {"Condition": {"ForAllValues:": {"aws:x": "y"}}}, "/Condition/ForAllValues:"),
    (EVERY, {"Condition": {"ForAnyValues:StringLike": {"aws:x": "y"}}}, "/Condition/ForAnyValues:StringLike"),
    (EVERY, {"Condition": {"StringEquals": "x"}}, "/Condition/StringEquals"),
    (EVERY, {"Condition": {"StringEquals": ["x"]}}, "/Condition/StringEquals"),
    (EVERY, {"Condition": {"StringEquals": {"username": "x"}}}, "/Condition/StringEquals/username"),
    (EVERY, {"Condition": {"StringEquals": {"aws:x": None}}}, "/Condition/StringEquals/aws:x"),
    (EVERY, {"Condition": {"StringEquals": {"aws:x": {"y": "z"}}}}, "/Condition/StringEquals/aws:x"),
    (EVERY, {"Condition": {"StringEquals": {"aws:x": ["y", ["z"]]}}}, "/Condition/StringEquals/aws:x/1"),
    (EVERY, {"Condition": {"StringEquals": {"aws:Tag/a~b": None}}}, "/Condition/StringEquals/aws:Tag~1a~0b"),
]  # fmt: skip


def good(kind: Kind) -> Statement:
    statement: Statement = {"Effect": "Deny" if kind is Kind.RCP else "Allow", "Action": "sts:AssumeRole"}
    if kind is not Kind.TRUST:
        statement["Resource"] = "*"
    if kind is Kind.RCP:
        statement["Principal"] = "*"
    elif kind.names_principals:
        statement["Principal"] = {"AWS": "111122223333"}
    return statement


def bent(kind: Kind, change: Statement) -> Statement:
    return {name: value for name, value in (good(kind) | change).items() if value is not REMOVED}


def faults_of(text: str | bytes, kind: Kind) -> list[tuple[str, int]]:
    """Pointer and line of each fault; none where the document is well-formed."""
    try:
        parse(text, kind)
    except PolicyError as error:
        return [(fault.pointer, fault.line) for fault in error.faults]
    return []


@pytest.mark.parametrize("kind", EVERY)
def test_what_is_bent_here_is_well_formed_when_left_alone(kind: Kind) -> None:
    assert faults_of(json.dumps({"Version": "2012-10-17", "Statement": [good(kind)]}), kind) == []


@pytest.mark.parametrize(("kinds", "change", "place"), BENT, ids=[f"{n}{row[2]}" for n, row in enumerate(BENT)])
def test_a_bent_statement_is_refused_in_its_place_in_every_kind(
    kinds: tuple[Kind, ...], change: Statement, place: str
) -> None:
    for kind in kinds:
        wrong = bent(kind, change)
        alone = json.dumps({"Version": "2012-10-17", "Statement": wrong})
        assert faults_of(alone, kind) == [("/Statement" + place, 1)], kind
        among = json.dumps({"Statement": [good(kind), wrong, good(kind)]}, indent=1)
        assert [pointer for pointer, _ in faults_of(among, kind)] == ["/Statement/1" + place], kind


def test_at_least_eighty_documents_are_malformed_in_ways_of_their_own() -> None:
    assert len({json.dumps(change, default=str) for _, change, _ in BENT}) >= 80


def test_the_line_of_a_fault_is_that_of_its_value() -> None:
    marked = json.dumps({"Statement": [good(Kind.IDENTITY), bent(Kind.IDENTITY, {"Effect": "MARK"})]}, indent=2)
    line = next(number for number, text in enumerate(marked.splitlines(), 1) if "MARK" in text)
    assert faults_of(marked, Kind.IDENTITY) == [("/Statement/1/Effect", line)]


def test_many_faults_of_one_document_are_all_reported() -> None:
    wrong = [bent(Kind.IDENTITY, change) for kinds, change, _ in BENT if Kind.IDENTITY in kinds]
    places = [
        f"/Statement/{number}{place}"
        for number, (_, place) in enumerate((kinds, place) for kinds, _, place in BENT if Kind.IDENTITY in kinds)
    ]
    assert [pointer for pointer, _ in faults_of(json.dumps({"Statement": wrong}), Kind.IDENTITY)] == places


def _documents() -> Iterator[tuple[str, Kind]]:
    """Documents of the case suite, one in seven, as texts."""
    for case in cases()[::7]:
        question = case.question
        yield from ((json.dumps(document), Kind.IDENTITY) for document in question.identity[:1])
        if question.trust is not None:
            yield json.dumps(question.trust), Kind.TRUST
        if question.resource_policy is not None:
            yield json.dumps(question.resource_policy), Kind.RESOURCE


FRAGMENTS = [
    "{", "}", "[", "]", ",", ":", '"', "\\", "null", "true", "1e999", "-", "\x00", "\u20ac", "\ud800", "${", "}", "*",
    "arn:", "ForAllValues:", "IfExists", "9" * 5000, "{}" * 3, "\\ud800", "\\u0000", "0x1", "Infinity",
    "0" * 400 + ".1e-999999999",
]  # fmt: skip


def test_damaged_documents_raise_nothing_but_the_parse_error() -> None:
    chance = random.Random(20260101)
    documents = list(_documents())
    for _ in range(10_000):
        text, kind = chance.choice(documents)
        for _ in range(chance.randint(1, 3)):
            start = chance.randrange(len(text) + 1)
            stop = min(len(text), start + chance.choice([0, 0, 1, 1, 2, 20]))
            text = text[:start] + chance.choice([*FRAGMENTS, "", chr(chance.randrange(0x300))]) + text[stop:]
        faults_of(text, chance.choice([kind, *EVERY]))


def test_random_bytes_are_refused() -> None:
    chance = random.Random(20260102)
    for length in range(600):
        assert faults_of(chance.randbytes(length), chance.choice(EVERY)) != []
