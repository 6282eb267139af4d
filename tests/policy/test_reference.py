"""The slow evaluator agrees with every case: each checks the other."""

from collections import Counter

import pytest

from tests.policy import reference
from tests.policy.suite import Case, cases


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.id)
def test_the_reference_gives_the_documented_verdict(case: Case) -> None:
    assert reference.verdict(case.question) == case.expected


def test_the_suite_is_broad() -> None:
    verdicts = Counter(case.expected for case in cases())
    assert len(cases()) >= 600
    assert min(verdicts[verdict] for verdict in ("allowed", "explicitDeny", "implicitDeny")) >= 100


def test_every_case_is_a_sentence_of_its_own_and_cites_its_fact() -> None:
    ids = Counter(case.id for case in cases())
    assert [case for case, count in ids.items() if count > 1] == []
    assert all(" " in case.name and ": " in case.fact + ": " and len(case.fact) > 15 for case in cases())
