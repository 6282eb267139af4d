"""Wildcards agree with a slow reference and cost time linear in the text; substituted values are never patterns."""

import json
import time
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.policy import Kind, RequestContext, parse
from broker.policy.match import Glob, matcher, resource_matcher
from broker.policy.template import ONE, STAR, Template, Variable, split_arn, template

NOTHING = RequestContext()


def slow_match(pattern: Template, text: str) -> bool:
    """The definition, one token and one character at a time."""

    @cache
    def rest(p: int, t: int) -> bool:
        if p == len(pattern):
            return t == len(text)
        token = pattern[p]
        if token is STAR:
            return rest(p + 1, t) or (t < len(text) and rest(p, t + 1))
        if token is ONE:
            return t < len(text) and rest(p + 1, t + 1)
        assert isinstance(token, str)
        return text.startswith(token, t) and rest(p + 1, t + len(token))

    return rest(0, 0)


def pattern(text: str) -> Template:
    return template(text, variables=False, wildcards=True)


@settings(deadline=None)
@given(st.text("ab*?:", max_size=12), st.text("ab:", max_size=14))
@example("a?b*a?b", "aabaab")
@example("*?*", "")
@example("", "")
def test_wildcards_agree_with_the_definition(glob: str, text: str) -> None:
    tokens = pattern(glob)
    expected = slow_match(tokens, text)
    assert Glob(tokens).matches(text) is expected
    assert matcher(tokens)(text, NOTHING) is expected


@settings(deadline=None)
@given(st.text("ab?", min_size=1, max_size=5), st.text("ab?", max_size=4), st.text("ab", max_size=16))
@example("a?a", "", "baabaa")
@example("?", "?", "aa")
def test_question_marks_between_stars_agree_with_the_definition(first: str, second: str, text: str) -> None:
    tokens = pattern(f"*{first}*{second}*")
    assert Glob(tokens).matches(text) is slow_match(tokens, text)


@settings(deadline=None)
@given(st.text("ab*?", max_size=8), st.text("ab*?", max_size=4), st.text("ab*?", max_size=12))
def test_a_filled_variable_is_a_literal(glob: str, value: str, text: str) -> None:
    tokens: list[str | Variable | object] = []
    for part in glob.partition("b"):
        tokens += template("${k:v}" if part == "b" else part, variables=True, wildcards=True)
    filled = tuple(value if isinstance(token, Variable) else token for token in tokens)
    expected = slow_match(filled, text)  # type: ignore[arg-type]
    assert matcher(tuple(tokens))(text, RequestContext({"k:v": value})) is expected  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.text("a:*?", max_size=14), st.text("a:", max_size=14))
def test_the_narrow_reading_never_matches_more_than_the_wide_one(glob: str, text: str) -> None:
    tokens = pattern(glob)
    if resource_matcher(tokens)(text, NOTHING):
        assert resource_matcher(tokens, wide=True)(text, NOTHING)


def parts(alphabet: str) -> st.SearchStrategy[str]:
    part = st.sampled_from(["", "a"]) | st.text(alphabet, max_size=3)
    return st.lists(part, min_size=5, max_size=7).map(":".join)


@settings(deadline=None)
@given(parts("a*?"), parts("ab"))
@example("a:a:a:a*:*:a", "a:a:a:ab::a")
@example("a:a:a:a*:*:a", "a:a:a:b::a")
def test_the_narrow_reading_compares_part_by_part(glob: str, text: str) -> None:
    patterns, given_parts = glob.split(":", 5), text.split(":", 5)
    whole = glob == "*" or (set(glob) == {"*"})
    expected = whole or (
        len(patterns) == len(given_parts) == 6
        and not {"*", "?"} & set(patterns[2])
        and all(slow_match(pattern(p), part) for p, part in zip(patterns, given_parts, strict=True))
    )
    assert resource_matcher(pattern(glob))(text, NOTHING) is expected


def seconds(work: Callable[[], object]) -> float:
    """Of this thread's own, the least of three."""
    costs = []
    for _ in range(3):
        start = time.thread_time()
        work()
        costs.append(time.thread_time() - start)
    return min(costs)


@pytest.mark.parametrize(
    "glob",
    [
        "a*" * 500 + "b",
        "*a" * 500 + "*b",
        "a?*" * 300 + "b",
        "*a?" * 300 + "*b",
        "*" + "a?" * 300 + "b*",
        "?*" * 500 + "b",
    ],
    ids=["a*a*", "*a*a", "a?*a?*", "*a?*a?", "one long chunk", "?*?*"],
)
def test_time_is_linear_in_the_text(glob: str) -> None:
    """Eight times the text may cost some eight times the time; a backtracking matcher would never come back."""
    compiled = Glob(pattern(glob))
    short, long = "a" * 20_000, "a" * 160_000
    assert not compiled.matches(short)
    assert seconds(lambda: compiled.matches(long)) < 8 * 4 * seconds(lambda: compiled.matches(short)) + 0.02
    assert seconds(lambda: compiled.matches(long)) < 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a${*}b", ("a*b",)),
        ("${?}${$}*", ("?$", STAR)),
        ("a**b???", ("a", STAR, "b", ONE, ONE, ONE)),
        ("x/${aws:PrincipalTag/Team}/", ("x/", Variable("aws:PrincipalTag/Team", "aws:principaltag/team"), "/")),
        ("${aws:a, 'b*'}", (Variable("aws:a", "aws:a", "b*"),)),
        ("$a{b}$", ("$a{b}$",)),
    ],
)
def test_a_template_is_taken_apart(text: str, expected: Template) -> None:
    assert template(text, variables=True, wildcards=True) == expected


@pytest.mark.parametrize(
    "text", ["${", "${}", "${a}", "${a:b", "${a:b,'c'}", "${a:b,  'c'}", "${ a:b}", "${a:b }", "${${a:b}}"]
)
def test_a_malformed_variable_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="variable"):
        template(text, variables=True, wildcards=True)


def test_a_template_is_split_at_its_own_colons_only() -> None:
    tokens = template("arn:aws:s3:*::${a:b}:c", variables=True, wildcards=True)
    assert split_arn(tokens) == [("arn",), ("aws",), ("s3",), (STAR,), (), (Variable("a:b", "a:b"), ":c")]


HOSTILE = {
    "variables that are none": ("${" * 60_000, "2008-10-17"),
    "literal signs": ("${*}" * 30_000, "2012-10-17"),
    "stars": ("*a" * 60_000, "2012-10-17"),
    "question marks": ("?a" * 60_000, "2012-10-17"),
}


@pytest.mark.parametrize(("pattern_text", "version"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_pattern_is_read_in_bounded_time(pattern_text: str, version: str) -> None:
    statement = {"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::" + pattern_text}
    document = json.dumps({"Version": version, "Statement": statement})
    start = time.thread_time()
    parse(document, Kind.IDENTITY)
    assert time.thread_time() - start < 5
