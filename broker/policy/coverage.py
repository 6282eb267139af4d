"""Whether one statement reaches everything that another does, judged by their texts alone.

The answer "yes" is sure; "no" may only mean that the texts do not show it.
"""

from collections.abc import Callable, Sequence

from broker.policy.context import fold
from broker.policy.model import Effect, Kind, Statement
from broker.policy.principals import EVERYONE


def covers(pattern: str, other: str) -> bool:
    """Whether the wildcard pattern matches all that the pattern `other` matches.

    With an `other` that has no wildcards: whether it matches.
    """
    at = seen = 0
    star = resume = -1
    while seen < len(other):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, seen
            at += 1
        elif at < len(pattern) and (pattern[at] == other[seen] or (pattern[at] == "?" and other[seen] != "*")):
            at += 1
            seen += 1
        elif star >= 0:
            resume += 1
            at, seen = star + 1, resume
        else:
            return False
    return not pattern[at:].strip("*")


def statement_covers(wide: Statement, narrow: Statement, kind: Kind) -> bool:
    """Whether `wide` applies to every request to which `narrow` applies, leaving their effects aside."""
    return (
        _list_covers(wide.actions, wide.not_action, narrow.actions, narrow.not_action, _action_covers)
        and _resources_cover(wide, narrow)
        and _principals_cover(wide, narrow, kind)
        and _conditions(wide) <= _conditions(narrow)
    )


def _resources_cover(wide: Statement, narrow: Statement) -> bool:
    patterns: Sequence[str] = wide.resources
    if wide.not_resource and any("${" in pattern for pattern in patterns):
        return narrow.not_resource and set(patterns) == set(narrow.resources)
    if wide.effect is Effect.ALLOW and not wide.not_resource:
        # An Allow grants nothing by a wildcard in the service.
        patterns = [pattern for pattern in patterns if not set("*?") & set("".join(pattern.split(":")[2:3]))]
    return _list_covers(patterns, wide.not_resource, narrow.resources, narrow.not_resource, _resource_covers)


def _list_covers(
    wide: Sequence[str], wide_not: bool, narrow: Sequence[str], narrow_not: bool, test: Callable[[str, str], bool]
) -> bool:
    if not wide_not and "*" in wide:
        return True
    if wide_not and narrow_not:
        return all(any(test(pattern, excluded) for pattern in narrow) for excluded in wide)
    if wide_not or narrow_not:
        return False
    return all(any(test(pattern, other) for pattern in wide) for other in narrow)


def _action_covers(pattern: str, other: str) -> bool:
    return covers(fold(pattern), fold(other))


def _resource_covers(pattern: str, other: str) -> bool:
    if pattern == other:
        return True
    if "${" in pattern or ("${" in other and "?" in pattern):
        return False
    parts, others = pattern.split(":", 5), other.split(":", 5)
    return len(parts) == len(others) == 6 and all(map(covers, parts, others))


def _principals_cover(wide: Statement, narrow: Statement, kind: Kind) -> bool:
    if wide.not_principal or narrow.not_principal:
        return wide.not_principal == narrow.not_principal and set(wide.principals) == set(narrow.principals)
    everyone = EVERYONE in wide.principals and (kind is not Kind.TRUST or wide.effect is not Effect.ALLOW)
    return everyone or set(narrow.principals) <= set(wide.principals)


def _conditions(statement: Statement) -> set[tuple[str, str, frozenset[str]]]:
    return {(c.operator, c.folded, frozenset(c.values)) for c in statement.conditions}
