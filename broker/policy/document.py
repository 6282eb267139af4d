"""Policy documents: strict JSON to compiled policies (IAM User Guide, "Grammar of the IAM JSON policy language").

All faults of a document are reported at once, each with its JSON pointer and place.
"""

import re
from itertools import chain
from typing import Final

from broker.policy import jsontext
from broker.policy.context import fold
from broker.policy.decoded import as_json
from broker.policy.elements import CONTROL, SURROGATE, action_fault, key_fault, resource_template
from broker.policy.faults import Fault, Path, PolicyError, pointer
from broker.policy.jsontext import Lines, Node, Number
from broker.policy.match import Template, Variable, template, variables_of
from broker.policy.model import Condition, Effect, Kind, Matched, Policy, Statement
from broker.policy.operators import NULL, OPERATORS, BadValue, OperatorName, condition_test
from broker.policy.principals import EVERYONE, PRINCIPAL_TYPES, Entry, parse_entry

MAX_CHARACTERS: Final = 131_072
"""The longest policy that AWS takes as a parameter."""
MAX_DECODED_CHARACTERS: Final = 4 * MAX_CHARACTERS
"""For documents that come from no parameter: some of AWS's own service roles have more than customers may send."""
MAX_FAULTS: Final = 200
MAX_POINTER: Final = 1000
"""Longer pointers, which only hostile documents have, are cut: the place says where."""

LATEST_VERSION: Final = "2012-10-17"
FIRST_VERSION: Final = "2008-10-17"

_TOP = ("Version", "Id", "Statement")
_STATEMENT = (
    "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition",
)  # fmt: skip
_FOREIGN = re.compile(r"[^\t\n\r\x20-\xff]")
_SID = re.compile(r"[A-Za-z0-9]*")
_WORDS: Final = {True: "true", False: "false"}


def size(text: str) -> int:
    """The characters of a policy as AWS counts them against its quotas: white space left out."""
    return sum(map(len, text.split()))


def parse(text: str | bytes, kind: Kind, *, name: str = "", source_type: str = "") -> Policy:
    """Parse and compile a policy document.

    `name` is what decisions will call it, `source_type` what a simulator reports as the source's type.

    Raises:
        PolicyError: the document is no valid policy of this kind; nothing else is raised, whatever `text` holds.
    """
    if isinstance(text, bytes | bytearray):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise PolicyError((Fault("", 1, 1, f"the policy is not UTF-8 (byte {error.start})"),)) from None
    if not isinstance(text, str):
        raise PolicyError((Fault("", 0, 0, "the policy is not a text"),))
    return _Parser(text, kind, name, source_type, MAX_CHARACTERS).policy()


def parse_value(document: object, kind: Kind, *, name: str = "", source_type: str = "") -> Policy:
    """`parse` for a document that was already decoded from JSON or YAML; `.text` is its JSON.

    Dates, which YAML reads out of unquoted text, act as their text. Faults have no place.

    Raises:
        PolicyError: the document is no valid policy of this kind.
    """
    text = as_json(document)
    try:
        return _Parser(text, kind, name, source_type, MAX_DECODED_CHARACTERS).policy()
    except PolicyError as error:
        faults = tuple(Fault(fault.pointer, 0, 0, fault.message) for fault in error.faults)
        raise PolicyError(faults) from None


class _Parser:
    def __init__(self, text: str, kind: Kind, name: str, source_type: str, limit: int) -> None:
        self._text = text
        self._limit = limit
        self._kind = kind
        self._name = name
        self._source_type = source_type
        self._lines = Lines(text)
        self._faults: list[tuple[int, Path, str]] = []
        self._sids: set[str] = set()
        self._variables = False

    def policy(self) -> Policy:
        root = self._root()
        version, document_id, statements = self._document(root) if root is not None else (FIRST_VERSION, None, [])
        if self._faults:
            raise self._error()
        return Policy(
            text=self._text,
            kind=self._kind,
            name=self._name,
            source_type=self._source_type,
            version=version,
            id=document_id,
            statements=statements,
        )

    def _error(self) -> PolicyError:
        ordered = sorted(self._faults, key=lambda fault: fault[0])[:MAX_FAULTS]
        faults = []
        for offset, path, message in ordered:
            place = self._lines.position(offset)
            faults.append(Fault(pointer(path)[:MAX_POINTER], place.line, place.column, message))
        return PolicyError(tuple(faults))

    def _fault(self, at: Node | int, path: Path, message: str) -> None:
        self._faults.append((at if isinstance(at, int) else at.start, path, message))

    def _root(self) -> Node | None:
        if len(self._text) > self._limit:
            self._fault(0, (), f"the policy has {len(self._text)} characters; at most {self._limit} are accepted")
            return None
        foreign = _FOREIGN.search(self._text)
        if foreign is not None and foreign.group() != "\ufeff":
            code = ord(foreign.group())
            self._fault(foreign.start(), (), f"the character U+{code:04X} is outside Latin-1; write it as an escape")
            return None
        try:
            return jsontext.read(self._text, self._duplicate)
        except jsontext.JsonError as error:
            self._fault(error.offset, (), str(error))
            return None

    def _duplicate(self, path: Path, offset: int) -> None:
        self._fault(offset, path, f"the name {str(path[-1])[:60]!r} occurs twice in one object")

    # The document

    def _document(self, root: Node) -> tuple[str, str | None, list[Statement]]:
        if not isinstance(root.value, dict):
            self._fault(root, (), "a policy is a JSON object")
            return FIRST_VERSION, None, []
        self._known(root, (), _TOP, "a policy")
        version = self._version(root.value.get("Version"))
        self._variables = version == LATEST_VERSION
        document_id = self._id(root.value.get("Id"))
        statement = root.value.get("Statement")
        if statement is None:
            self._fault(root, (), "the policy has no Statement")
            return version, document_id, []
        return version, document_id, self._statements(statement)

    def _known(self, node: Node, path: Path, names: tuple[str, ...], what: str) -> None:
        """Reports members of an object that its grammar does not have."""
        for name, offset in node.names.items():
            if name not in names:
                self._fault(offset, (*path, name), f"{what} has no element {name[:60]!r}{_hint(name, names)}")

    def _version(self, node: Node | None) -> str:
        if node is None:
            return FIRST_VERSION
        if not isinstance(node.value, str) or isinstance(node.value, Number):
            self._fault(node, ("Version",), f"Version is a string, {LATEST_VERSION!r} or {FIRST_VERSION!r}")
        elif node.value not in (LATEST_VERSION, FIRST_VERSION):
            self._fault(
                node,
                ("Version",),
                f"there is no version {node.value[:60]!r}; write {LATEST_VERSION!r} or {FIRST_VERSION!r}",
            )
        else:
            return node.value
        return LATEST_VERSION

    def _id(self, node: Node | None) -> str | None:
        if node is None:
            return None
        if self._kind not in (Kind.RESOURCE, Kind.TRUST):
            self._fault(node, ("Id",), "only resource policies have an Id")
        return self._string(node, ("Id",), "Id is a string")

    def _string(self, node: Node, path: Path, message: str) -> str | None:
        if not isinstance(node.value, str) or isinstance(node.value, Number):
            self._fault(node, path, message)
            return None
        if SURROGATE.search(node.value):
            self._fault(node, path, "the string holds half of a surrogate pair, which is no character")
            return None
        return node.value

    def _statements(self, node: Node) -> list[Statement]:
        match node.value:
            case dict():
                nodes: list[tuple[Node, Path]] = [(node, ("Statement",))]
            case list():
                nodes = [(item, ("Statement", index)) for index, item in enumerate(node.value)]
                if not nodes:
                    self._fault(node, ("Statement",), "the list of statements is empty")
            case _:
                self._fault(node, ("Statement",), "Statement is an object or a list of objects")
                return []
        found = [self._statement(item, path, index) for index, (item, path) in enumerate(nodes)]
        return [statement for statement in found if statement is not None]

    # One statement

    def _statement(self, node: Node, path: Path, index: int) -> Statement | None:
        if not isinstance(node.value, dict):
            self._fault(node, path, "a statement is an object")
            return None
        self._known(node, path, _STATEMENT, "a statement")
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
        sid = self._string(node, path, "Sid is a string")
        if sid is None:
            return None
        if self._kind is not Kind.RESOURCE and _SID.fullmatch(sid) is None:
            self._fault(node, path, f"the Sid {sid[:60]!r} has characters other than A-Z, a-z and 0-9")
        elif CONTROL.search(sid):
            self._fault(node, path, "the Sid has a control character")
        if sid and sid in self._sids:
            self._fault(node, path, f"the Sid {sid[:60]!r} occurs twice in the policy")
        self._sids.add(sid)
        return sid

    def _effect(self, statement: Node, path: Path) -> Effect | None:
        node = _members(statement).get("Effect")
        path = (*path, "Effect")
        if node is None:
            self._fault(statement, path[:-1], "the statement has no Effect")
            return None
        effect = self._string(node, path, "Effect is a string, Allow or Deny")
        if effect is None:
            return None
        if effect not in tuple(Effect):
            self._fault(
                node, path, f"the Effect {effect[:60]!r} is neither Allow nor Deny{_hint(effect, tuple(Effect))}"
            )
            return None
        if effect == Effect.ALLOW and self._kind is Kind.RCP:
            self._fault(node, path, "a resource control policy only denies; its Effect is Deny")
        return Effect(effect)

    def _either(self, statement: Node, path: Path, element: str) -> tuple[Node, Path, bool] | None:
        """`element` or its negation, of which the statement has exactly one."""
        members = _members(statement)
        positive, negative = members.get(element), members.get("Not" + element)
        if positive is not None and negative is not None:
            self._fault(negative, (*path, "Not" + element), f"a statement has {element} or Not{element}, not both")
            return None
        if positive is not None:
            return positive, (*path, element), False
        if negative is not None:
            return negative, (*path, "Not" + element), True
        self._fault(statement, path, f"the statement has neither {element} nor Not{element}")
        return None

    def _list(self, node: Node, path: Path, what: str) -> list[tuple[Node, Path]]:
        """The items of a value that may stand alone."""
        if not isinstance(node.value, list):
            return [(node, path)]
        if not node.value:
            self._fault(node, path, f"the list of {what} is empty")
        return [(item, (*path, index)) for index, item in enumerate(node.value)]

    def _actions(self, statement: Node, path: Path) -> tuple[tuple[str, ...], bool]:
        element = self._either(statement, path, "Action")
        if element is None:
            return (), False
        node, path, negated = element
        actions = []
        for item, item_path in self._list(node, path, "actions"):
            action = self._string(item, item_path, "an action is a string")
            if action is None:
                continue
            if message := action_fault(action, self._kind):
                self._fault(item, item_path, message)
            actions.append(action)
        return tuple(actions), negated

    def _resources(self, statement: Node, path: Path) -> tuple[tuple[str, ...], tuple[Template, ...], bool]:
        if self._kind is Kind.TRUST:
            for name in ("Resource", "NotResource"):
                if (node := _members(statement).get(name)) is not None:
                    self._fault(
                        node, (*path, name), f"a trust policy has no {name}; the role it belongs to is the resource"
                    )
            return (), (), False
        element = self._either(statement, path, "Resource")
        if element is None:
            return (), (), False
        node, path, negated = element
        resources, templates = [], []
        for item, item_path in self._list(node, path, "resources"):
            resource = self._string(item, item_path, "a resource is a string")
            if resource is None:
                continue
            try:
                templates.append(resource_template(resource, variables=self._variables))
            except ValueError as error:
                self._fault(item, item_path, str(error))
            resources.append(resource)
        return tuple(resources), tuple(templates), negated

    # Principals

    def _principals(self, statement: Node, path: Path) -> tuple[tuple[Entry, ...], bool]:
        members = _members(statement)
        if not self._kind.names_principals:
            for name in ("Principal", "NotPrincipal"):
                if (node := members.get(name)) is not None:
                    self._fault(node, (*path, name), f"{_A[self._kind]} has no {name}")
            return (), False
        if self._kind is not Kind.RESOURCE:
            if (node := members.get("NotPrincipal")) is not None:
                self._fault(node, (*path, "NotPrincipal"), f"{_A[self._kind]} has no NotPrincipal")
                return (), False
            if "Principal" not in members:
                self._fault(statement, path, "the statement has no Principal")
                return (), False
        element = self._either(statement, path, "Principal")
        if element is None:
            return (), False
        node, path, negated = element
        if self._kind is Kind.RCP and node.value != "*":
            self._fault(node, path, 'the Principal of a resource control policy is "*"')
            return (), False
        return self._entries(node, path), negated

    def _entries(self, node: Node, path: Path) -> tuple[Entry, ...]:
        if isinstance(node.value, str) and not isinstance(node.value, Number):
            if node.value != "*":
                self._fault(
                    node, path, f'a principal is "*" or an object such as {{"AWS": ...}}, not {node.value[:60]!r}'
                )
            return (EVERYONE,)
        if not isinstance(node.value, dict):
            self._fault(node, path, 'a principal is "*" or an object')
            return ()
        if not node.value:
            self._fault(node, path, "the principal names nobody")
        for name, offset in node.names.items():
            if name not in PRINCIPAL_TYPES:
                hint = _hint(name, PRINCIPAL_TYPES)
                self._fault(offset, (*path, name), f"there is no principal type {name[:60]!r}{hint}")
        entries: list[Entry] = []
        for kind, value in node.value.items():
            if kind in PRINCIPAL_TYPES:
                entries += self._typed_entries(kind, value, (*path, kind))
        return tuple(entries)

    def _typed_entries(self, kind: str, node: Node, path: Path) -> list[Entry]:
        entries = []
        for item, item_path in self._list(node, path, "principals"):
            value = self._string(item, item_path, "a principal is a string")
            if value is None:
                continue
            try:
                entries.append(parse_entry(kind, value))
            except ValueError as error:
                self._fault(item, item_path, str(error))
        return entries

    # Conditions

    def _conditions(self, node: Node | None, path: Path, effect: Effect | None) -> tuple[Condition, ...]:
        if node is None:
            return ()
        if not isinstance(node.value, dict):
            self._fault(node, path, "Condition is an object of operators")
            return ()
        conditions: list[Condition] = []
        for operator, keys in node.value.items():
            operator_path = (*path, operator)
            try:
                name = OperatorName.parse(operator)
            except ValueError as error:
                known = (*OPERATORS, NULL)
                self._fault(
                    node.names[operator],
                    operator_path,
                    f"{error}{_hint(operator.partition(':')[2] or operator, known)}",
                )
                continue
            if not isinstance(keys.value, dict):
                self._fault(keys, operator_path, f"{operator} is an object of condition keys and values")
                continue
            if not keys.value:
                self._fault(keys, operator_path, f"{operator} has no condition key")
            seen: set[str] = set()
            for key, values in keys.value.items():
                key_path = (*operator_path, key)
                if message := key_fault(key):
                    self._fault(keys.names[key], key_path, message)
                elif fold(key) in seen:
                    self._fault(
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
            match item.value:
                case bool():
                    values.append(_WORDS[item.value])
                case str():
                    if SURROGATE.search(item.value):
                        self._fault(item, item_path, "the string holds half of a surrogate pair, which is no character")
                        return None
                    values.append(str(item.value))
                case _:
                    self._fault(item, item_path, "a condition value is a string, a number, true or false")
                    return None
        if not values:
            return None
        try:
            test = condition_test(name, key, values, variables=self._variables, deny=effect is Effect.DENY)
        except BadValue as error:
            item, item_path = items[error.index]
            self._fault(item, item_path, f"{operator}: {error}")
            return None
        row = OPERATORS.get(name.base)
        variables: tuple[Variable, ...] = ()
        if row is not None and row.variables and self._variables:
            found = (variables_of(template(value, variables=True, wildcards=False)) for value in values)
            variables = tuple(chain.from_iterable(found))
        cost = (row is not None and row.read is not None) + bool(variables)
        return Condition(operator, key, tuple(values), name, variables, test, cost)


_A: Final = {
    Kind.IDENTITY: "an identity policy",
    Kind.BOUNDARY: "a permissions boundary",
    Kind.SESSION: "a session policy",
    Kind.SCP: "a service control policy",
    Kind.RCP: "a resource control policy",
    Kind.RESOURCE: "a resource policy",
    Kind.TRUST: "a trust policy",
}


def _members(node: Node) -> dict[str, Node]:
    return node.value if isinstance(node.value, dict) else {}


def _hint(name: str, known: tuple[str, ...]) -> str:
    """Names the element that differs in case alone: the usual slip."""
    for candidate in known:
        if candidate.lower() == name.lower():
            return f"; names are case-sensitive: write '{candidate}'"
    return ""
