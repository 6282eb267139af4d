"""Statements of a policy document, compiled; each kind of policy has its own grammar."""

import re
from itertools import chain
from typing import Final

from broker.policy.conditions import condition_test
from broker.policy.context import fold
from broker.policy.elements import CONTROL, action_fault, key_fault, resource_template
from broker.policy.faults import Faults, Path, hint, members
from broker.policy.jsontext import Lines, Node, Number
from broker.policy.model import Condition, Effect, Kind, Matched, Statement
from broker.policy.operators import NULL, OPERATORS, BadValue, OperatorName
from broker.policy.principals import EVERYONE, PRINCIPAL_TYPES, Entry, parse_entry
from broker.policy.template import Template, Variable, template, variables_of

_STATEMENT = (
    "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition",
)  # fmt: skip
_SID = re.compile(r"[A-Za-z0-9]*")
_WORDS: Final = {True: "true", False: "false"}
_A: Final = {
    Kind.IDENTITY: "an identity policy",
    Kind.BOUNDARY: "a permissions boundary",
    Kind.SESSION: "a session policy",
    Kind.SCP: "a service control policy",
    Kind.RCP: "a resource control policy",
    Kind.RESOURCE: "a resource policy",
    Kind.TRUST: "a trust policy",
}


class Statements:
    """Reads the statements of one document and collects their faults."""

    def __init__(
        self, kind: Kind, faults: Faults, lines: Lines, *, variables: bool, name: str, source_type: str
    ) -> None:
        self._kind = kind
        self._faults = faults
        self._lines = lines
        self._variables = variables
        self._name = name
        self._source_type = source_type
        self._sids: set[str] = set()

    def read(self, node: Node) -> list[Statement]:
        """The statements; a faulty one is left out, and its faults are collected."""
        match node.value:
            case dict():
                nodes: list[tuple[Node, Path]] = [(node, ("Statement",))]
            case list():
                nodes = [(item, ("Statement", index)) for index, item in enumerate(node.value)]
                if not nodes:
                    self._faults.add(node, ("Statement",), "the list of statements is empty")
            case _:
                self._faults.add(node, ("Statement",), "Statement is an object or a list of objects")
                return []
        found = [self._statement(item, path, index) for index, (item, path) in enumerate(nodes)]
        return [statement for statement in found if statement is not None]

    # One statement

    def _statement(self, node: Node, path: Path, index: int) -> Statement | None:
        if not isinstance(node.value, dict):
            self._faults.add(node, path, "a statement is an object")
            return None
        self._faults.known(node, path, _STATEMENT, "a statement")
        sid = self._sid(node.value.get("Sid"), (*path, "Sid"))
        effect = self._effect(node, path)
        actions, not_action = self._actions(node, path)
        resources, templates, not_resource = self._resources(node, path)
        principals, not_principal = self._principals(node, path)
        conditions = self._conditions(node.value.get("Condition"), (*path, "Condition"), effect)
        start, end = self._lines.position(node.start), self._lines.position(node.end)
        if self._faults or effect is None:
            return None
        return Statement(
            index=index,
            sid=sid,
            effect=effect,
            start=start,
            end=end,
            actions=actions,
            not_action=not_action,
            resources=resources,
            not_resource=not_resource,
            principals=principals,
            not_principal=not_principal,
            conditions=conditions,
            resource_templates=templates,
            matched=Matched(self._name, self._kind, self._source_type, sid, effect, index, start, end),
        )

    def _sid(self, node: Node | None, path: Path) -> str | None:
        if node is None:
            return None
        sid = self._faults.text(node, path, "Sid is a string")
        if sid is None:
            return None
        if self._kind is not Kind.RESOURCE and _SID.fullmatch(sid) is None:
            self._faults.add(node, path, f"the Sid {sid[:60]!r} has characters other than A-Z, a-z and 0-9")
        elif CONTROL.search(sid):
            self._faults.add(node, path, "the Sid has a control character")
        if sid and sid in self._sids:
            self._faults.add(node, path, f"the Sid {sid[:60]!r} occurs twice in the policy")
        self._sids.add(sid)
        return sid

    def _effect(self, statement: Node, path: Path) -> Effect | None:
        node = members(statement).get("Effect")
        path = (*path, "Effect")
        if node is None:
            self._faults.add(statement, path[:-1], "the statement has no Effect")
            return None
        effect = self._faults.text(node, path, "Effect is a string, Allow or Deny")
        if effect is None:
            return None
        if effect not in tuple(Effect):
            self._faults.add(
                node, path, f"the Effect {effect[:60]!r} is neither Allow nor Deny{hint(effect, tuple(Effect))}"
            )
            return None
        if effect == Effect.ALLOW and self._kind is Kind.RCP:
            self._faults.add(node, path, "a resource control policy only denies; its Effect is Deny")
        return Effect(effect)

    def _either(self, statement: Node, path: Path, element: str) -> tuple[Node, Path, bool] | None:
        """`element` or its negation, of which the statement has exactly one."""
        found = members(statement)
        positive, negative = found.get(element), found.get("Not" + element)
        if positive is not None and negative is not None:
            self._faults.add(negative, (*path, "Not" + element), f"a statement has {element} or Not{element}, not both")
            return None
        if positive is not None:
            return positive, (*path, element), False
        if negative is not None:
            return negative, (*path, "Not" + element), True
        self._faults.add(statement, path, f"the statement has neither {element} nor Not{element}")
        return None

    def _list(self, node: Node, path: Path, what: str) -> list[tuple[Node, Path]]:
        """The items of a value that may stand alone."""
        if not isinstance(node.value, list):
            return [(node, path)]
        if not node.value:
            self._faults.add(node, path, f"the list of {what} is empty")
        return [(item, (*path, index)) for index, item in enumerate(node.value)]

    def _actions(self, statement: Node, path: Path) -> tuple[tuple[str, ...], bool]:
        element = self._either(statement, path, "Action")
        if element is None:
            return (), False
        node, path, negated = element
        actions = []
        for item, item_path in self._list(node, path, "actions"):
            action = self._faults.text(item, item_path, "an action is a string")
            if action is None:
                continue
            if message := action_fault(action, self._kind):
                self._faults.add(item, item_path, message)
            actions.append(action)
        return tuple(actions), negated

    def _resources(self, statement: Node, path: Path) -> tuple[tuple[str, ...], tuple[Template, ...], bool]:
        if self._kind is Kind.TRUST:
            for name in ("Resource", "NotResource"):
                if (node := members(statement).get(name)) is not None:
                    self._faults.add(
                        node, (*path, name), f"a trust policy has no {name}; the role it belongs to is the resource"
                    )
            return (), (), False
        element = self._either(statement, path, "Resource")
        if element is None:
            return (), (), False
        node, path, negated = element
        resources, templates = [], []
        for item, item_path in self._list(node, path, "resources"):
            resource = self._faults.text(item, item_path, "a resource is a string")
            if resource is None:
                continue
            try:
                templates.append(resource_template(resource, variables=self._variables))
            except ValueError as error:
                self._faults.add(item, item_path, str(error))
            resources.append(resource)
        return tuple(resources), tuple(templates), negated

    # Principals

    def _principals(self, statement: Node, path: Path) -> tuple[tuple[Entry, ...], bool]:
        found = members(statement)
        if not self._kind.names_principals:
            for name in ("Principal", "NotPrincipal"):
                if (node := found.get(name)) is not None:
                    self._faults.add(node, (*path, name), f"{_A[self._kind]} has no {name}")
            return (), False
        if self._kind is not Kind.RESOURCE:
            if (node := found.get("NotPrincipal")) is not None:
                self._faults.add(node, (*path, "NotPrincipal"), f"{_A[self._kind]} has no NotPrincipal")
                return (), False
            if "Principal" not in found:
                self._faults.add(statement, path, "the statement has no Principal")
                return (), False
        element = self._either(statement, path, "Principal")
        if element is None:
            return (), False
        node, path, negated = element
        if self._kind is Kind.RCP and node.value != "*":
            self._faults.add(node, path, 'the Principal of a resource control policy is "*"')
            return (), False
        return self._entries(node, path), negated

    def _entries(self, node: Node, path: Path) -> tuple[Entry, ...]:
        if isinstance(node.value, str) and not isinstance(node.value, Number):
            if node.value != "*":
                self._faults.add(
                    node, path, f'a principal is "*" or an object such as {{"AWS": ...}}, not {node.value[:60]!r}'
                )
            return (EVERYONE,)
        if not isinstance(node.value, dict):
            self._faults.add(node, path, 'a principal is "*" or an object')
            return ()
        if not node.value:
            self._faults.add(node, path, "the principal names nobody")
        for name, offset in node.names.items():
            if name not in PRINCIPAL_TYPES:
                message = f"there is no principal type {name[:60]!r}{hint(name, PRINCIPAL_TYPES)}"
                self._faults.add(offset, (*path, name), message)
        entries: list[Entry] = []
        for kind, value in node.value.items():
            if kind in PRINCIPAL_TYPES:
                entries += self._typed_entries(kind, value, (*path, kind))
        return tuple(entries)

    def _typed_entries(self, kind: str, node: Node, path: Path) -> list[Entry]:
        entries = []
        for item, item_path in self._list(node, path, "principals"):
            value = self._faults.text(item, item_path, "a principal is a string")
            if value is None:
                continue
            try:
                entries.append(parse_entry(kind, value))
            except ValueError as error:
                self._faults.add(item, item_path, str(error))
        return entries

    # Conditions

    def _conditions(self, node: Node | None, path: Path, effect: Effect | None) -> tuple[Condition, ...]:
        if node is None:
            return ()
        if not isinstance(node.value, dict):
            self._faults.add(node, path, "Condition is an object of operators")
            return ()
        conditions: list[Condition] = []
        for operator, keys in node.value.items():
            operator_path = (*path, operator)
            try:
                name = OperatorName.parse(operator)
            except ValueError as error:
                known = (*OPERATORS, NULL)
                self._faults.add(
                    node.names[operator],
                    operator_path,
                    f"{error}{hint(operator.partition(':')[2] or operator, known)}",
                )
                continue
            if not isinstance(keys.value, dict):
                self._faults.add(keys, operator_path, f"{operator} is an object of condition keys and values")
                continue
            if not keys.value:
                self._faults.add(keys, operator_path, f"{operator} has no condition key")
            seen: set[str] = set()
            for key, values in keys.value.items():
                key_path = (*operator_path, key)
                if message := key_fault(key):
                    self._faults.add(keys.names[key], key_path, message)
                elif fold(key) in seen:
                    self._faults.add(
                        keys.names[key], key_path, f"the condition key {key[:60]!r} occurs twice under {operator}"
                    )
                seen.add(fold(key))
                condition = self._condition(operator, name, key, values, key_path, effect)
                if condition is not None:
                    conditions.append(condition)
        return tuple(conditions)

    def _condition(
        self, operator: str, name: OperatorName, key: str, node: Node, path: Path, effect: Effect | None
    ) -> Condition | None:
        items = self._list(node, path, "values")
        values = []
        for item, item_path in items:
            value = self._value(item, item_path)
            if value is None:
                return None
            values.append(value)
        if not values:
            return None
        try:
            test = condition_test(name, key, values, variables=self._variables, deny=effect is Effect.DENY)
        except BadValue as error:
            item, item_path = items[error.index]
            self._faults.add(item, item_path, f"{operator}: {error}")
            return None
        row = OPERATORS.get(name.base)
        variables: tuple[Variable, ...] = ()
        if row is not None and row.variables and self._variables:
            found = (variables_of(template(value, variables=True, wildcards=False)) for value in values)
            variables = tuple(chain.from_iterable(found))
        cost = (row is not None and row.read is not None) + bool(variables)
        return Condition(operator, key, tuple(values), name, variables, test, cost)

    def _value(self, node: Node, path: Path) -> str | None:
        """A condition value's text: numbers and booleans act as theirs."""
        if isinstance(node.value, bool):
            return _WORDS[node.value]
        if isinstance(node.value, Number):
            return str(node.value)
        return self._faults.text(node, path, "a condition value is a string, a number, true or false")
