"""Declared parameters and AWS's texts for faults in them."""

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.api.params import many, param, parse, structure
from broker.api.rules import (
    ARN_TEXT,
    POLICY_TEXT,
    TAG_KEY,
    TAG_VALUE,
    arn,
    boolean,
    choice,
    instant,
    integer,
    seconds,
    stripped,
    text,
)
from broker.arn import Arn
from broker.errors import MalformedInput, ValidationError

NAME = r"[\w+=,.@-]*"
ROLE = "arn:aws:iam::111122223333:role/deploy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    key: str = param("Key", text(1, 128, TAG_KEY))
    value: str = param("Value", text(0, 256, TAG_VALUE))


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDescriptor:
    arn: Arn = param("arn", arn())


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    role_arn: Arn = param("RoleArn", arn("role"))
    name: str = param("RoleSessionName", text(2, 64, NAME))
    duration: timedelta = param("DurationSeconds", seconds(900, 43_200), default=timedelta(hours=1))
    policy: str | None = param("Policy", text(1, None, POLICY_TEXT), default=None)
    policy_arns: tuple[PolicyDescriptor, ...] = param(
        "PolicyArns", many(structure(PolicyDescriptor), maximum=10), default=()
    )
    tags: tuple[Tag, ...] = param("Tags", many(structure(Tag), maximum=50), default=())
    transitive: tuple[str, ...] = param("TransitiveTagKeys", many(text(1, 128, TAG_KEY), maximum=50), default=())
    code: str | None = param("TokenCode", text(6, 6, r"[\d]*"), default=None, secret=True)


GOOD = {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": ROLE, "RoleSessionName": "alice"}


def refusal(parameters: dict[str, str], kind: type[object] = Request) -> str:
    with pytest.raises(ValidationError) as refused:
        parse(kind, parameters)
    return refused.value.message


def fault(value: str, member: str, clause: str) -> str:
    return f"1 validation error detected: Value {value} at '{member}' failed to satisfy constraint: {clause}"


def test_a_request_is_read_into_types() -> None:
    request = parse(
        Request,
        GOOD
        | {
            "DurationSeconds": "900",
            "Tags.member.2.Key": "b",
            "Tags.member.2.Value": "",
            "Tags.member.1.Value": "x",
            "Tags.member.1.Key": "a",
            "TransitiveTagKeys.member.7": "a",
            "TransitiveTagKeys.member.3": "b",
            "PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/ReadOnlyAccess",
        },
    )
    assert request.role_arn == Arn("aws", "iam", "", "111122223333", "role/deploy")
    assert request.duration == timedelta(minutes=15)
    assert request.tags == (Tag(key="a", value="x"), Tag(key="b", value=""))
    assert request.transitive == ("b", "a")
    assert str(request.policy_arns[0].arn) == "arn:aws:iam::aws:policy/ReadOnlyAccess"
    assert (request.policy, request.code) == (None, None)


def test_all_faults_are_reported_at_once() -> None:
    assert refusal({"RoleSessionName": "x", "DurationSeconds": "899"}) == (
        "3 validation errors detected: "
        "Value 'x' at 'roleSessionName' failed to satisfy constraint: "
        "Member must have length greater than or equal to 2; "
        "Value '899' at 'durationSeconds' failed to satisfy constraint: "
        "Member must have value greater than or equal to 900; "
        "Value null at 'roleArn' failed to satisfy constraint: Member must not be null"
    )


@pytest.mark.parametrize(
    ("name", "value", "member", "clauses"),
    [
        ("RoleSessionName", "", "roleSessionName", ["Member must have length greater than or equal to 2"]),
        ("RoleSessionName", "a" * 65, "roleSessionName", ["Member must have length less than or equal to 64"]),
        ("RoleSessionName", "a b", "roleSessionName", [rf"Member must satisfy regular expression pattern: {NAME}"]),
        ("RoleSessionName", "ab\n", "roleSessionName", [rf"Member must satisfy regular expression pattern: {NAME}"]),
        ("RoleSessionName", "aé", "roleSessionName", [rf"Member must satisfy regular expression pattern: {NAME}"]),
        ("RoleSessionName", "ab١", "roleSessionName", [rf"Member must satisfy regular expression pattern: {NAME}"]),
        (
            "RoleSessionName",
            "é",
            "roleSessionName",
            [
                "Member must have length greater than or equal to 2",
                rf"Member must satisfy regular expression pattern: {NAME}",
            ],
        ),
        ("DurationSeconds", "43201", "durationSeconds", ["Member must have value less than or equal to 43200"]),
        ("DurationSeconds", "-900", "durationSeconds", ["Member must have value greater than or equal to 900"]),
        ("RoleArn", "arn:aws:iam::1:role", "roleArn", ["Member must have length greater than or equal to 20"]),
        ("RoleArn", ROLE + "\x7f", "roleArn", [f"Member must satisfy regular expression pattern: {ARN_TEXT.printed}"]),
        ("Policy", "", "policy", [
            "Member must have length greater than or equal to 1",
            f"Member must satisfy regular expression pattern: {POLICY_TEXT.printed}",
        ]),
        ("Policy", "{ā}", "policy", [f"Member must satisfy regular expression pattern: {POLICY_TEXT.printed}"]),
    ],
)  # fmt: skip
def test_clauses_of_scalars(name: str, value: str, member: str, clauses: list[str]) -> None:
    one = "error" if len(clauses) == 1 else "errors"
    expected = [f"Value '{value}' at '{member}' failed to satisfy constraint: {clause}" for clause in clauses]
    assert refusal(GOOD | {name: value}) == f"{len(clauses)} validation {one} detected: {'; '.join(expected)}"


def test_the_edges_of_ranges_are_inside() -> None:
    for name, values in {
        "RoleSessionName": ("ab", "a" * 64),
        "DurationSeconds": ("900", "43200"),
        "TokenCode": ("000000",),
        "RoleArn": ("arn:aws:iam::1:role/", "arn:aws:iam::1:role/" + "a" * 2028),
    }.items():
        for value in values:
            parse(Request, GOOD | {name: value})


@pytest.mark.parametrize(("raw", "number"), [("+900", 900), ("0900", 900), ("0" * 63 + "9", 9), ("-5", -5)])
def test_integers(raw: str, number: int) -> None:
    @dataclass(frozen=True)
    class Numbers:
        count: int = param("Count", integer(-10, 1000))

    assert parse(Numbers, {"Count": raw}).count == number


@pytest.mark.parametrize(
    "raw",
    [
        "abc",
        "900.0",
        "2147483648",
        "-2147483649",
        "9" * 64,
        "0" * 65,
        " 900",
        "900 ",
        "9_00",
        "٩٠٠",
        "+",
        "1e3",
        "0x9",
        "--9",
    ],
)
def test_what_is_no_integer_is_malformed_without_a_message(raw: str) -> None:
    with pytest.raises(MalformedInput) as refused:
        parse(Request, GOOD | {"DurationSeconds": raw})
    assert refused.value.message == ""


def test_an_empty_integer_is_malformed() -> None:
    with pytest.raises(MalformedInput, match=r"^missing value for decimal type$"):
        parse(Request, GOOD | {"DurationSeconds": ""})


@pytest.mark.parametrize(
    "wrong",
    [
        "arn:aws:iam::111122223333:user/alice",
        "arn:aws:iam::111122223333:role",
        "arn:aws:sts::111122223333:role/deploy",
        "arn::iam::111122223333:role/deploy",
        "arn:aws::::111122223333:role/x",
        "not an arn but long enough",
        "arn:aws:iam:111122223333:role-x",
    ],
)
def test_an_arn_of_another_shape_is_invalid(wrong: str) -> None:
    assert refusal(GOOD | {"RoleArn": wrong}) == f"{wrong} is invalid"


def test_the_sentence_for_a_wrong_arn_comes_after_all_constraints() -> None:
    message = refusal({"RoleArn": "arn:aws:iam::111122223333:user/a", "RoleSessionName": "x"})
    assert message == fault("'x'", "roleSessionName", "Member must have length greater than or equal to 2")


def test_unsigned_actions_have_their_own_sentence() -> None:
    @dataclass(frozen=True)
    class Federated:
        role: Arn = param("RoleArn", arn("role", invalid="Request ARN is invalid"))

    assert refusal({"RoleArn": "arn:aws:iam::111122223333:{0}/a"}, Federated) == "Request ARN is invalid"


def test_braces_in_an_arn_are_text() -> None:
    assert refusal(GOOD | {"RoleArn": "arn:aws:iam::1:{0}/{arn}/{x!r}"}) == "arn:aws:iam::1:{0}/{arn}/{x!r} is invalid"


@pytest.mark.parametrize(
    "name",
    [
        "Foo",
        "roleArn",
        "ProvidedContexts.member.1.ProviderArn",
        "RoleArn.member.1",
        "Tag.Key",
        "Tags.",
        "Tagsx",
        "X-Amz-Date",
    ],
)
def test_an_unknown_parameter_is_refused_by_name(name: str) -> None:
    assert refusal(GOOD | {name: "v4lue"}) == (
        f"1 validation error detected: Parameter '{name}' is not one that this action takes"
    )


@pytest.mark.parametrize(
    "name",
    [
        "Tags.member.0.Key",
        "Tags.member.01.Key",
        "Tags.member.-1.Key",
        "Tags.member.1_0.Key",
        "Tags.member.١.Key",
        "Tags.member.10000.Key",
        "Tags.member..Key",
        "Tags.member.1.",
        "Tags.member",
        "Tags.1.Key",
        "Tags.Member.1.Key",
        "Tags.entry.1.Key",
        "TransitiveTagKeys.member.0",
        "TransitiveTagKeys.member.1.",
    ],
)
def test_garbage_list_names_are_refused(name: str) -> None:
    assert refusal(GOOD | {name: "v"}) == (
        f"1 validation error detected: Parameter '{name}' is not one that this action takes: "
        "list members are 'member.1', …"
    )


@pytest.mark.parametrize(
    "name", ["Tags.member.1.Other", "Tags.member.1.Key.member.1", "TransitiveTagKeys.member.1.Key"]
)
def test_unknown_names_inside_a_member_are_refused(name: str) -> None:
    good = GOOD | {"Tags.member.1.Key": "k", "Tags.member.1.Value": "v"}
    assert f"Parameter '{name}' is not one that this action takes" in refusal(good | {name: "v"})


def test_faults_inside_lists_name_the_member() -> None:
    assert refusal(GOOD | {"Tags.member.3.Key": "!", "Tags.member.3.Value": "v"}) == fault(
        "'!'", "tags.3.member.key", rf"Member must satisfy regular expression pattern: {TAG_KEY.printed}"
    )
    assert refusal(GOOD | {"Tags.member.1.Value": "v"}) == fault("null", "tags.1.member.key", "Member must not be null")
    assert "at 'policyArns.1.member.arn'" in refusal(GOOD | {"PolicyArns.member.1.arn": "short"})
    assert "at 'transitiveTagKeys.2.member'" in refusal(GOOD | {"TransitiveTagKeys.member.2": ""})


def test_a_list_has_its_most_members() -> None:
    keys = {f"TransitiveTagKeys.member.{i}": f"k{i}" for i in range(1, 51)}
    assert len(parse(Request, GOOD | keys).transitive) == 50
    assert refusal(GOOD | keys | {"TransitiveTagKeys.member.51": "k"}) == fault(
        "'[51 members]'", "transitiveTagKeys", "Member must have length less than or equal to 50"
    )


def test_an_empty_list_as_sdks_send_it() -> None:
    assert parse(Request, GOOD | {"Tags": "", "TransitiveTagKeys": ""}) == parse(Request, GOOD)
    assert refusal(GOOD | {"Tags": "a"}).endswith("Parameter 'Tags' is a list and has no value of its own")
    assert refusal(GOOD | {"TransitiveTagKeys": "", "TransitiveTagKeys.member.1": "a"}).endswith(
        "Parameter 'TransitiveTagKeys' is a list and has no value of its own"
    )


def test_a_required_list_is_missed_and_has_its_fewest_members() -> None:
    @dataclass(frozen=True)
    class Tokens:
        audience: tuple[str, ...] = param("Audience", many(text(1, 1000), minimum=1, maximum=10))

    assert refusal({}, Tokens) == fault("null", "audience", "Member must not be null")
    assert refusal({"Audience": ""}, Tokens) == fault(
        "'[0 members]'", "audience", "Member must have length greater than or equal to 1"
    )


def test_a_single_structure() -> None:
    @dataclass(frozen=True)
    class Root:
        task: PolicyDescriptor = param("TaskPolicyArn", structure(PolicyDescriptor))

    policy = "arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials"
    assert str(parse(Root, {"TaskPolicyArn.arn": policy}).task.arn) == policy
    assert refusal({}, Root) == fault("null", "taskPolicyArn", "Member must not be null")
    assert "'TaskPolicyArn.Arn' is not one" in refusal({"TaskPolicyArn.Arn": policy}, Root)
    assert refusal({"TaskPolicyArn": ""}, Root).endswith("is a structure and has no value of its own")
    assert "'TaskPolicyArn.Version' is not one" in refusal(
        {"TaskPolicyArn.arn": policy, "TaskPolicyArn.Version": "1"}, Root
    )


def test_secrets_are_never_shown() -> None:
    message = refusal(GOOD | {"TokenCode": "12345x"})
    assert message == fault("'****'", "tokenCode", r"Member must satisfy regular expression pattern: [\d]*")
    assert "271828" not in repr(parse(Request, GOOD | {"TokenCode": "271828"}))

    @dataclass(frozen=True)
    class Secrets:
        words: tuple[str, ...] = param("Words", many(text(9)), secret=True)

    assert "hunter2" not in refusal({"Words.member.1": "hunter2"}, Secrets)


def test_values_and_faults_shown_are_bounded() -> None:
    message = refusal(GOOD | {"RoleSessionName": "a" * 100_000})
    assert f"'{'a' * 1024}…'" in message
    message = refusal({f"P{i}": "" for i in range(400)})
    assert message.startswith("402 validation errors detected: ")
    assert message.endswith("; and 382 more")
    assert len(refusal({"RoleArn": "x" * 2048, "RoleSessionName": "ab"})) < 1100


@pytest.mark.parametrize("value", ["a b", "é", "日本", "a.b:/=+-@_", "", "\u00a0", "²"])
def test_tag_values(value: str) -> None:
    parse(Tag, {"Key": "k", "Value": value})


@pytest.mark.parametrize("value", ["\U00020000", "😀", "a\tb", "a\nb", "a;b", "e\u0301", "€", "a*"])
def test_characters_that_no_tag_holds(value: str) -> None:
    assert "regular expression pattern" in refusal({"Key": "k", "Value": value}, Tag)


def test_supplementary_characters_are_refused_in_arns_and_policies() -> None:
    assert ARN_TEXT.printed in refusal(GOOD | {"RoleArn": ROLE + "\U00010000"})
    assert POLICY_TEXT.printed in refusal(GOOD | {"Policy": "\U00010000"})


def test_lengths_count_code_points() -> None:
    assert parse(Tag, {"Key": "日" * 128, "Value": ""}).key == "日" * 128
    assert "less than or equal to 128" in refusal({"Key": "日" * 129, "Value": ""}, Tag)


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    flag: bool = param("Flag", boolean(), default=False)
    algorithm: str | None = param("SigningAlgorithm", choice("RS256", "ES384"), default=None)
    before: datetime | None = param("IssuedBefore", instant(), default=None)
    token: str | None = param("WebIdentityToken", stripped(4, 20_000), default=None, secret=True)


def test_booleans_enumerations_times_and_tokens() -> None:
    assert parse(Others, {"Flag": "true"}).flag is True
    assert parse(Others, {"SigningAlgorithm": "ES384"}).algorithm == "ES384"
    assert parse(Others, {"IssuedBefore": "2026-07-13T12:00:00+02:00"}).before == datetime(2026, 7, 13, 10, tzinfo=UTC)
    assert parse(Others, {"WebIdentityToken": "a.b.c\n"}).token == "a.b.c"
    assert refusal({"SigningAlgorithm": "HS256"}, Others) == fault(
        "'HS256'", "signingAlgorithm", "Member must satisfy enum value set: [RS256, ES384]"
    )
    assert "'****'" in refusal({"WebIdentityToken": "abc\n\n"}, Others)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("Flag", value) for value in ("True", "1", "")),
        *(("IssuedBefore", value) for value in ("", "2026-07-13", "2026-07-13T00:00:00", "2026-13-13T00:00:00Z")),
        ("IssuedBefore", "0001-01-01T00:00:00+01:00"),
    ],
)
def test_malformed_booleans_and_times(name: str, value: str) -> None:
    with pytest.raises(MalformedInput):
        parse(Others, {name: value})


parameter_names = st.sampled_from(
    ["Action", "RoleArn", "RoleSessionName", "DurationSeconds", "Tags", "Tags.member.1.Key", "Tags.member.1.Value",
     "Tags.member.2.Key", "Tags.member.1", "TransitiveTagKeys.member.1", "PolicyArns.member.1.arn", "TokenCode"]
) | st.text(max_size=12)  # fmt: skip
parameter_values = st.sampled_from([ROLE, "alice", "900", ""]) | st.text(max_size=30)


@given(st.dictionaries(parameter_names, parameter_values))
def test_anything_is_read_or_refused(parameters: dict[str, str]) -> None:
    with contextlib.suppress(MalformedInput, ValidationError):
        request = parse(Request, parameters)
        assert request.role_arn == Arn.parse(parameters["RoleArn"])
        assert request.name == parameters["RoleSessionName"]
        assert len(request.transitive) == len([name for name in parameters if name.startswith("TransitiveTagKeys.")])
