"""Reading the case suite: `cases/*.json`, with the callers that its cases name in `principals.json`.

A file holds `defaults`, laid under each of its `cases`. A case has a `name`, the `fact` of AWS's documentation that it
follows, the request (`principal`, `action`, `resource`, `resource_account`, `single`, `many`), the policies in its way
(`identity`, `boundary`, `session`, `scps`, `rcps`, and `resource_policy` or `trust`) and the `expected` verdict. `open`
marks a case whose reading the documentation leaves open; the refusing one is expected there.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.policy.reference import Question

HERE = Path(__file__).parent

_DESCRIPTION = {"name", "fact", "open", "expected", "principal"}


@dataclass(frozen=True)
class Case:
    """One question with its documented answer."""

    file: str
    name: str
    fact: str
    open: bool
    question: Question
    expected: str

    @property
    def id(self) -> str:
        return f"{self.file}: {self.name}"


@cache
def principals() -> dict[str, dict[str, str]]:
    """The callers by name."""
    callers: dict[str, dict[str, str]] = json.loads((HERE / "principals.json").read_text("utf-8"))
    return callers


@cache
def cases() -> tuple[Case, ...]:
    """Every case of every file, in the order of the files' names."""
    return tuple(case for path in sorted((HERE / "cases").glob("*.json")) for case in _read(path))


def _read(path: Path) -> list[Case]:
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    found = []
    for own in content["cases"]:
        case = content["defaults"] | own
        inputs = {name: value for name, value in case.items() if name not in _DESCRIPTION}
        question = Question(principal=principals()[case["principal"]], **inputs)
        found.append(Case(path.stem, case["name"], case["fact"], case.get("open", False), question, case["expected"]))
    return found
