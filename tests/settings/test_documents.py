"""Documents: what YAML and JSON text becomes, and on which lines it stands."""

from itertools import pairwise
from pathlib import Path

import pytest

from broker.settings.documents import Document, parse
from broker.settings.faults import Fault


def read(text: str, name: str = "a.yaml") -> tuple[Document | None, list[Fault]]:
    faults: list[Fault] = []
    return parse(Path(name), text, faults), faults


def value(text: str, name: str = "a.yaml") -> object:
    document, faults = read(text, name)
    assert not faults
    assert document is not None
    return document.value


@pytest.mark.parametrize(
    ("scalar", "expected"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("007", 7),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("yes", "yes"),
        ("off", "off"),
        ("NO", "NO"),
        ("2012-10-17", "2012-10-17"),
        ("22:30", "22:30"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        ("9" * 41, "9" * 41),
        ('"12"', "12"),
        ("'true'", "true"),
        ("arn:aws:iam::111122223333:role/r", "arn:aws:iam::111122223333:role/r"),
    ],
)
def test_plain_scalars_are_read_as_yaml_1_2_does(scalar: str, expected: object) -> None:
    assert value(f"key: {scalar}") == {"key": expected}


def test_keys_are_texts_as_written() -> None:
    assert value("on: 1\n2012: 2\n~: 3") == {"on": 1, "2012": 2, "~": 3}


def test_aliases_of_aliases_stand_for_no_more_values_than_there_is_room_for() -> None:
    names = "abcdefghi"
    lines = [f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in pairwise(names)]
    document, faults = read("\n".join(["a: &a [x]", *lines]))
    assert document is None
    assert [(fault.line, fault.message) for fault in faults] == [
        (7, "more than 1000000 values, with what aliases stand for")
    ]


def test_an_anchor_may_be_used_again() -> None:
    assert value("a: &x [1]\nb: *x") == {"a": [1], "b": [1]}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: 2\na: 3\n", 3),
        ("a:\n  - {b: 1,\n     b: 2}\n", 3),
        ("a: !Sub x\n", 1),
        ("a: 1\n? [x]\n: 2\n", 2),
        ("a: &x\n  - *x\n", 2),
        ("a: 1\n b: 2\n", 2),
        ("a: *nowhere\n", 1),
        ("a: 1\n---\nb: 2\n", 2),
        ("a: 'open\n\n", 3),
        ("a: \x07\n", 1),
        ("[" * 100_000, 1),
        ("a:\n" + "- " * 100_000 + "x", 2),
        ("a: 1\n*a : 2\n", 2),
    ],
)
def test_what_yaml_lets_pass_is_a_fault_with_its_line(text: str, line: int) -> None:
    _, faults = read(text)
    assert [fault.line for fault in faults] == [line]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"a": 1,\n "b": 2,\n "a": 3}', 3),
        ('{"a":\n 1,}', 2),
        ('{"a": [{"b": 1,\n "b": 1}]}', 2),
        ("", 1),
        ('{"a": NaN}', 1),
        ('{"a": ' + "9" * 5000 + "}", 1),
        ("[" * 100_000, 1),
    ],
)
def test_json_that_is_none_is_a_fault_with_its_line(text: str, line: int) -> None:
    _, faults = read(text, "a.json")
    assert [fault.line for fault in faults] == [line]


YAML = """\
# comment
Roles:
  - RoleName: a
    Tags: [{Key: k, Value: v},
           {Key: l, Value: v}]
  -
    RoleName: b
    Policy: |
      {"Version":
         1}
"""

JSON = """\

{ "Roles": [
  { "RoleName": "a\\n",
    "Tags": [{"Key": "k"},
             {"Key": "l"}]},
  {
    "RoleName": "b" } ] }
"""


@pytest.mark.parametrize(
    ("name", "text", "location", "line"),
    [
        ("a.yaml", YAML, (), 2),
        ("a.yaml", YAML, ("Roles",), 2),
        ("a.yaml", YAML, ("Roles", 0), 3),
        ("a.yaml", YAML, ("Roles", 0, "Tags"), 4),
        ("a.yaml", YAML, ("Roles", 0, "Tags", 1, "Key"), 5),
        ("a.yaml", YAML, ("Roles", 0, "Tags", 7, "Key"), 4),
        ("a.yaml", YAML, ("Roles", 1), 7),
        ("a.yaml", YAML, ("Roles", 1, "Policy", "Version"), 8),
        ("a.json", JSON, (), 2),
        ("a.json", JSON, ("Roles", 0, "Tags"), 4),
        ("a.json", JSON, ("Roles", 0, "Tags", 1, "Key"), 5),
        ("a.json", JSON, ("Roles", 0, "Tags", 1, "Value"), 5),
        ("a.json", JSON, ("Roles", 1), 6),
        ("a.json", JSON, ("Roles", 1, "RoleName"), 7),
    ],
)
def test_a_location_has_a_line(name: str, text: str, location: tuple[str | int, ...], line: int) -> None:
    document, faults = read(text, name)
    assert not faults
    assert document is not None
    assert document.line_of(location) == line
