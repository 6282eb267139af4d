"""Engine and reference give the same verdict for whatever policies and requests can be made of a small vocabulary."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.policy import decide, explain
from tests.policy import reference
from tests.policy.asking import policies, request
from tests.policy.reference import Question
from tests.policy.suite import principals
from tests.policy.vocabulary import CONTEXT_VALUES, REQUESTED, A, any_of, documents, questions


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(questions())
def test_engine_and_reference_agree(question: Question) -> None:
    documents_in_the_way = policies(question)
    expected = reference.verdict(question)
    assert decide(request(question), documents_in_the_way).verdict.value == expected
    assert explain(request(question), documents_in_the_way).decision.verdict.value == expected


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents("identity"), any_of(REQUESTED), st.data())
def test_one_document_means_the_same_to_both(document: dict[str, Any], resource: str, data: st.DataObject) -> None:
    """Few layers, so that conditions and resources decide more often."""
    question = Question(
        principal=principals()["alice"],
        action=data.draw(any_of(["sts:AssumeRole", "s3:GetObject"])),
        resource=resource,
        resource_account=A,
        single=data.draw(st.dictionaries(any_of(["aws:username", "example:one"]), any_of(CONTEXT_VALUES))),
        many=data.draw(st.dictionaries(st.just("Example:List"), st.lists(any_of(CONTEXT_VALUES), max_size=3))),
        identity=[document],
    )
    assert decide(request(question), policies(question)).verdict.value == reference.verdict(question)
