"""Documents that were already decoded from JSON or YAML, back to JSON."""

import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Final

from broker.policy.faults import Fault, Path, PolicyError, pointer
from broker.policy.jsontext import MAX_DEPTH

MAX_VALUES: Final = 500_000


def as_json(document: object) -> str:
    """The document as JSON without white space; dates become their text.

    Raises:
        PolicyError: it holds what JSON cannot, nests too deeply, or is too large.
    """
    return json.dumps(_Copy().of(document, ()), separators=(",", ":"))


class _Copy:
    """A copy of a document that holds only what JSON can; its size is bounded, for YAML's aliases can multiply."""

    def __init__(self) -> None:
        self._room = MAX_VALUES

    def of(self, value: object, path: Path) -> object:
        self._room -= 1
        if self._room < 0:
            raise _unplaced((), f"the policy has more than {MAX_VALUES} values")
        if len(path) > MAX_DEPTH:
            raise _unplaced(path, f"values are nested more than {MAX_DEPTH} levels deep")
        match value:
            case Mapping():
                for key in value:
                    if not isinstance(key, str):
                        raise _unplaced(path, "a name is not a string")
                return {key: self.of(item, (*path, key)) for key, item in value.items()}
            case list() | tuple():
                return [self.of(item, (*path, index)) for index, item in enumerate(value)]
            case datetime():
                return value.isoformat().replace("+00:00", "Z")
            case date():
                return value.isoformat()
            case None | str() | bool():
                return value
            case int() if abs(value) < 10**100:
                return value
            case float() if math.isfinite(value):
                return value
            case int() | float():
                raise _unplaced(path, "this number is beyond what a policy can hold")
            case _:
                raise _unplaced(path, f"a value of type {type(value).__name__} has no place in a policy")


def _unplaced(path: Path, message: str) -> PolicyError:
    return PolicyError((Fault(pointer(path), 0, 0, message),))
