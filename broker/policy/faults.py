"""What is wrong in a policy document, and where."""

from dataclasses import dataclass

Path = tuple[str | int, ...]
"""The names and indexes that lead to a value."""


def pointer(path: Path) -> str:
    """The JSON pointer of a path (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a document. Line and column count from 1; both are 0 where the policy was no text."""

    pointer: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        place = f" (line {self.line})" if self.line else ""
        return f"{self.pointer or 'policy'}{place}: {self.message}"


class PolicyError(ValueError):
    """The document is no valid policy; `faults` are in the document's order, at least one."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = faults
