"""The slow evaluator agrees with every case: each checks the other."""

from collections import Counter

import pytest

from tests.policy import reference
from tests.policy.suite import cases

FILES = sorted({case.file for case in cases()})


@pytest.mark.parametrize("file", FILES)
def test_the_reference_gives_the_documented_verdicts(file: str) -> None:
    answers = {case.name: reference.verdict(case.question) for case in cases() if case.file == file}
    assert answers == {case.name: case.expected for case in cases() if case.file == file}


def test_the_suite_is_broad() -> None:
    verdicts = Counter(case.expected for case in cases())
    assert verdicts.total() >= 600
    assert min(verdicts[verdict] for verdict in ("allowed", "explicitDeny", "implicitDeny")) >= 100


def test_every_case_has_a_name_of_its_own_and_cites_its_fact() -> None:
    ids = Counter(case.id for case in cases())
    assert [name for name, count in ids.items() if count > 1] == []
    assert [case.id for case in cases() if " " not in case.name or "," not in case.fact] == []


def test_where_the_documentation_leaves_a_reading_open_nothing_is_granted() -> None:
    assert [case.id for case in cases() if case.open and case.expected == "allowed"] == []
