"""Lint checks of any policy: actions, keys, values, sizes, statements that change nothing.

IAM User Guide, "IAM Access Analyzer policy check reference".
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from broker.policy.context import CONTEXT_KEYS, context_key, fold
from broker.policy.coverage import covers, statement_covers
from broker.policy.document import FIRST_VERSION, size
from broker.policy.faults import Path
from broker.policy.known_actions import KNOWN_ACTIONS
from broker.policy.model import Condition, Effect, Kind, Policy, Statement
from broker.policy.operators import NULL, OPERATORS, Quantifier

Found = Iterator[tuple[Path, str]]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked: a policy, and the account that it belongs to, where known."""

    policy: Policy
    account: str | None


Check = Callable[[Subject], Iterable[tuple[Path, str]]]
"""Gives the place of each finding, where a list that may stand alone counts as a list, and what is to be said."""

_JUDGED_PREFIXES: Final = ("aws:", "sts:", "saml:", "x509:", "sojourn:", "iam:")
_FOLDED_KEYS: Final = {fold(name.removesuffix("*")): name.removesuffix("*") for name in CONTEXT_KEYS}
_FOLDED_ACTIONS: Final = {
    service: {fold(name): f"{service}:{name}" for name in names} for service, names in KNOWN_ACTIONS.items()
}

SIZES: Final = {
    Kind.IDENTITY: (6_144, "a managed policy"),
    Kind.BOUNDARY: (6_144, "a managed policy"),
    Kind.SESSION: (2_048, "session policies together"),
    Kind.SCP: (5_120, "a service control policy"),
    Kind.RCP: (5_120, "a resource control policy"),
    Kind.TRUST: (2_048, "a trust policy without a raised quota"),
}
"""AWS's quotas in characters without white space (IAM User Guide, "IAM and AWS STS quotas")."""


def at(statement: Statement, *rest: str | int) -> Path:
    """The place of something in a statement."""
    return ("Statement", statement.index, *rest)


def at_condition(statement: Statement, condition: Condition, *rest: str | int) -> Path:
    """The place of a condition's values."""
    return at(statement, "Condition", condition.operator, condition.key, *rest)


def narrows(condition: Condition) -> bool:
    """Whether the condition demands a value of a request: not negated, and false without the key."""
    name = condition.name
    if name.base == NULL or OPERATORS[name.base].negated or name.if_exists or name.quantifier is Quantifier.ALL:
        return False
    return all(value.strip("*") for value in condition.values)


def equals_wildcard(subject: Subject) -> Found:
    """StringEquals and its relatives take `*` and `?` literally."""
    for statement in subject.policy.statements:
        for condition in statement.conditions:
            if "Equals" not in condition.operator or not condition.name.base.startswith("String"):
                continue
            like = condition.operator.replace("EqualsIgnoreCase", "Like").replace("Equals", "Like")
            for index, value in enumerate(condition.values):
                plain = value.replace("${*}", "").replace("${?}", "")
                if "*" in plain or ("?" in plain and "://" not in plain):
                    yield at_condition(statement, condition, index), f"write {like} to match {value!r} as a pattern"


def for_all_values_alone(subject: Subject) -> Found:
    """An Allow that ForAllValues alone guards admits requests without the key."""
    for statement in subject.policy.statements:
        if statement.effect is not Effect.ALLOW:
            continue
        demanded = {c.folded for c in statement.conditions if narrows(c)}
        demanded |= {c.folded for c in statement.conditions if c.name.base == NULL and _only_false(c)}
        for condition in statement.conditions:
            if condition.name.quantifier is Quantifier.ALL and condition.folded not in demanded:
                message = f'add "Null": {{"{condition.key}": "false"}} so that the key has to be there'
                yield at_condition(statement, condition), message


def _only_false(condition: Condition) -> bool:
    return {fold(value) for value in condition.values} == {"false"}


def not_principal_allow(subject: Subject) -> Found:
    """Allow with NotPrincipal."""
    for statement in subject.policy.statements:
        if statement.not_principal and statement.effect is Effect.ALLOW:
            yield at(statement, "NotPrincipal"), "name those who may in Principal, or deny with NotPrincipal"


def unreachable(subject: Subject) -> Found:
    """Allows that a Deny of the same document takes away entirely."""
    for statement in subject.policy.statements:
        if statement.effect is Effect.ALLOW:
            denying = _covering(subject, statement, Effect.DENY, subject.policy.statements)
            if denying is not None:
                yield at(statement), f"{_called(denying)} denies all that this one allows"


def shadowed(subject: Subject) -> Found:
    """Statements that another of the same effect makes superfluous; of two equal ones the later."""
    statements = subject.policy.statements
    for statement in statements:
        others = [
            other
            for other in statements
            if other is not statement
            and not (other.index > statement.index and statement_covers(statement, other, subject.policy.kind))
        ]
        covering = _covering(subject, statement, statement.effect, others)
        if covering is not None:
            yield at(statement), f"{_called(covering)} says all that this one says"


def _covering(subject: Subject, statement: Statement, effect: Effect, among: Sequence[Statement]) -> Statement | None:
    for other in among:
        if other.effect is effect and statement_covers(other, statement, subject.policy.kind):
            return other
    return None


def _called(statement: Statement) -> str:
    return f"statement {statement.index}" + (f" ({statement.sid})" if statement.sid else "")


def unknown_action(subject: Subject) -> Found:
    """Actions of a known service that match none of its actions."""
    for statement in subject.policy.statements:
        element = "NotAction" if statement.not_action else "Action"
        for index, action in enumerate(statement.actions):
            service, _, name = fold(action).partition(":")
            known = _FOLDED_ACTIONS.get(service)
            if known is None or any(covers(name, candidate) for candidate in known):
                continue
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {known[near[0]]}?" if near else ""
            yield at(statement, element, index), f"{service} has no action that {action!r} matches{hint}"


def unknown_key(subject: Subject) -> Found:
    """Condition keys, in conditions and variables, that no request has."""
    for statement in subject.policy.statements:
        element = "NotResource" if statement.not_resource else "Resource"
        for variable in statement.resource_variables:
            if message := _key_message(variable.name):
                yield at(statement, element), f"variable ${{{variable.name}}}: {message}"
        for condition in statement.conditions:
            if message := _key_message(condition.key):
                yield at_condition(statement, condition), message
            for variable in condition.variables:
                if message := _key_message(variable.name):
                    yield at_condition(statement, condition), f"variable ${{{variable.name}}}: {message}"


def _key_message(key: str) -> str | None:
    folded = fold(key)
    near = get_close_matches(folded, _FOLDED_KEYS, n=1, cutoff=0.75)
    if folded.startswith("ldap:"):
        # Any attribute that a provider maps is a key; only a slip of one of the fixed names is worth a word.
        slip = near and context_key(key) is None and _FOLDED_KEYS[near[0]].startswith("ldap:")
        return f"{key!r} is near {_FOLDED_KEYS[near[0]]!r}; is it a mapped attribute?" if slip else None
    if not folded.startswith(_JUDGED_PREFIXES) or context_key(key) is not None:
        return None
    hint = f"; did you mean {_FOLDED_KEYS[near[0]]}?" if near else ""
    return f"no request has the condition key {key!r}{hint}"


def old_variable(subject: Subject) -> Found:
    """`${` in a document whose version does not process variables."""
    if subject.policy.version != FIRST_VERSION:
        return
    message = 'add "Version": "2012-10-17" to have it replaced'
    for statement in subject.policy.statements:
        element = "NotResource" if statement.not_resource else "Resource"
        for index, resource in enumerate(statement.resources):
            if "${" in resource:
                yield at(statement, element, index), message
        for condition in statement.conditions:
            for index, value in enumerate(condition.values):
                if "${" in value:
                    yield at_condition(statement, condition, index), message


def oversize(subject: Subject) -> Found:
    """Documents that AWS would not take."""
    quota = SIZES.get(subject.policy.kind)
    if quota is None:
        return
    characters = size(subject.policy.text)
    if characters > quota[0]:
        yield (), f"it has {characters} characters without white space; AWS takes {quota[0]} in {quota[1]}"
