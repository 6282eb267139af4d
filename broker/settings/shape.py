"""Strict shapes of configuration mappings: pydantic underneath, every fault with its file and line on top."""

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Strict, ValidationError
from pydantic_core import ErrorDetails

from broker.settings.documents import Document, Location
from broker.settings.faults import Fault
from broker.settings.sources import Unresolved

_PRINTABLE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,31}")
_PART = 3
"""Characters of a part of a name that tell which name was meant."""
_SHOULD = re.compile(r"^(Input|String|List|Tuple|Dictionary|Value) should ")
_EXPECTED = {
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "int_type": "must be a whole number",
    "string_type": "must be a text",
}


class Shape(BaseModel):
    """A mapping whose every key is known; nothing is converted silently and no value enters an error or a repr."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


Many = Strict(False)
"""Marks a tuple field: documents have lists where values are kept as tuples; items stay strict."""

_S = TypeVar("_S", bound=Shape)


class FaultyPart(ValueError):
    """Raised by a validator that found several things inside its value, each at a location of its own."""

    def __init__(self, faults: Sequence[tuple[Location, str]]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(message for _, message in faults))


class Place(Protocol):
    """Turns a location within a value into a fault."""

    def __call__(self, location: Location, message: str, /) -> Fault: ...


def within(document: Document, prefix: Location) -> Place:
    """Faults of the part of `document` at `prefix`."""
    return lambda location, message: document.fault((*prefix, *location), message)


def validate(shape: type[_S], value: object, place: Place, faults: list[Fault], context: object = None) -> _S | None:
    """`value` as a `shape`; None where it has none, with everything that is wrong added to `faults`."""
    try:
        return shape.model_validate(value, context=context)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    missing = {each["loc"] for each in errors if each["type"] == "missing"}
    for each in errors:
        location = each["loc"]
        if isinstance(each["input"], Unresolved) or _follows(each, errors):
            continue
        if each["type"] == "extra_forbidden":
            near = _nearest(shape, location)
            # A misspelt key explains the one that is missing.
            if near is not None:
                missing.discard((*location[:-1], near))
            faults.append(place(location, _unknown(location, near)))
        elif each["type"] != "missing":
            faults += _faults(each, place)
    for location in missing:
        faults.append(place(location[:-1], f"{_path(location)} is required"))
    return None


def _follows(error: ErrorDetails, errors: Sequence[ErrorDetails]) -> bool:
    """Whether a list is only too short because of faulty items, which are not counted."""
    location = error["loc"]
    return error["type"] == "too_short" and any(
        len(each["loc"]) > len(location) and each["loc"][: len(location)] == location for each in errors
    )


def _faults(error: ErrorDetails, place: Place) -> Iterator[Fault]:
    cause = error.get("ctx", {}).get("error")
    parts = cause.faults if isinstance(cause, FaultyPart) else [((), _sentence(error, cause))]
    for inner, message in parts:
        location = (*error["loc"], *inner)
        yield place(location, f"{_path(location)}: {message}" if location else message)


def _sentence(error: ErrorDetails, cause: object) -> str:
    if isinstance(cause, ValueError):
        return str(cause)
    expected = _EXPECTED.get(error["type"])
    if expected is None:
        return _SHOULD.sub("must ", error["msg"]).partition(" after validation")[0]
    if error["type"] == "string_type" and isinstance(error["input"], int | float):
        return f"{expected}; put it in quotes"
    return expected


def _unknown(location: Location, near: str | None) -> str:
    key = str(location[-1])
    # What stands at a key's place may be a secret that slipped there; only what looks like a key is printed.
    shown = f"unknown key {key}" if near or _PRINTABLE_KEY.fullmatch(key) else "unknown key"
    where = f"{_path(location[:-1])}: " if len(location) > 1 else ""
    return f"{where}{shown}; did you mean {near}?" if near else f"{where}{shown}"


def _nearest(shape: type[BaseModel], location: Location) -> str | None:
    known: Any = shape
    for step in location[:-1]:
        if isinstance(step, str) and known is not None:
            field = next((f for n, f in known.model_fields.items() if step in (f.alias, n)), None)
            known = next(_shapes(field.annotation), None) if field else None
    if known is None:
        return None
    names = {(field.alias or name).lower(): field.alias or name for name, field in known.model_fields.items()}
    key = str(location[-1]).lower()
    found = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    if not found and len(key) >= _PART:
        found = [name for name in names if key in name]
    return names[found[0]] if found else None


def _shapes(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _shapes(part)


def _path(location: Location) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")
