"""A first configuration directory: valid as it is, with comments that say what to change."""

from collections.abc import Mapping
from importlib.resources import files

_FILES = {"sojourn.yaml": "sojourn.yaml", "accounts/example.yaml": "example.yaml"}


def starter_files() -> Mapping[str, str]:
    """The texts of the files, by their path in the new directory."""
    package = files(__name__)
    return {path: package.joinpath(name).read_text() for path, name in _FILES.items()}
