"""Condition keys are found whatever their letter case, and a context never changes."""

import pytest

from broker.policy import CONTEXT_KEYS, ContextKey, KeyType, RequestContext, context_key
from broker.policy.context import fold


def test_names_are_looked_up_without_case_and_values_keep_theirs() -> None:
    context = RequestContext({"aws:PrincipalTag/Team": "Red"}, {"aws:TagKeys": ["A", "b"]})
    assert context.get("AWS:principaltag/TEAM") == ("Red",)
    assert context.get("aws:tagkeys") == ("A", "b")
    assert "AWS:TAGKEYS" in context
    assert context.get("aws:username") is None
    assert "aws:username" not in context


def test_an_empty_list_is_no_key_and_an_empty_text_is_one() -> None:
    context = RequestContext({"t:text": ""}, {"t:list": []})
    assert context.get("t:text") == ("",)
    assert context.get("t:list") is None


@pytest.mark.parametrize(
    ("single", "many"),
    [
        ({"aws:username": "a", "AWS:Username": "b"}, {}),
        ({"aws:username": "a"}, {"aws:UserName": ["b"]}),
        ({}, {"aws:TagKeys": [], "aws:tagkeys": ["b"]}),
    ],
)
def test_names_that_differ_in_case_alone_are_refused(single: dict[str, str], many: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match="differ in case alone"):
        RequestContext(single, many)


def test_added_values_replace_those_of_the_same_name() -> None:
    first = RequestContext({"t:a": "1", "t:b": "2"}, {"t:c": ["3"]})
    second = first.with_values({"T:A": "one"}, {"t:B": ["x", "y"], "t:c": []})
    assert (second.get("t:a"), second.get("t:b"), second.get("t:c")) == (("one",), ("x", "y"), None)
    assert (first.get("t:a"), first.get("t:b"), first.get("t:c")) == (("1",), ("2",), ("3",))


def test_a_context_shows_its_names_and_not_its_values() -> None:
    assert repr(RequestContext({"t:Secret": "hidden"}, {"t:a": ["hidden"]})) == "RequestContext(t:Secret, t:a)"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("AWS:SOURCEIP", ContextKey(KeyType.IP)),
        ("aws:TagKeys", ContextKey(many=True)),
        ("aws:principaltag/Cost Center/x", ContextKey()),
        ("aws:MultiFactorAuthAge", ContextKey(KeyType.NUMERIC)),
        ("sojourn:AuthenticationMethods", ContextKey(many=True)),
        ("aws:PrincipalTag", None),
        ("aws:SourceIp/x", None),
        ("aws:nothing", None),
    ],
)
def test_the_catalogue_knows_keys_and_families_of_keys(name: str, key: ContextKey | None) -> None:
    assert context_key(name) == key


def test_catalogue_names_are_distinct_without_case() -> None:
    assert len({fold(name) for name in CONTEXT_KEYS}) == len(CONTEXT_KEYS) > 100
