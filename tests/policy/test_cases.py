"""The engine gives the documented verdict in every case of the suite."""

import pytest

from broker.policy import decide, explain
from tests.policy.asking import policies, request
from tests.policy.suite import Case, cases


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.id)
def test_the_engine_gives_the_documented_verdict(case: Case) -> None:
    asked, documents = request(case.question), policies(case.question)
    assert decide(asked, documents).verdict.value == case.expected
    assert explain(asked, documents).decision.verdict.value == case.expected
