"""What is to be said about a configuration directory: its faults, and what only deserves a look."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from broker.directory.files import load
from broker.settings import ConfigurationError, Fault, Overrides


@dataclass(frozen=True, slots=True)
class Findings:
    """Both by file and line. A configuration without `errors` can be served."""

    errors: tuple[Fault, ...]
    warnings: tuple[Fault, ...]


def check(directory: Path, *, environ: Mapping[str, str], overrides: Overrides) -> Findings:
    """Everything that there is to say about `directory`; never raises for what is in it."""
    try:
        snapshot = load(directory, environ=environ, overrides=overrides)
    except ConfigurationError as error:
        return Findings(error.faults, error.warnings)
    return Findings((), snapshot.warnings)
