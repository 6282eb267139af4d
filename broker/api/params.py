"""Parameters of the AWS Query protocol, declared as data and read into types, with AWS's `ValidationError` texts.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Request:
        role_arn: Arn = param("RoleArn", arn())
        name: str = param("RoleSessionName", text(2, 64, r"[\\w+=,.@-]*"))
        tags: tuple[Tag, ...] = param("Tags", many(structure(Tag), maximum=50), default=())

    request = parse(Request, parameters)

A declaration is compiled once. Every fault of a request is reported in one answer; a parameter that the declaration
does not name is one of them.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast, overload

from broker.api.rules import Rule, Sentence
from broker.errors import ValidationError

T = TypeVar("T")
D = TypeVar("D")

COMMON = frozenset({"Action", "Version"})
"""Parameters that choose the operation and that every request may carry."""

_MOST_FAULTS = 20
_ECHOED = 1024
_INDEX = re.compile(r"[1-9][0-9]{0,3}")
_METADATA = "param"


@dataclass(frozen=True, slots=True)
class Structure(Generic[T]):
    """A dataclass of `param` fields inside another: `TaskPolicyArn.arn`."""

    kind: type[T]


@dataclass(frozen=True, slots=True)
class Many(Generic[T]):
    """A list: `Tags.member.1.Key`, `TransitiveTagKeys.member.1`."""

    member: Rule[T] | Structure[T]
    minimum: int
    maximum: int | None


def structure(kind: type[T]) -> Structure[T]:
    """A nested dataclass whose fields are `param`s."""
    return Structure(kind)


def many(member: Rule[T] | Structure[T], *, minimum: int = 0, maximum: int | None = None) -> Many[T]:
    """A list of `member`; gaps in the numbering and any order are accepted."""
    return Many(member, minimum, maximum)


@dataclass(frozen=True, slots=True)
class _Param:
    name: str
    rule: Rule[Any] | Structure[Any] | Many[Any]
    secret: bool


@overload
def param(name: str, rule: Rule[T] | Structure[T], *, secret: bool = False) -> T: ...
@overload
def param(name: str, rule: Rule[T] | Structure[T], *, default: D, secret: bool = False) -> T | D: ...
@overload
def param(name: str, rule: Many[T], *, secret: bool = False) -> tuple[T, ...]: ...
@overload
def param(name: str, rule: Many[T], *, default: D, secret: bool = False) -> tuple[T, ...] | D: ...
def param(name: str, rule: Any, *, default: Any = dataclasses.MISSING, secret: bool = False) -> Any:
    """Declare a field that is read from the parameter `name`; required where it has no `default`.

    The value of a `secret` one is neither echoed in an error nor shown by `repr`.
    """
    return dataclasses.field(
        default=default, repr=not secret, metadata={_METADATA: _Param(name=name, rule=rule, secret=secret)}
    )


def parse(kind: type[T], parameters: Mapping[str, str]) -> T:
    """Read `parameters` into the dataclass `kind`.

    Raises:
        MalformedInput: a number, boolean or time cannot be read.
        ValidationError: every other fault, all of them in one message.
    """
    faults = _Faults()
    request = _compile(kind).read(parameters, "", "", faults)
    faults.refuse()
    return cast("T", request)


class _Faults:
    """What is wrong with one request."""

    __slots__ = ("_clauses", "_sentences")

    def __init__(self) -> None:
        self._clauses: list[str] = []
        self._sentences: list[str] = []

    def add(self, member: str, shown: str, clauses: list[str]) -> None:
        for clause in clauses:
            if isinstance(clause, Sentence):
                self._sentences.append(clause)
            else:
                self._clauses.append(f"Value {shown} at '{member}' failed to satisfy constraint: {clause}")

    def parameter(self, name: str, fault: str) -> None:
        self._clauses.append(f"Parameter '{name}' {fault}")

    def __bool__(self) -> bool:
        return bool(self._clauses or self._sentences)

    def refuse(self) -> None:
        count = len(self._clauses)
        if count:
            shown = self._clauses[:_MOST_FAULTS]
            if count > _MOST_FAULTS:
                shown.append(f"and {count - _MOST_FAULTS} more")
            raise ValidationError(f"{count} validation error{'s' * (count > 1)} detected: {'; '.join(shown)}")
        if self._sentences:
            raise ValidationError("; ".join(self._sentences[:_MOST_FAULTS]))


_NULL = ["Member must not be null"]

# Reads the parameters below one name; arguments: rest of the name -> value, wire name, member name, faults.
_Reader = Callable[[Mapping[str, str], str, str, _Faults], Any]


@dataclass(frozen=True, slots=True)
class _Scalar:
    attribute: str
    member: str
    rule: Rule[Any]
    secret: bool


@dataclass(frozen=True, slots=True)
class _Shape:
    """A compiled declaration."""

    kind: type[Any]
    scalars: dict[str, _Scalar]
    compounds: dict[str, tuple[str, str, _Reader]]
    """By wire name: attribute, member name, reader."""
    required: tuple[tuple[str, str], ...]
    """Attribute and member name."""

    def read(self, values: Mapping[str, str], wire: str, where: str, faults: _Faults) -> Any:
        """An instance, or None where `faults` got any. `wire` and `where` prefix the names in messages."""
        read: dict[str, Any] = {}
        nested: dict[str, dict[str, str]] = {}
        clauses: list[str] = []
        for name, value in values.items():
            scalar = self.scalars.get(name)
            if scalar is not None:
                read[scalar.attribute] = scalar.rule(value, clauses)
                if clauses:
                    faults.add(where + scalar.member, _shown(value, secret=scalar.secret), clauses)
                    clauses.clear()
                continue
            head, _, tail = name.partition(".")
            if head in self.compounds and (tail or name == head):
                nested.setdefault(head, {})[tail] = value
            elif wire or name not in COMMON:
                faults.parameter(wire + name, "is not one that this action takes")
        for head, inner in nested.items():
            attribute, member, reader = self.compounds[head]
            read[attribute] = reader(inner, wire + head, where + member, faults)
        for attribute, member in self.required:
            if attribute not in read:
                faults.add(where + member, "null", _NULL)
        return None if faults else self.kind(**read)


_COMPILED: dict[type[Any], _Shape] = {}


def _compile(kind: type[Any]) -> _Shape:
    if kind in _COMPILED:
        return _COMPILED[kind]
    scalars: dict[str, _Scalar] = {}
    compounds: dict[str, tuple[str, str, _Reader]] = {}
    required: list[tuple[str, str]] = []
    for field in dataclasses.fields(kind):
        declared = field.metadata[_METADATA]
        member = declared.name[0].lower() + declared.name[1:]
        if isinstance(declared.rule, Many):
            compounds[declared.name] = (field.name, member, _list_reader(declared.rule, secret=declared.secret))
        elif isinstance(declared.rule, Structure):
            compounds[declared.name] = (field.name, member, _structure_reader(declared.rule))
        else:
            scalars[declared.name] = _Scalar(field.name, member, declared.rule, declared.secret)
        if field.default is dataclasses.MISSING:
            required.append((field.name, member))
    shape = _COMPILED[kind] = _Shape(kind, scalars, compounds, tuple(required))
    return shape


def _structure_reader(declared: Structure[Any]) -> _Reader:
    shape = _compile(declared.kind)

    def read(values: Mapping[str, str], wire: str, where: str, faults: _Faults) -> Any:
        if "" in values:
            faults.parameter(wire, "is a structure and has no value of its own")
            return None
        return shape.read(values, f"{wire}.", f"{where}.", faults)

    return read


def _list_reader(declared: Many[Any], *, secret: bool) -> _Reader:
    read_member = (
        _structure_reader(declared.member)
        if isinstance(declared.member, Structure)
        else _member_reader(declared.member, secret=secret)
    )

    def read(values: Mapping[str, str], wire: str, where: str, faults: _Faults) -> Any:
        members: dict[int, dict[str, str]] = {}
        for name, value in values.items():
            if not name:
                # SDKs send an empty list as `Tags=`.
                if value or len(values) > 1:
                    faults.parameter(wire, "is a list and has no value of its own")
                continue
            word, _, rest = name.partition(".")
            index, dot, rest = rest.partition(".")
            if word != "member" or not _INDEX.fullmatch(index) or (dot and not rest):
                faults.parameter(f"{wire}.{name}", "is not one that this action takes: list members are 'member.1', …")
                continue
            members.setdefault(int(index), {})[rest] = value
        clauses = []
        if len(members) < declared.minimum:
            clauses.append(f"Member must have length greater than or equal to {declared.minimum}")
        if declared.maximum is not None and len(members) > declared.maximum:
            clauses.append(f"Member must have length less than or equal to {declared.maximum}")
        if clauses:
            faults.add(where, f"'[{len(members)} members]'", clauses)
            return None
        return tuple(
            read_member(members[index], f"{wire}.member.{index}", f"{where}.{index}.member", faults)
            for index in sorted(members)
        )

    return read


def _member_reader(rule: Rule[Any], *, secret: bool) -> _Reader:
    def read(values: Mapping[str, str], wire: str, where: str, faults: _Faults) -> Any:
        for rest in values:
            if rest:
                faults.parameter(f"{wire}.{rest}", "is not one that this action takes")
        value = values.get("")
        if value is None:
            return None
        clauses: list[str] = []
        read = rule(value, clauses)
        if clauses:
            faults.add(where, _shown(value, secret=secret), clauses)
        return read

    return read


def _shown(value: str, *, secret: bool) -> str:
    if secret:
        return "'****'"
    return f"'{value}'" if len(value) <= _ECHOED else f"'{value[:_ECHOED]}…'"
