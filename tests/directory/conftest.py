"""Configuration directories made of texts."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from broker.directory.files import load
from broker.directory.model import Snapshot
from broker.settings import ConfigurationError

Write = Callable[[Mapping[str, str]], Path]
Load = Callable[..., Snapshot]
Faults = Callable[..., list[str]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files, by their path in the directory; `sojourn.yaml` is empty unless it is among them."""

    def write(files: Mapping[str, str]) -> Path:
        (tmp_path / "accounts").mkdir(exist_ok=True)
        for name, text in {"sojourn.yaml": "", **files}.items():
            (tmp_path / name).write_text(text)
        return tmp_path

    return write


@pytest.fixture
def snapshot(write: Write) -> Load:
    """The snapshot of files that are expected to be valid."""

    def snapshot(files: Mapping[str, str], environ: Mapping[str, str] | None = None) -> Snapshot:
        return load(write(files), environ=environ or {})

    return snapshot


@pytest.fixture
def faults(write: Write) -> Faults:
    """The faults of files that are expected to have some, with paths relative to `accounts/`."""

    def faults(files: Mapping[str, str], environ: Mapping[str, str] | None = None) -> list[str]:
        directory = write(files)
        with pytest.raises(ConfigurationError) as refused:
            load(directory, environ=environ or {})
        return [str(fault).removeprefix(f"{directory}/accounts/") for fault in refused.value.faults]

    return faults
