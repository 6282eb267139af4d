"""What is wrong with a configuration, and where. No text here ever carries a configured value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One finding: `line` counts from 1; 0 stands for a whole source without lines (a flag, a variable)."""

    file: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells one state of a file from the next without reading it."""

    modified_ns: int
    size: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> "Stamp | None":
        """The file's present stamp; None where it cannot be seen."""
        try:
            stat = path.stat()
        except (OSError, ValueError):
            return None
        return cls(stat.st_mtime_ns, stat.st_size, stat.st_ino)


class ConfigurationError(Exception):
    """The configuration is not valid; `faults` has everything that is wrong with it, by file and line.

    `files`: the files that were looked at, as they were then; when one of them changes it is worth trying again.
    """

    def __init__(
        self,
        faults: Sequence[Fault],
        warnings: Sequence[Fault] = (),
        files: Mapping[Path, Stamp | None] | None = None,
    ) -> None:
        self.faults = tuple(sorted(set(faults)))
        self.warnings = tuple(sorted(set(warnings)))
        self.files: Mapping[Path, Stamp | None] = files or {}
        super().__init__("\n".join(map(str, self.faults)))
