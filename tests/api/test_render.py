"""Answers as XML and JSON."""

import json
from datetime import UTC, datetime, timedelta, timezone
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.api.render import AWS_FAULT, IAM, STS, Entries, failure, success
from broker.errors import (
    AccessDenied,
    BrokerError,
    InternalFailure,
    InvalidAction,
    MalformedInput,
    SignatureDoesNotMatch,
    ValidationError,
)

REQUEST_ID = "01234567-89ab-4cde-8f01-23456789abcd"
EXPIRATION = datetime(2026, 7, 13, 12, 0, 0, 987654, tzinfo=timezone(timedelta(hours=2)))
ASSUMED = {
    "AssumedRoleUser": {"AssumedRoleId": "AROA1:alice", "Arn": "arn:aws:sts::111122223333:assumed-role/deploy/alice"},
    "Credentials": {
        "AccessKeyId": "ASIA1",
        "SecretAccessKey": "a/b+c",
        "SessionToken": "x.y",
        "Expiration": EXPIRATION,
    },
    "PackedPolicySize": 6,
    "SourceIdentity": None,
}


def test_a_result_as_aws_prints_it() -> None:
    assert success("AssumeRole", ASSUMED, REQUEST_ID).decode() == (
        '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">\n'
        "  <AssumeRoleResult>\n"
        "    <AssumedRoleUser>\n"
        "      <AssumedRoleId>AROA1:alice</AssumedRoleId>\n"
        "      <Arn>arn:aws:sts::111122223333:assumed-role/deploy/alice</Arn>\n"
        "    </AssumedRoleUser>\n"
        "    <Credentials>\n"
        "      <AccessKeyId>ASIA1</AccessKeyId>\n"
        "      <SecretAccessKey>a/b+c</SecretAccessKey>\n"
        "      <SessionToken>x.y</SessionToken>\n"
        "      <Expiration>2026-07-13T10:00:00Z</Expiration>\n"
        "    </Credentials>\n"
        "    <PackedPolicySize>6</PackedPolicySize>\n"
        "  </AssumeRoleResult>\n"
        "  <ResponseMetadata>\n"
        f"    <RequestId>{REQUEST_ID}</RequestId>\n"
        "  </ResponseMetadata>\n"
        "</AssumeRoleResponse>\n"
    )


def test_a_result_as_json() -> None:
    assert json.loads(success("AssumeRole", ASSUMED, REQUEST_ID, json=True)) == {
        "AssumeRoleResponse": {
            "AssumeRoleResult": {
                "AssumedRoleUser": ASSUMED["AssumedRoleUser"],
                "Credentials": {
                    "AccessKeyId": "ASIA1",
                    "SecretAccessKey": "a/b+c",
                    "SessionToken": "x.y",
                    "Expiration": 1783936800,
                },
                "PackedPolicySize": 6,
            },
            "ResponseMetadata": {"RequestId": REQUEST_ID},
        }
    }


def test_lists_maps_and_empty_elements() -> None:
    result = {
        "Roles": [{"RoleName": "a"}, {"RoleName": "b"}],
        "Names": ("x", "y"),
        "Details": Entries({"policy/1": "allowed", "<2>": "x"}),
        "IsTruncated": False,
        "Nothing": [],
        "Empty": {},
        "Blank": "",
        "Ratio": 0.5,
    }
    root = ElementTree.fromstring(success("ListRoles", result, REQUEST_ID, namespace=IAM))
    assert root.tag == f"{{{IAM}}}ListRolesResponse"
    space = {"i": IAM}
    assert [name.text for name in root.iterfind(".//i:Roles/i:member/i:RoleName", space)] == ["a", "b"]
    assert [name.text for name in root.iterfind(".//i:Names/i:member", space)] == ["x", "y"]
    assert [
        (entry.findtext("i:key", namespaces=space), entry.findtext("i:value", namespaces=space))
        for entry in root.iterfind(".//i:Details/i:entry", space)
    ] == [("policy/1", "allowed"), ("<2>", "x")]
    assert root.findtext(".//i:IsTruncated", namespaces=space) == "false"
    assert root.findtext(".//i:Ratio", namespaces=space) == "0.5"
    text = success("ListRoles", result, REQUEST_ID).decode()
    assert "    <Nothing/>\n    <Empty/>\n    <Blank></Blank>\n" in text
    plain = json.loads(success("ListRoles", result, REQUEST_ID, json=True))["ListRolesResponse"]["ListRolesResult"]
    assert plain["Details"] == {"policy/1": "allowed", "<2>": "x"}
    assert (plain["Nothing"], plain["Empty"], plain["IsTruncated"]) == ([], {}, False)


def test_an_action_without_a_result_has_only_metadata() -> None:
    assert b"Result" not in success("DeleteVirtualMFADevice", None, REQUEST_ID, namespace=IAM)
    assert json.loads(success("X", None, REQUEST_ID, json=True)) == {
        "XResponse": {"ResponseMetadata": {"RequestId": REQUEST_ID}}
    }


def test_an_error_as_aws_prints_it() -> None:
    assert failure(AccessDenied("no <&>"), REQUEST_ID).decode() == (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">\n'
        "  <Error>\n"
        "    <Type>Sender</Type>\n"
        "    <Code>AccessDenied</Code>\n"
        "    <Message>no &lt;&amp;&gt;</Message>\n"
        "  </Error>\n"
        f"  <RequestId>{REQUEST_ID}</RequestId>\n"
        "</ErrorResponse>\n"
    )
    assert json.loads(failure(AccessDenied("no"), REQUEST_ID, json=True)) == {
        "Error": {"Code": "AccessDenied", "Message": "no", "Type": "Sender"},
        "RequestId": REQUEST_ID,
    }


@pytest.mark.parametrize("error", [MalformedInput(""), SignatureDoesNotMatch("")])
def test_an_error_without_a_message_has_no_message_element(error: BrokerError) -> None:
    assert b"Message" not in failure(error, REQUEST_ID)
    assert b"Message" not in failure(error, REQUEST_ID, json=True)


@pytest.mark.parametrize(
    ("error", "namespace", "expected", "kind"),
    [
        (ValidationError("x"), STS, STS, "Sender"),
        (ValidationError("x"), IAM, IAM, "Sender"),
        (InvalidAction("x"), STS, AWS_FAULT, "Sender"),
        (InvalidAction("x"), IAM, AWS_FAULT, "Sender"),
        (InternalFailure(), STS, STS, "Receiver"),
    ],
)
def test_namespaces_and_types_of_errors(error: BrokerError, namespace: str, expected: str, kind: str) -> None:
    root = ElementTree.fromstring(failure(error, REQUEST_ID, namespace=namespace))
    assert root.tag == f"{{{expected}}}ErrorResponse"
    assert root.findtext(f"{{{expected}}}Error/{{{expected}}}Type") == kind


names = st.from_regex(r"[A-Z][A-Za-z0-9]{0,8}", fullmatch=True)
anything = st.text(st.characters(codec=None), max_size=20)
leaves = (
    anything
    | st.integers(-(1 << 53), 1 << 53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.datetimes(timezones=st.just(UTC))
    | st.none()
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.dictionaries(names, inner, max_size=3)
        | st.lists(inner, max_size=3)
        | st.builds(Entries, st.dictionaries(anything, inner, max_size=3))
    ),
    max_leaves=12,
)


@given(st.dictionaries(names, trees, max_size=4), anything)
def test_any_result_parses(result: dict[str, object], request_id: str) -> None:
    ElementTree.fromstring(success("Action", result, request_id))
    json.loads(success("Action", result, "r", json=True))


@given(anything)
def test_text_comes_back_as_given_but_for_what_xml_cannot_carry(value: str) -> None:
    readable = "".join(
        "\ufffd" if (c < " " and c not in "\t\r\n") or "\ud800" <= c <= "\udfff" or c in "\ufffe\uffff" else c
        for c in value
    )
    for raw in (success("A", {"Text": value}, "r"), failure(ValidationError(f"-{value}"), "r")):
        root = ElementTree.fromstring(raw)
        assert [readable, f"-{readable}"].count("".join(root[0][-1].itertext())) == 1
    assert json.loads(success("A", {"Text": value}, "r", json=True))["AResponse"]["AResult"]["Text"] == readable
    assert json.loads(failure(ValidationError(f"-{value}"), "r", json=True))["Error"]["Message"] == f"-{readable}"


@pytest.mark.parametrize(
    "value", [b"bytes", float("nan"), float("inf"), EXPIRATION.replace(tzinfo=None), object(), {1, 2}]
)
def test_values_without_a_wire_form_are_a_programming_error(value: object) -> None:
    for json_ in (False, True):
        with pytest.raises(TypeError, match="cannot hold"):
            success("A", {"X": value}, "r", json=json_)


@pytest.mark.parametrize("name", ["", "a b", "1a", "a>", "é", "a\n"])
def test_names_that_are_no_elements_are_a_programming_error(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be an element"):
        success("A", {name: "x"}, "r")
