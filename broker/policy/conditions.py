"""The test of a condition: what all operators share, `IfExists`, the set operators, absent keys and negation
(IAM User Guide, "IAM JSON policy elements: Condition operators" and "Set operators for multi-valued context keys").
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

from broker.policy.context import RequestContext, fold
from broker.policy.operators import NULL, OPERATORS, Operator, OperatorName, Predicate, Quantifier, read_all
from broker.policy.values import read_bool

Test = Callable[[RequestContext], bool]


class _Unreadable(Enum):
    UNREADABLE = "unreadable"


_UNREADABLE: Final = _Unreadable.UNREADABLE


def condition_test(name: OperatorName, key: str, values: Sequence[str], *, variables: bool, deny: bool) -> Test:
    """The test of one operator on one key, where `deny` is the statement's effect.

    AWS leaves open what a list of values means without a set operator, `ForAnyValue:...IfExists` on an absent key,
    and a negated operator on a value it cannot read. There a Deny applies and an Allow does not.

    Raises:
        BadValue: a policy value is not of the operator's type.
    """
    folded = fold(key)
    if name.base == NULL:
        return _null_test(name.quantifier, folded, frozenset(read_all(values, read_bool)))
    operator = OPERATORS[name.base]
    met = operator.compile(values, variables)
    negated = operator.negated
    unreadable = deny and negated
    slot = f"{operator.type}\0{folded}"

    def holds(raw: str, context: RequestContext) -> bool:
        if operator.read is None:
            return met(raw, context) is not negated
        try:
            actual = operator.read(raw)
        except ValueError:
            return unreadable
        return met(actual, context) is not negated

    match name.quantifier:
        case Quantifier.ALL:

            def test(context: RequestContext) -> bool:
                raw = context.values.get(folded, ())
                return all(holds(value, context) for value in ((raw,) if isinstance(raw, str) else raw))

            return test
        case Quantifier.ANY:
            absent = name.if_exists and deny

            def test_any(context: RequestContext) -> bool:
                raw = context.values.get(folded)
                if raw is None:
                    return absent
                return any(holds(value, context) for value in ((raw,) if isinstance(raw, str) else raw))

            return test_any
        case None:
            return _single_test(operator, met, folded, slot, absent=negated or name.if_exists, deny=deny)


def _single_test(operator: Operator, met: Predicate, key: str, slot: str, *, absent: bool, deny: bool) -> Test:
    read, negated = operator.read, operator.negated
    unreadable = deny and negated

    def test(context: RequestContext) -> bool:
        raw = context.values.get(key)
        if raw is None:
            return absent
        if raw.__class__ is tuple:
            if len(raw) != 1:
                return deny
            raw = raw[0]
        if read is None:
            return met(raw, context) is not negated
        actual = context.typed.get(slot)
        if actual is None:
            try:
                actual = read(raw)  # type: ignore[arg-type]  # the tuple is taken apart above
            except ValueError:
                actual = _UNREADABLE
            context.typed[slot] = actual
        if actual is _UNREADABLE:
            return unreadable
        return met(actual, context) is not negated

    return test


def _null_test(quantifier: Quantifier | None, key: str, expected: frozenset[bool]) -> Test:
    when_present = False in expected
    match quantifier:
        case Quantifier.ALL:
            when_absent = True
        case Quantifier.ANY:
            when_absent = False
        case None:
            when_absent = True in expected

    return lambda context: when_present if key in context.values else when_absent
