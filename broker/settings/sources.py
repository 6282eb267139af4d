"""Files and variables that a configuration is made of: reading them once, and `${env:NAME}`, `${file:PATH}`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from broker.settings.documents import Document, Location, parse
from broker.settings.faults import Fault, Stamp

_REFERENCE = re.compile(r"\$\{([A-Za-z]+):([^{}]*)\}")
_UNFINISHED = re.compile(r"\$\{(?:env|file):[^{}]*(?:\{|$)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
POLICY_DOCUMENTS = frozenset({"PolicyDocument", "AssumeRolePolicyDocument"})
"""Keys whose values are policy documents, which have variables of their own."""

MAX_FILE = 16 * 1024 * 1024
"""Bytes; SAML metadata, the largest thing a configuration names, may have 10 million characters."""


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """A file that the configuration names, as it was when the configuration was loaded."""

    path: Path
    content: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The content as UTF-8; checked when it was loaded."""
        return self.content.decode()


class Unresolved(str):
    """A text whose references could not be put in; that is reported already."""

    __slots__ = ()


class Sources:
    """Reads what a configuration directory names and remembers each file's stamp; paths are relative to `directory`."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self.directory = directory
        self.stamps: dict[Path, Stamp | None] = {}
        self._environ = environ
        self._loaded: dict[Path, LoadedFile] = {}

    def file(self, path: str | Path) -> LoadedFile:
        """A text file's content.

        Raises:
            ValueError: it cannot be read, is too large or is not UTF-8. The message leaves the path out: what was
                put in as a path may be a secret in the wrong place.
        """
        full = self.directory / path
        if full in self._loaded:
            return self._loaded[full]
        # The stamp comes first: a change between the two makes the file look changed later, never unchanged.
        self.stamps[full] = Stamp.of(full)
        try:
            with full.open("rb") as stream:
                content = stream.read(MAX_FILE + 1)
            content.decode()
        except UnicodeDecodeError:
            raise ValueError("is not UTF-8 text") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a path"
            raise ValueError(f"cannot be read: {reason}") from None
        if len(content) > MAX_FILE:
            raise ValueError(f"is larger than {MAX_FILE // 2**20} MiB")
        self._loaded[full] = LoadedFile(full, content)
        return self._loaded[full]

    def document(self, path: Path, faults: list[Fault]) -> Document | None:
        """Read and parse `path`, inside the directory, references as they stand; None, with faults, where it fails."""
        try:
            text = self.file(path.relative_to(self.directory)).text.removeprefix("\ufeff")
        except ValueError as error:
            faults.append(Fault(path, 1, str(error)))
            return None
        return parse(path, text, faults)

    def resolved(self, document: Document, faults: list[Fault]) -> Document:
        """The document with its references put in."""
        return replace(document, value=self._resolve(document, document.value, (), faults))

    def _resolve(self, document: Document, value: object, location: Location, faults: list[Fault]) -> object:
        if isinstance(value, str) and "${" in value:
            try:
                return self._put_in(value)
            except ValueError as error:
                faults.append(document.fault(location, str(error)))
                return Unresolved(value)
        if isinstance(value, list):
            return [self._resolve(document, item, (*location, i), faults) for i, item in enumerate(value)]
        if isinstance(value, dict):
            return {
                key: item if key in POLICY_DOCUMENTS else self._resolve(document, item, (*location, key), faults)
                for key, item in value.items()
            }
        return value

    def _put_in(self, text: str) -> str:
        if _UNFINISHED.search(text):
            raise ValueError("${env:NAME} and ${file:PATH} end with a brace")
        return _REFERENCE.sub(self._replacement, text)

    def _replacement(self, reference: re.Match[str]) -> str:
        kind, name = reference.groups()
        if kind == "env":
            if not _VARIABLE.fullmatch(name):
                raise ValueError("${env:NAME} needs the name of an environment variable")
            if name not in self._environ:
                raise ValueError(f"the environment variable {name} is not set")
            text = self._environ[name]
        elif kind == "file":
            if not name:
                raise ValueError("${file:PATH} needs a path")
            try:
                text = self.file(name).text
            except ValueError as error:
                raise ValueError(f"the file {name} {error}") from None
        else:
            raise ValueError("only ${env:NAME} and ${file:PATH} can be put in here")
        return text.removesuffix("\n").removesuffix("\r")
