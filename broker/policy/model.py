"""Policies and statements as compiled: what they say, and the matchers made of it once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import chain
from typing import Final

from broker.policy.conditions import Test
from broker.policy.context import RequestContext, fold
from broker.policy.jsontext import Position
from broker.policy.match import Matcher, action_matcher, resource_matcher
from broker.policy.operators import OperatorName
from broker.policy.principals import Entry
from broker.policy.template import STAR, Template, Variable, fill, prefix_of, variables_of

_REMEMBERED_ACTIONS: Final = 1024
"""Bounds what callers that ask about ever new actions can make a policy keep."""


class Kind(StrEnum):
    """What a document is attached as; grammar and evaluation differ."""

    IDENTITY = "identity"
    BOUNDARY = "boundary"
    SESSION = "session"
    SCP = "scp"
    RCP = "rcp"
    RESOURCE = "resource"
    TRUST = "trust"

    @property
    def names_principals(self) -> bool:
        """Whether statements of this kind have a Principal element."""
        return self in (Kind.RESOURCE, Kind.TRUST, Kind.RCP)


class Effect(StrEnum):
    """What a matching statement does."""

    ALLOW = "Allow"
    DENY = "Deny"


@dataclass(frozen=True, slots=True)
class Matched:
    """A statement that matched, and where its text stands: `start` at its `{`, `end` behind its `}`."""

    policy: str
    kind: Kind
    source_type: str
    sid: str | None
    effect: Effect
    statement: int
    start: Position
    end: Position


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """One operator on one key. `operator`, `key` and `values` are as the document has them."""

    operator: str
    key: str
    values: tuple[str, ...]
    name: OperatorName
    variables: tuple[Variable, ...]
    test: Test = field(repr=False)
    cost: int = field(repr=False)
    """Orders the tests of a statement, the cheapest first."""

    @property
    def folded(self) -> str:
        """The key as contexts look it up."""
        return fold(self.key)


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """One statement. `resources` is empty in a trust policy, `principals` where the kind has none."""

    index: int
    sid: str | None
    effect: Effect
    start: Position
    end: Position
    actions: tuple[str, ...]
    not_action: bool
    resources: tuple[str, ...]
    not_resource: bool
    principals: tuple[Entry, ...]
    not_principal: bool
    conditions: tuple[Condition, ...]

    resource_templates: tuple[Template, ...] = field(repr=False)
    matched: Matched = field(repr=False)
    """What a decision reports when the statement matches; made once."""
    action_matches: Callable[[str], bool] = field(init=False, repr=False)
    """Whether a folded action matches."""
    prefixes: tuple[str, ...] = field(init=False, repr=False)
    """Every resource that matches begins with one of these."""
    resource_test: Matcher | None = field(init=False, repr=False)
    """Whether a resource with one of the prefixes matches; None where each does."""
    tests: tuple[Test, ...] = field(init=False, repr=False)
    """The conditions' tests, the cheapest first."""

    def __post_init__(self) -> None:
        put = partial(object.__setattr__, self)
        put("action_matches", _action_test(self.actions, negated=self.not_action))
        deny = self.effect is Effect.DENY
        if self.not_resource:
            put("prefixes", ("",))
            put("resource_test", _not_resource_test(self.resource_templates, deny=deny))
        else:
            put("prefixes", tuple(dict.fromkeys(map(prefix_of, self.resource_templates))) or ("",))
            put("resource_test", _resource_test(self.resource_templates, deny=deny))
        put("tests", tuple(c.test for c in sorted(self.conditions, key=lambda condition: condition.cost)))

    @property
    def exact_actions(self) -> frozenset[str] | None:
        """The folded actions, where the statement names each in full; else None."""
        if self.not_action or any("*" in action or "?" in action for action in self.actions):
            return None
        return frozenset(map(fold, self.actions))

    def resource_matches(self, resource: str, context: RequestContext) -> bool:
        """Whether the request's resource is one the statement is about."""
        if not resource.startswith(self.prefixes):
            return False
        return self.resource_test is None or self.resource_test(resource, context)

    @property
    def resource_variables(self) -> tuple[Variable, ...]:
        """The variables in its resources."""
        return tuple(chain.from_iterable(map(variables_of, self.resource_templates)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Policy:
    """A parsed, compiled policy document.

    `name` is what decisions call it by, `source_type` what a simulator reports as the source's type;
    `text` is the document as given.
    """

    text: str
    kind: Kind
    name: str
    source_type: str
    version: str
    id: str | None
    statements: tuple[Statement, ...]
    _exact: dict[str, list[Statement]] = field(init=False, default_factory=dict)
    """By folded action, the statements that name it in full."""
    _others: list[Statement] = field(init=False, default_factory=list)
    _found: dict[str, tuple[Statement, ...]] = field(init=False, default_factory=dict)
    """What was looked up before."""

    def __post_init__(self) -> None:
        for statement in self.statements:
            actions = statement.exact_actions
            if actions is None:
                self._others.append(statement)
            else:
                for action in actions:
                    self._exact.setdefault(action, []).append(statement)

    def __repr__(self) -> str:
        return f"Policy({self.kind.value}, {self.name!r}, {len(self.statements)} statements)"

    def statements_for(self, action: str) -> tuple[Statement, ...]:
        """The statements whose action element matches the folded `action`, in the document's order."""
        found = self._found.get(action)
        if found is None:
            statements = [*self._exact.get(action, ()), *(s for s in self._others if s.action_matches(action))]
            found = tuple(sorted(statements, key=lambda statement: statement.index))
            if len(self._found) >= _REMEMBERED_ACTIONS:
                self._found.clear()
            self._found[action] = found
        return found

    @property
    def context_keys(self) -> tuple[str, ...]:
        """Every condition key that conditions and variables name, each once, as first written."""
        keys: dict[str, str] = {}
        for statement in self.statements:
            for variable in statement.resource_variables:
                keys.setdefault(variable.key, variable.name)
            for condition in statement.conditions:
                keys.setdefault(condition.folded, condition.key)
                for variable in condition.variables:
                    keys.setdefault(variable.key, variable.name)
        return tuple(keys.values())


def _action_test(patterns: Sequence[str], *, negated: bool) -> Callable[[str], bool]:
    folded = [fold(pattern) for pattern in patterns]
    everything = "*" in folded
    exact = frozenset(pattern for pattern in folded if "*" not in pattern and "?" not in pattern)
    by_service: dict[str, list[Callable[[str], bool]]] = {}
    for pattern in folded:
        if pattern != "*" and pattern not in exact:
            by_service.setdefault(pattern.partition(":")[0], []).append(action_matcher(pattern))

    def matches(action: str) -> bool:
        if everything or action in exact:
            return not negated
        candidates = by_service.get(action.partition(":")[0], ())
        return any(match(action) for match in candidates) is not negated

    return matches


def _resource_test(templates: Sequence[Template], *, deny: bool) -> Matcher | None:
    if not templates or (STAR,) in templates:
        return None
    matchers = [resource_matcher(tokens, wide=True) if deny else resource_matcher(tokens) for tokens in templates]
    if len(matchers) == 1:
        return matchers[0]
    return lambda resource, context: any(match(resource, context) for match in matchers)


def _not_resource_test(templates: Sequence[Template], *, deny: bool) -> Matcher:
    """NotResource, where AWS leaves open what a pattern with a valueless variable excludes.

    A Deny then applies, an Allow does not.
    """
    if deny:
        narrow = [resource_matcher(tokens) for tokens in templates]
        return lambda resource, context: not any(match(resource, context) for match in narrow)
    wide = [resource_matcher(tokens, wide=True) for tokens in templates]
    filled = [tokens for tokens in templates if variables_of(tokens)]

    def matches(resource: str, context: RequestContext) -> bool:
        if any(fill(tokens, context) is None for tokens in filled):
            return False
        return not any(match(resource, context) for match in wide)

    return matches
