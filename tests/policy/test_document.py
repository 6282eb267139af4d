"""Every fault of a document is found at once, has its place, and nothing but `PolicyError` is ever raised."""

import json
import re
import sys
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.policy import Effect, Kind, PolicyError, Position, parse, parse_value, size

GOOD: dict[str, Any] = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
TRUST: dict[str, Any] = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "111122223333"}}
OPEN: dict[str, Any] = {**GOOD, "Principal": "*"}
DENY_ALL: dict[str, Any] = {"Effect": "Deny", "Action": "*", "Resource": "*", "Principal": "*"}


def policy(statement: object, **top: object) -> str:
    return json.dumps({"Version": "2012-10-17", **top, "Statement": statement})


def but(statement: dict[str, Any], *, without: str = "", **changed: object) -> str:
    return policy({name: value for name, value in (statement | changed).items() if name != without})


def conditional(operator: str, key: str, value: object) -> str:
    return but(GOOD, Condition={operator: {key: value}})


def principal(kind: str, value: object) -> str:
    return but(OPEN, Principal={kind: value})


ARN = "arn:aws:iam::111122223333:"

# The text, its kind, the pointer and a part of the sentence.
FAULTS: list[tuple[str | bytes, Kind, str, str]] = [
    # Text and JSON
    (b"\xff\xfe", Kind.IDENTITY, "", "not UTF-8"),
    ("", Kind.IDENTITY, "", "the policy is empty"),
    (" \n", Kind.IDENTITY, "", "the policy is empty"),
    ("\ufeff{}", Kind.IDENTITY, "", "byte order mark"),
    ("{" + " " * 131_072, Kind.IDENTITY, "", "at most 131072 are accepted"),
    ('{"Id": "\u4e2d"}', Kind.RESOURCE, "", "U+4E2D is outside Latin-1"),
    ('{"Id": "\x07"}', Kind.RESOURCE, "", "U+0007 is outside"),
    ("{", Kind.IDENTITY, "", "a name in double quotes"),
    ('{"Version"', Kind.IDENTITY, "", "a colon is expected"),
    ('{"Version":', Kind.IDENTITY, "", "the text ends where a value"),
    ('{"Version":"2012-10-17"', Kind.IDENTITY, "", "this object is not closed"),
    ('{"Version":"2012-10-17" "Id"', Kind.IDENTITY, "", "a comma or the end of the object"),
    ('{"Version":"2012-10-17",}', Kind.IDENTITY, "", "a comma stands before the end of the object"),
    ('{"Statement":[1', Kind.IDENTITY, "", "this list is not closed"),
    ('{"Statement":[1 2]}', Kind.IDENTITY, "", "a comma or the end of the list"),
    ('{"Statement":[1,]}', Kind.IDENTITY, "", "a comma stands before the end of the list"),
    ('{"Version":"2012', Kind.IDENTITY, "", "this string is not closed"),
    ('{"Version":"\\x"}', Kind.IDENTITY, "", "escape sequence"),
    ('{"Version":"a\tb"}', Kind.IDENTITY, "", "unescaped in a string"),
    ("{'Version':1}", Kind.IDENTITY, "", "a name in double quotes"),
    ("{\"Version\":'x'}", Kind.IDENTITY, "", "written with double quotes"),
    ('{"Version": // x\n1}', Kind.IDENTITY, "", "no comments"),
    ('{"Version": True}', Kind.IDENTITY, "", "'True' is no JSON value"),
    ('{"Version": NaN}', Kind.IDENTITY, "", "'NaN' is no JSON value"),
    ('{"Version": 01}', Kind.IDENTITY, "", "not a JSON number"),
    ('{"Version": -}', Kind.IDENTITY, "", "'-' cannot begin a value"),
    ("{} {}", Kind.IDENTITY, "", "text follows the end"),
    ('{"Statement":' * 40 + "1" + "}" * 40, Kind.IDENTITY, "", "nested more than 32 levels"),
    ("[" * 100_000, Kind.IDENTITY, "", "nested more than 32 levels"),
    (policy(GOOD)[:-1] + ', "Version": "2012-10-17"}', Kind.IDENTITY, "/Version", "occurs twice in one object"),
    # The document
    ("[]", Kind.IDENTITY, "", "a policy is a JSON object"),
    ('"text"', Kind.IDENTITY, "", "a policy is a JSON object"),
    (json.dumps({"Version": "2012-10-17"}), Kind.IDENTITY, "", "has no Statement"),
    (policy([]), Kind.IDENTITY, "/Statement", "the list of statements is empty"),
    (policy("x"), Kind.IDENTITY, "/Statement", "an object or a list of objects"),
    (policy(["x"]), Kind.IDENTITY, "/Statement/0", "a statement is an object"),
    (policy(GOOD, Extra=1), Kind.IDENTITY, "/Extra", "no element 'Extra'"),
    (policy(GOOD, **{"a/b~c": 1}), Kind.IDENTITY, "/a~1b~0c", "no element"),
    (policy(GOOD, version="2012-10-17"), Kind.IDENTITY, "/version", "write 'Version'"),
    (policy(GOOD, Version=2012), Kind.IDENTITY, "/Version", "Version is a string"),
    (policy(GOOD, Version="2012-10-18"), Kind.IDENTITY, "/Version", "there is no version '2012-10-18'"),
    (policy(GOOD, Id="x"), Kind.IDENTITY, "/Id", "only resource policies have an Id"),
    (policy(OPEN, Id=7), Kind.RESOURCE, "/Id", "Id is a string"),
    (policy(OPEN, Id="\ud800"), Kind.RESOURCE, "/Id", "surrogate"),
    # Statements
    (but(GOOD, Foo=1), Kind.IDENTITY, "/Statement/Foo", "no element 'Foo'"),
    (but(GOOD, effect="Allow"), Kind.IDENTITY, "/Statement/effect", "write 'Effect'"),
    (but(GOOD, without="Effect"), Kind.IDENTITY, "/Statement", "no Effect"),
    (but(GOOD, Effect=True), Kind.IDENTITY, "/Statement/Effect", "Effect is a string"),
    (but(GOOD, Effect="allow"), Kind.IDENTITY, "/Statement/Effect", "write 'Allow'"),
    (but(GOOD, Effect="Permit"), Kind.IDENTITY, "/Statement/Effect", "neither Allow nor Deny"),
    (but(GOOD, Sid=1), Kind.IDENTITY, "/Statement/Sid", "Sid is a string"),
    (but(GOOD, Sid="a b"), Kind.IDENTITY, "/Statement/Sid", "characters other than"),
    (but(OPEN, Sid="a\nb"), Kind.RESOURCE, "/Statement/Sid", "control character"),
    (policy([{**GOOD, "Sid": "A"}] * 2), Kind.IDENTITY, "/Statement/1/Sid", "occurs twice in the policy"),
    # Actions
    (but(GOOD, without="Action"), Kind.IDENTITY, "/Statement", "neither Action nor NotAction"),
    (but(GOOD, NotAction="s3:Get*"), Kind.IDENTITY, "/Statement/NotAction", "Action or NotAction, not both"),
    (but(GOOD, Action=[]), Kind.IDENTITY, "/Statement/Action", "the list of actions is empty"),
    (but(GOOD, Action=[1]), Kind.IDENTITY, "/Statement/Action/0", "an action is a string"),
    (but(GOOD, Action=""), Kind.IDENTITY, "/Statement/Action", "an action is empty"),
    (but(GOOD, Action="GetObject"), Kind.IDENTITY, "/Statement/Action", "write service:Name"),
    (but(GOOD, Action=":GetObject"), Kind.IDENTITY, "/Statement/Action", "no service before"),
    (but(GOOD, Action="s*:GetObject"), Kind.IDENTITY, "/Statement/Action", "wildcard in the service"),
    (but(GOOD, Action="s 3:GetObject"), Kind.IDENTITY, "/Statement/Action", "no valid service"),
    (but(GOOD, Action="s3:"), Kind.IDENTITY, "/Statement/Action", "no name after the colon"),
    (but(GOOD, Action="s3:Get:Object"), Kind.IDENTITY, "/Statement/Action", "more than one colon"),
    (but(GOOD, Action="s3:Get Object"), Kind.IDENTITY, "/Statement/Action", "a character that no action name has"),
    (but(GOOD, Action="s3:\u212aey"), Kind.IDENTITY, "/Statement/Action", "a character that no action name has"),
    (but(GOOD, Action="s3:${aws:username}"), Kind.IDENTITY, "/Statement/Action", "actions have no variables"),
    # Resources
    (but(GOOD, without="Resource"), Kind.IDENTITY, "/Statement", "neither Resource nor NotResource"),
    (but(GOOD, NotResource="*"), Kind.IDENTITY, "/Statement/NotResource", "not both"),
    (but(GOOD, Resource=[]), Kind.IDENTITY, "/Statement/Resource", "the list of resources is empty"),
    (but(GOOD, Resource=None), Kind.IDENTITY, "/Statement/Resource", "a resource is a string"),
    (but(GOOD, Resource=""), Kind.IDENTITY, "/Statement/Resource", "a resource is empty"),
    (but(GOOD, Resource="bucket/*"), Kind.IDENTITY, "/Statement/Resource", 'neither "*" nor an ARN'),
    (but(GOOD, Resource="arn::s3:::b"), Kind.IDENTITY, "/Statement/Resource", "no partition"),
    (but(GOOD, Resource="arn:aws::::b"), Kind.IDENTITY, "/Statement/Resource", "no service"),
    (but(GOOD, Resource="arn:aws:s3:::a\u0000"), Kind.IDENTITY, "/Statement/Resource", "control character"),
    (
        but(GOOD, Resource="arn:aws:s3:::${aws:username"),
        Kind.IDENTITY,
        "/Statement/Resource",
        "no well-formed variable",
    ),
    (but(GOOD, Resource="arn:aws:s3:::${}"), Kind.IDENTITY, "/Statement/Resource", "no well-formed variable"),
    (but(GOOD, Resource="arn:aws:s3:::${username}"), Kind.IDENTITY, "/Statement/Resource", "no condition key"),
    (but(GOOD, Resource="arn:aws:s3:::${a:b,'c'}"), Kind.IDENTITY, "/Statement/Resource", "no well-formed variable"),
    (but(TRUST, Resource="*"), Kind.TRUST, "/Statement/Resource", "a trust policy has no Resource"),
    (but(TRUST, NotResource="*"), Kind.TRUST, "/Statement/NotResource", "a trust policy has no NotResource"),
    (but(TRUST, Action="s3:GetObject"), Kind.TRUST, "/Statement/Action", "no action of a trust policy"),
    (but(TRUST, Action="*"), Kind.TRUST, "/Statement/Action", "no action of a trust policy"),
    # Principals
    (policy(OPEN), Kind.IDENTITY, "/Statement/Principal", "an identity policy has no Principal"),
    (policy(OPEN), Kind.BOUNDARY, "/Statement/Principal", "a permissions boundary has no Principal"),
    (policy(OPEN), Kind.SESSION, "/Statement/Principal", "a session policy has no Principal"),
    (policy(OPEN), Kind.SCP, "/Statement/Principal", "a service control policy has no Principal"),
    (but(GOOD, NotPrincipal="*"), Kind.IDENTITY, "/Statement/NotPrincipal", "has no NotPrincipal"),
    (policy(GOOD), Kind.RESOURCE, "/Statement", "neither Principal nor NotPrincipal"),
    (but(OPEN, NotPrincipal="*"), Kind.RESOURCE, "/Statement/NotPrincipal", "Principal or NotPrincipal, not both"),
    (but(TRUST, without="Principal"), Kind.TRUST, "/Statement", "no Principal"),
    (but(TRUST, NotPrincipal="*"), Kind.TRUST, "/Statement/NotPrincipal", "a trust policy has no NotPrincipal"),
    (but(DENY_ALL, Principal={"AWS": "*"}), Kind.RCP, "/Statement/Principal", "of a resource control policy"),
    (but(DENY_ALL, Effect="Allow"), Kind.RCP, "/Statement/Effect", "only denies"),
    (but(OPEN, Principal="111122223333"), Kind.RESOURCE, "/Statement/Principal", "not '111122223333'"),
    (but(OPEN, Principal=["*"]), Kind.RESOURCE, "/Statement/Principal", '"*" or an object'),
    (but(OPEN, Principal={}), Kind.RESOURCE, "/Statement/Principal", "names nobody"),
    (principal("aws", "*"), Kind.RESOURCE, "/Statement/Principal/aws", "write 'AWS'"),
    (principal("Group", "*"), Kind.RESOURCE, "/Statement/Principal/Group", "no principal type 'Group'"),
    (principal("AWS", []), Kind.RESOURCE, "/Statement/Principal/AWS", "the list of principals is empty"),
    (principal("AWS", [7]), Kind.RESOURCE, "/Statement/Principal/AWS/0", "a principal is a string"),
    (principal("AWS", ARN + "role/*"), Kind.RESOURCE, "/Statement/Principal/AWS", "has a wildcard"),
    (principal("AWS", ARN + "group/g"), Kind.RESOURCE, "/Statement/Principal/AWS", "is a group"),
    (principal("AWS", "1111"), Kind.RESOURCE, "/Statement/Principal/AWS", "no account id of twelve"),
    (principal("AWS", "arn:aws:s3:::b"), Kind.RESOURCE, "/Statement/Principal/AWS", "not the ARN of an account"),
    (principal("AWS", "alice"), Kind.RESOURCE, "/Statement/Principal/AWS", "no account id, unique id or ARN"),
    (principal("Federated", "*"), Kind.RESOURCE, "/Statement/Principal/Federated", "identity provider"),
    (principal("Service", "ec2"), Kind.RESOURCE, "/Statement/Principal/Service", "no service name"),
    (principal("CanonicalUser", "ab"), Kind.RESOURCE, "/Statement/Principal/CanonicalUser", "64 hexadecimal"),
    # Conditions
    (but(GOOD, Condition=[]), Kind.IDENTITY, "/Statement/Condition", "an object of operators"),
    (conditional("StringIs", "aws:x", "y"), Kind.IDENTITY, "/Statement/Condition/StringIs", "no condition operator"),
    (conditional("stringequals", "aws:x", "y"), Kind.IDENTITY, "/Statement/Condition/stringequals", "'StringEquals'"),
    (conditional("ForSome:Bool", "aws:x", "y"), Kind.IDENTITY, "/Statement/Condition/ForSome:Bool", "no set operator"),
    (conditional("NullIfExists", "aws:x", "true"), Kind.IDENTITY, "/Statement/Condition/NullIfExists", "IfExists"),
    (conditional("BoolNot", "aws:x", "true"), Kind.IDENTITY, "/Statement/Condition/BoolNot", "no condition operator"),
    (but(GOOD, Condition={"Bool": 1}), Kind.IDENTITY, "/Statement/Condition/Bool", "condition keys and values"),
    (but(GOOD, Condition={"Bool": {}}), Kind.IDENTITY, "/Statement/Condition/Bool", "has no condition key"),
    (conditional("Bool", "", "true"), Kind.IDENTITY, "/Statement/Condition/Bool/", "a condition key is empty"),
    (conditional("Bool", "mfa", "true"), Kind.IDENTITY, "/Statement/Condition/Bool/mfa", "a prefix and a colon"),
    (conditional("Bool", ":mfa", "true"), Kind.IDENTITY, "/Statement/Condition/Bool/:mfa", "no valid prefix"),
    (conditional("Bool", "aws:", "true"), Kind.IDENTITY, "/Statement/Condition/Bool/aws:", "no name after the colon"),
    (
        conditional("Bool", "aws:${aws:x}", "true"),
        Kind.IDENTITY,
        "/Statement/Condition/Bool/aws:${aws:x}",
        "no variables",
    ),
    (
        conditional("Bool", "aws:\u0001", "true"),
        Kind.IDENTITY,
        "/Statement/Condition/Bool/aws:\u0001",
        "no condition key has",
    ),
    (
        but(GOOD, Condition={"Bool": {"aws:x": "true", "AWS:X": "false"}}),
        Kind.IDENTITY,
        "/Statement/Condition/Bool/AWS:X",
        "occurs twice under Bool",
    ),
    (conditional("Bool", "aws:x", []), Kind.IDENTITY, "/Statement/Condition/Bool/aws:x", "the list of values is empty"),
    (conditional("Bool", "aws:x", None), Kind.IDENTITY, "/Statement/Condition/Bool/aws:x", "a string, a number"),
    (conditional("Bool", "aws:x", [{}]), Kind.IDENTITY, "/Statement/Condition/Bool/aws:x/0", "a string, a number"),
    (conditional("StringEquals", "a:x", "\udfff"), Kind.IDENTITY, "/Statement/Condition/StringEquals/a:x", "surrogate"),
    (conditional("Bool", "aws:x", ["true", "yes"]), Kind.IDENTITY, "/Statement/Condition/Bool/aws:x/1", "neither true"),
    (conditional("Null", "aws:x", "no"), Kind.IDENTITY, "/Statement/Condition/Null/aws:x", "neither true nor false"),
    (conditional("NumericEquals", "a:x", "1e3"), Kind.IDENTITY, "/Statement/Condition/NumericEquals/a:x", "decimal"),
    (conditional("DateLessThan", "a:x", "soon"), Kind.IDENTITY, "/Statement/Condition/DateLessThan/a:x", "not a date"),
    (conditional("DateEquals", "a:x", "2026-02-30"), Kind.IDENTITY, "/Statement/Condition/DateEquals/a:x", "calendar"),
    (
        conditional("DateEquals", "a:x", "2026-02-03T10:00+25:00"),
        Kind.IDENTITY,
        "/Statement/Condition/DateEquals/a:x",
        "offset from UTC",
    ),
    (conditional("BinaryEquals", "a:x", "?"), Kind.IDENTITY, "/Statement/Condition/BinaryEquals/a:x", "not base64"),
    (conditional("IpAddress", "a:x", "10.0.0"), Kind.IDENTITY, "/Statement/Condition/IpAddress/a:x", "CIDR range"),
    (conditional("IpAddress", "a:x", "10.0.0.0/33"), Kind.IDENTITY, "/Statement/Condition/IpAddress/a:x", "0 and 32"),
    (conditional("NotIpAddress", "a:x", "::/129"), Kind.IDENTITY, "/Statement/Condition/NotIpAddress/a:x", "0 and 128"),
    (conditional("ArnLike", "a:x", "role/*"), Kind.IDENTITY, "/Statement/Condition/ArnLike/a:x", "six parts"),
    (
        conditional("StringLike", "a:x", "${a"),
        Kind.IDENTITY,
        "/Statement/Condition/StringLike/a:x",
        "well-formed variable",
    ),
]


@pytest.mark.parametrize(
    ("text", "kind", "pointer", "sentence"), FAULTS, ids=[f"{n} {f[3]}" for n, f in enumerate(FAULTS)]
)
def test_a_fault_has_its_pointer_and_sentence(text: str | bytes, kind: Kind, pointer: str, sentence: str) -> None:
    with pytest.raises(PolicyError) as refusal:
        parse(text, kind)
    first = refusal.value.faults[0]
    assert (first.pointer, sentence in first.message) == (pointer, True), str(first)
    assert first.line >= 1
    assert first.column >= 1


def test_there_are_at_least_eighty_distinct_sentences() -> None:
    sentences = set()
    for text, kind, _, _ in FAULTS:
        with pytest.raises(PolicyError) as refusal:
            parse(text, kind)
        sentences |= {re.sub(r"'[^']*'|\"[^\"]*\"|[0-9]+", "_", fault.message) for fault in refusal.value.faults}
    assert len(sentences) >= 80


def test_all_faults_are_reported_at_once_in_order_with_line_and_column() -> None:
    text = '{\n "Statement": [\n  {"Effect": "allow",\n   "Action": "x",\n   "Resource": ["*", "y"]}]}'
    with pytest.raises(PolicyError) as refusal:
        parse(text, Kind.IDENTITY)
    places = [(fault.pointer, fault.line, fault.column) for fault in refusal.value.faults]
    assert places == [
        ("/Statement/0/Effect", 3, 14),
        ("/Statement/0/Action", 4, 14),
        ("/Statement/0/Resource/1", 5, 22),
    ]
    assert str(refusal.value.faults[1]).startswith("/Statement/0/Action (line 4): 'x' is no action")


def test_the_longest_text_is_accepted_and_one_character_more_is_not() -> None:
    text = policy(GOOD).ljust(131_072)
    assert parse(text, Kind.IDENTITY).text == text
    with pytest.raises(PolicyError, match="has 131073 characters; at most 131072"):
        parse(text + " ", Kind.IDENTITY)


def test_a_sentence_names_the_right_spelling_only_where_case_alone_is_wrong() -> None:
    with pytest.raises(PolicyError) as refusal:
        parse(policy(GOOD, VERSION=1, Extra=1), Kind.IDENTITY)
    assert [fault.message for fault in refusal.value.faults] == [
        "a policy has no element 'VERSION'; names are case-sensitive: write 'Version'",
        "a policy has no element 'Extra'",
    ]


def test_faults_are_bounded_in_number() -> None:
    with pytest.raises(PolicyError) as refusal:
        parse(policy([1] * 5000), Kind.IDENTITY)
    assert len(refusal.value.faults) == 200


def test_a_statement_knows_where_it_stands() -> None:
    parsed = parse(
        '{"Statement": [\n  {"Effect": "Deny", "Action": "*",\n   "Resource": "*"},\n'
        ' {"Effect": "Allow", "Action": "*", "Resource": "*"}]}',
        Kind.SCP,
    )
    first, second = parsed.statements
    assert (first.start, first.end) == (Position(2, 3), Position(3, 20))
    assert (second.start.line, second.effect, second.index) == (4, Effect.ALLOW, 1)


def test_variables_are_ordinary_characters_in_the_first_version() -> None:
    for version in ({}, {"Version": "2008-10-17"}):
        document = {**version, "Statement": {**GOOD, "Resource": "arn:aws:s3:::${unclosed"}}
        assert parse(json.dumps(document), Kind.IDENTITY).version == "2008-10-17"


@pytest.mark.parametrize(
    ("kind", "statement"),
    [
        (Kind.RESOURCE, {**OPEN, "Sid": "with spaces, and: signs"}),
        (Kind.RESOURCE, {**OPEN, "Principal": {"CanonicalUser": "a" * 64, "Service": "ec2.amazonaws.com"}}),
        (Kind.RESOURCE, {**OPEN, "Principal": {"AWS": ["AROA1234567890ABCDEFG", ARN + "user/a/b/c"]}}),
        (Kind.TRUST, {**TRUST, "Principal": {"Federated": ARN + "oidc-provider/issuer.test/path"}}),
        (Kind.TRUST, {**TRUST, "Principal": {"Federated": ARN + "ldap-provider/corp"}}),
        (Kind.TRUST, {**TRUST, "Principal": {"Federated": "accounts.google.com"}, "Action": "sts:*"}),
        (Kind.RCP, DENY_ALL),
        (Kind.IDENTITY, {**GOOD, "Condition": {}}),
        (Kind.IDENTITY, {**GOOD, "Condition": {"Bool": {"aws:SecureTransport": False}}}),
        (Kind.IDENTITY, {**GOOD, "Condition": {"NumericLessThan": {"aws:MultiFactorAuthAge": 3600}}}),
        (Kind.IDENTITY, {**GOOD, "Condition": {"StringEquals": {"localhost:8080/realm:sub": ["a", 1, True]}}}),
        (Kind.IDENTITY, {**GOOD, "Condition": {"StringEquals": {"aws:PrincipalTag/Cost Center": "\u4e2d"}}}),
        (Kind.IDENTITY, {**GOOD, "Condition": {"ArnLike": {"aws:SourceArn": "${aws:PrincipalArn}"}}}),
        (Kind.IDENTITY, {**GOOD, "Resource": "arn:aws:s3:::${aws:PrincipalTag/team, 'company-wide'}/${*}${?}${$}"}),
    ],
)
def test_what_the_grammar_has_is_accepted(kind: Kind, statement: dict[str, object]) -> None:
    assert len(parse(policy(statement), kind).statements) == 1


def test_a_decoded_document_is_parsed_like_its_text() -> None:
    document = {
        "Version": date(2012, 10, 17),
        "Statement": [
            {**GOOD, "Condition": {"DateLessThan": {"aws:CurrentTime": datetime(2026, 1, 1, tzinfo=UTC)}}},
        ],
    }
    parsed = parse_value(document, Kind.IDENTITY, name="p")
    assert (parsed.version, parsed.name) == ("2012-10-17", "p")
    assert json.loads(parsed.text)["Version"] == "2012-10-17"


def _cycle() -> object:
    ring: list[object] = []
    ring.append(ring)
    return ring


def _laughs() -> object:
    value: object = "ha"
    for _ in range(25):
        value = [value] * 10
    return value


NO_POLICIES = {
    "null": None,
    "number": 7,
    "nan": float("nan"),
    "infinity": float("inf"),
    "huge number": 10**5000,
    "bytes": b"{}",
    "object": object(),
    "name that is no string": {1: 2},
    "set": {"Statement": {"Effect": {1}}},
    "cycle": _cycle(),
    "billion laughs": _laughs(),
}


@pytest.mark.parametrize("document", NO_POLICIES.values(), ids=NO_POLICIES)
def test_a_decoded_document_that_is_no_policy_is_a_fault_without_a_place(document: object) -> None:
    with pytest.raises(PolicyError) as refusal:
        parse_value(document, Kind.IDENTITY)
    assert (refusal.value.faults[0].line, refusal.value.faults[0].column) == (0, 0)


def test_what_is_no_text_is_a_fault() -> None:
    nothing: Any = None
    with pytest.raises(PolicyError, match="not a text"):
        parse(nothing, Kind.IDENTITY)


def test_a_policy_parses_deep_in_the_stack() -> None:
    """The bound on depth, not Python's, decides."""

    def descend(levels: int) -> None:
        if levels:
            descend(levels - 1)
        else:
            with pytest.raises(PolicyError):
                parse("[" * 100_000, Kind.IDENTITY)

    descend(sys.getrecursionlimit() // 2)


WORDS = st.sampled_from(
    [
        "{", "}", "[", "]", ":", ",", '"', "\\", "\\u", "d800", "\n", "true", "null", "-1.5e3", "'", "${", "*", "?",
        '"Version"', '"2012-10-17"', '"Statement"', '"Effect"', '"Allow"', '"Action"', '"s3:Get*"', '"Resource"',
        '"arn:aws:s3:::b/${aws:x}"', '"Condition"', '"StringLike"', '"aws:x"', '"Principal"', '"AWS"', "\ud800", "\x00",
        "\u212a", "\U0001f600",
    ]
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | WORDS
NAMES = st.text() | st.sampled_from(
    [
        "Version", "Statement", "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource",
        "NotResource", "Condition", "AWS", "Service", "Bool", "ForAnyValue:StringLikeIfExists", "Null", "aws:SourceIp",
    ]
)  # fmt: skip
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5))


@settings(deadline=None)
@given(st.lists(WORDS | st.text(), max_size=40).map("".join), st.sampled_from(Kind))
def test_no_text_raises_anything_else(text: str, kind: Kind) -> None:
    try:
        parse(text, kind)
    except PolicyError as error:
        assert error.faults


@settings(deadline=None)
@given(st.binary(), st.sampled_from(Kind))
def test_no_bytes_raise_anything_else(text: bytes, kind: Kind) -> None:
    with pytest.raises(PolicyError):
        parse(text, kind)


@settings(deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=5), st.sampled_from(Kind))
def test_no_value_raises_anything_else(document: dict[str, object], kind: Kind) -> None:
    try:
        parse_value(document, kind)
    except PolicyError as error:
        assert error.faults


def test_size_leaves_white_space_out() -> None:
    assert size('{ "a" :\n\t"b c" }') == len('{"a":"bc"}')
