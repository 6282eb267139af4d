"""Configuration documents: YAML or JSON text to plain values that remember their lines.

Plain YAML scalars are read as YAML 1.2 does (core schema): `on`, `no`, `22:30`, `2012-10-17` and `0x1F` are
texts; only true/false, null and decimal numbers are anything else. Mapping keys are texts as written.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
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
_STANDARD_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map")
_MAX_DIGITS = 40


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
    try:
        # A loader without implicit resolvers: every scalar arrives as text, with its quoting style.
        node: Any = yaml.compose(text, Loader=yaml.CBaseLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        faults.append(Fault(file, mark.line + 1 if mark else 1, f"not valid YAML: {error.problem or error.context}"))
        return None
    except yaml.YAMLError:
        faults.append(Fault(file, 1, "not valid YAML: a character is not allowed there"))
        return None
    if node is None:
        return Document(file, None, lambda _location: 1)
    value = _Constructor(file, faults).value(node)
    return Document(file, value, lambda location: _yaml_line(node, location))


class _Constructor:
    """Builds plain values from composed nodes, noting what YAML lets pass but a configuration must not contain."""

    def __init__(self, file: Path, faults: list[Fault]) -> None:
        self._file = file
        self._faults = faults
        self._open: set[int] = set()

    def value(self, node: Any) -> object:
        if node.tag not in _STANDARD_TAGS:
            self._fault(node, "YAML tags are not supported")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node.value) if node.style == "" else node.value
        if id(node) in self._open:
            self._fault(node, "an alias must not contain itself")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item) for item in node.value]
            return self._mapping(node)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: Any) -> dict[str, object]:
        result: dict[str, object] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._fault(key, "a key must be a text")
                continue
            if key.value in result:
                self._fault(key, "the same key stands twice in one mapping")
            result[key.value] = self.value(item)
        return result

    def _fault(self, node: Any, message: str) -> None:
        self._faults.append(Fault(self._file, node.start_mark.line + 1, message))


def _scalar(text: str) -> object:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in _NUMBER_START and len(text) <= _MAX_DIGITS:
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text


def _yaml_line(node: Any, location: Location) -> int:
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
    return Document(file, value, lambda location: _json_line(text, location))


def _repeated_lines(text: str) -> list[int]:
    lines, offsets = jsontext.Lines(text), list[int]()
    try:
        jsontext.read(text, lambda _path, offset: offsets.append(offset))
    except jsontext.JsonError:  # nested too deeply for it
        return [1]
    return [lines.position(offset).line for offset in offsets]


def _json_line(text: str, location: Location) -> int:
    """Parses again: only a fault needs lines."""
    try:
        node = jsontext.read(text, lambda _path, _offset: None)
    except jsontext.JsonError:
        return 1
    offset = node.start
    for step in location:
        if isinstance(node.value, dict) and step in node.value:
            offset, node = node.names[str(step)], node.value[str(step)]
        elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            offset = node.start
        else:
            break
    return jsontext.Lines(text).position(offset).line
