"""Policy documents: strict JSON to compiled policies (IAM User Guide, "Grammar of the IAM JSON policy language").

All faults of a document are reported at once, each with its JSON pointer and place.
"""

import re
from typing import Final

from broker.policy import jsontext
from broker.policy.decoded import as_json
from broker.policy.faults import Fault, Faults, Path, PolicyError
from broker.policy.jsontext import Lines, Node, Number
from broker.policy.model import Kind, Policy, Statement
from broker.policy.statements import Statements

MAX_CHARACTERS: Final = 131_072
"""The longest policy that AWS takes as a parameter."""
MAX_DECODED_CHARACTERS: Final = 4 * MAX_CHARACTERS
"""For documents that come from no parameter: some of AWS's own service roles have more than customers may send."""
LATEST_VERSION: Final = "2012-10-17"
FIRST_VERSION: Final = "2008-10-17"

_TOP = ("Version", "Id", "Statement")
_FOREIGN = re.compile(r"[^\t\n\r\x20-\xff]")


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
        self._faults = Faults()

    def policy(self) -> Policy:
        root = self._root()
        version, document_id, statements = self._document(root) if root is not None else (FIRST_VERSION, None, [])
        if self._faults:
            raise self._faults.error(self._lines)
        return Policy(
            text=self._text,
            kind=self._kind,
            name=self._name,
            source_type=self._source_type,
            version=version,
            id=document_id,
            statements=tuple(statements),
        )

    def _root(self) -> Node | None:
        if len(self._text) > self._limit:
            self._faults.add(0, (), f"the policy has {len(self._text)} characters; at most {self._limit} are accepted")
            return None
        foreign = _FOREIGN.search(self._text)
        if foreign is not None and foreign.group() != "\ufeff":
            code = ord(foreign.group())
            self._faults.add(
                foreign.start(), (), f"the character U+{code:04X} is outside Latin-1; write it as an escape"
            )
            return None
        try:
            return jsontext.read(self._text, self._duplicate)
        except jsontext.JsonError as error:
            self._faults.add(error.offset, (), str(error))
            return None

    def _duplicate(self, path: Path, offset: int) -> None:
        self._faults.add(offset, path, f"the name {str(path[-1])[:60]!r} occurs twice in one object")

    def _document(self, root: Node) -> tuple[str, str | None, list[Statement]]:
        if not isinstance(root.value, dict):
            self._faults.add(root, (), "a policy is a JSON object")
            return FIRST_VERSION, None, []
        self._faults.known(root, (), _TOP, "a policy")
        version = self._version(root.value.get("Version"))
        document_id = self._id(root.value.get("Id"))
        statement = root.value.get("Statement")
        if statement is None:
            self._faults.add(root, (), "the policy has no Statement")
            return version, document_id, []
        reader = Statements(
            self._kind,
            self._faults,
            self._lines,
            variables=version == LATEST_VERSION,
            name=self._name,
            source_type=self._source_type,
        )
        return version, document_id, reader.read(statement)

    def _version(self, node: Node | None) -> str:
        if node is None:
            return FIRST_VERSION
        if not isinstance(node.value, str) or isinstance(node.value, Number):
            self._faults.add(node, ("Version",), f"Version is a string, {LATEST_VERSION!r} or {FIRST_VERSION!r}")
        elif node.value not in (LATEST_VERSION, FIRST_VERSION):
            self._faults.add(
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
            self._faults.add(node, ("Id",), "only resource policies have an Id")
        return self._faults.text(node, ("Id",), "Id is a string")
