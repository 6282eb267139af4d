"""Configuration documents: YAML or JSON text to plain values that remember their lines.

Plain YAML scalars are read as YAML 1.2 does (core schema): `on`, `no`, `22:30`, `2012-10-17` and `0x1F` are
texts; only true/false, null and decimal numbers are anything else. Mapping keys are texts as written.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml

from broker.policy import jsontext
from broker.settings.faults import Fault

Location = tuple[str | int, ...]
"""The way to a value: mapping keys and sequence positions from the top."""

_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER_START = frozenset("+-.0123456789")
_MAX_DIGITS = 40
MAX_DEPTH = 64
"""Levels of YAML; a configuration needs about a dozen, and what follows may recurse."""
MAX_VALUES = 1_000_000
"""With every alias counted as what it stands for: a few lines of aliases of aliases stand for billions."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document's plain value. `line_of` finds the line of a location, or of its nearest existing parent."""

    file: Path
    value: object
    line_of: Callable[[Location], int]

    def fault(self, location: Location, message: str) -> Fault:
        """A fault at `location`."""
        return Fault(self.file, self.line_of(location), message)


def parse(file: Path, text: str, faults: list[Fault]) -> Document | None:
    """Read `text` by the file's suffix; what is wrong is added to `faults`, None where nothing can be read."""
    try:
        return _parse_json(file, text, faults) if file.suffix == ".json" else _parse_yaml(file, text, faults)
    except RecursionError:
        faults.append(Fault(file, 1, "nested too deeply"))
        return None


def _parse_yaml(file: Path, text: str, faults: list[Fault]) -> Document | None:
    builder = _Builder(file, faults)
    try:
        # Events, not composed nodes: composing recurses in C, and deep nesting would take the process with it.
        # Without implicit resolvers every scalar arrives as text, with its quoting style.
        for event in yaml.parse(text, Loader=yaml.CBaseLoader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        faults.append(Fault(file, mark.line + 1 if mark else 1, f"not valid YAML: {error.problem or error.context}"))
        return None
    except yaml.YAMLError:
        faults.append(Fault(file, 1, "not valid YAML: a character is not allowed there"))
        return None
    except _TooMuch as error:
        faults.append(Fault(file, error.line, str(error)))
        return None
    root = cache(partial(_composed, text))
    return Document(file, builder.root, lambda location: _yaml_line(root(), location))


class _TooMuch(Exception):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class _Builder:
    """Builds plain values from events, noting what YAML lets pass but a configuration must not contain."""

    def __init__(self, file: Path, faults: list[Fault]) -> None:
        self.root: object = None
        self._file = file
        self._faults = faults
        self._open: list[tuple[list[object] | dict[str, object], str | None, int]] = []
        """Containers that are not finished, outermost first, each with its anchor and how many values came before."""
        self._keys: list[str | None] = []
        """Of each open container, the key whose value comes next."""
        self._anchors: dict[str, tuple[object, int]] = {}
        """What each stands for, and of how many values it is."""
        self._values = 0
        self._documents = 0

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._check_tag(event)
            if self._awaits_key():
                self._key(event, event.value)
                return
            value = _scalar(event.value) if event.style in ("", None) and event.implicit[0] else event.value
            self._add(value)
            self._count(event, 1)
            self._anchor(event.anchor, value, 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._check_tag(event)
            container: list[object] | dict[str, object] = [] if isinstance(event, yaml.SequenceStartEvent) else {}
            if self._awaits_key():
                self._key(event, None)
            else:
                self._add(container)
            if len(self._open) >= MAX_DEPTH:
                raise _TooMuch(_line(event), "nested too deeply")
            self._open.append((container, event.anchor, self._values))
            self._keys.append(None)
            self._count(event, 1)
        elif isinstance(event, yaml.CollectionEndEvent):
            container, anchor, before = self._open.pop()
            self._keys.pop()
            self._anchor(anchor, container, self._values - before)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._fault(event, "a second document begins here; one is expected")

    def _awaits_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1][0], dict) and self._keys[-1] is None

    def _key(self, event: Any, text: str | None) -> None:
        container = self._open[-1][0]
        if text is None:
            self._fault(event, "a key must be a text")
        elif text in container:
            self._fault(event, "the same key stands twice in one mapping")
        self._keys[-1] = text or ""

    def _add(self, value: object) -> None:
        if not self._open:
            if self._documents == 1:
                self.root = value
            return
        container = self._open[-1][0]
        if isinstance(container, list):
            container.append(value)
        else:
            container[self._keys[-1] or ""] = value
            self._keys[-1] = None

    def _count(self, event: Any, values: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise _TooMuch(_line(event), f"more than {MAX_VALUES} values, with what aliases stand for")

    def _anchor(self, name: str | None, value: object, values: int) -> None:
        if name is not None:
            self._anchors[name] = value, values

    def _alias(self, event: Any) -> None:
        if self._awaits_key():
            self._key(event, None)
        elif event.anchor in self._anchors:
            value, values = self._anchors[event.anchor]
            self._add(value)
            self._count(event, values)
        else:
            self._fault(event, "an alias must name an anchor that stands, finished, before it")
            self._add(None)

    def _check_tag(self, event: Any) -> None:
        if event.tag not in (None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"):
            self._fault(event, "YAML tags are not supported")

    def _fault(self, event: Any, message: str) -> None:
        self._faults.append(Fault(self._file, _line(event), message))


def _line(event: Any) -> int:
    line: int = event.start_mark.line
    return line + 1


def _scalar(text: str) -> object:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in _NUMBER_START and len(text) <= _MAX_DIGITS:
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text


def _composed(text: str) -> Any:
    """The nodes of a text that is not nested too deeply; made only when there is something to report."""
    try:
        return yaml.compose(text, Loader=yaml.CBaseLoader)
    except yaml.YAMLError:
        return None


def _yaml_line(node: Any, location: Location) -> int:
    if node is None:
        return 1
    line: int = node.start_mark.line
    for step in location:
        if isinstance(node, yaml.MappingNode):
            pairs: list[tuple[Any, Any]] = node.value
            found = next(((key, item) for key, item in pairs if key.value == step), None)
            if found is None:
                break
            line, node = found[0].start_mark.line, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line
        else:
            break
    return line + 1


class _NotJson(ValueError):
    pass


def _refuse_constant(_text: str) -> object:
    raise _NotJson


def _parse_json(file: Path, text: str, faults: list[Fault]) -> Document | None:
    repeated = False

    def mapping(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal repeated
        result = dict(pairs)
        repeated = repeated or len(result) < len(pairs)
        return result

    try:
        value: object = json.loads(text, object_pairs_hook=mapping, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        faults.append(Fault(file, error.lineno, f"not valid JSON: {error.msg}"))
        return None
    except _NotJson:
        faults.append(Fault(file, 1, "not valid JSON: NaN and Infinity are no JSON numbers"))
        return None
    except ValueError:
        faults.append(Fault(file, 1, "not valid JSON: a number has too many digits"))
        return None
    if repeated:
        faults += [Fault(file, line, "the same key stands twice in one mapping") for line in _repeated_lines(text)]
    root = cache(partial(_json_nodes, text))
    lines = cache(partial(jsontext.Lines, text))
    return Document(file, value, lambda location: lines().position(_json_offset(root(), location)).line)


def _repeated_lines(text: str) -> list[int]:
    lines, offsets = jsontext.Lines(text), list[int]()
    try:
        jsontext.read(text, lambda _path, offset: offsets.append(offset))
    except jsontext.JsonError:  # nested too deeply for it
        return [1]
    return [lines.position(offset).line for offset in offsets]


def _json_nodes(text: str) -> jsontext.Node | None:
    """The nodes of a JSON text; made only when there is something to report."""
    try:
        return jsontext.read(text, lambda _path, _offset: None)
    except jsontext.JsonError:  # nested too deeply for it
        return None


def _json_offset(node: jsontext.Node | None, location: Location) -> int:
    if node is None:
        return 0
    offset = node.start
    for step in location:
        if isinstance(node.value, dict) and step in node.value:
            offset, node = node.names[str(step)], node.value[str(step)]
        elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            offset = node.start
        else:
            break
    return offset
