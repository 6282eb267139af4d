"""`sojourn.yaml` under the environment's variables and the command line's flags: flags beat variables beat the file."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from broker.settings.documents import Location
from broker.settings.faults import Fault, Stamp
from broker.settings.model import Settings, SettingsFile
from broker.settings.shape import Place, validate
from broker.settings.sources import Sources
from broker.settings.values import HasSources, is_loopback, split_url

FILE = "sojourn.yaml"

_SECTIONS = frozenset(SettingsFile.model_fields)
_DIGITS = re.compile(r"[0-9]{1,9}")
_NUMBERS = ("port", "workers")
_PLACES: Mapping[str, tuple[str, str]] = {
    "host": ("server", "host"),
    "port": ("server", "port"),
    "workers": ("server", "workers"),
    "public_url": ("server", "public_url"),
    "store": ("store", "url"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line says instead of the file; None: nothing. `state` is relative to the working directory."""

    host: str | None = None
    port: int | None = None
    workers: int | None = None
    public_url: str | None = None
    store: str | None = None
    state: Path | None = None


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings, and where they came from: `place` makes faults of their locations."""

    settings: Settings
    place: Place


def load_settings(
    sources: Sources, environ: Mapping[str, str], overrides: Overrides, faults: list[Fault], warnings: list[Fault]
) -> LoadedSettings | None:
    """The settings in force; None, with `faults`, where they are not valid.

    The state directory is `--state`, else `SOJOURN_STATE`, else `state` in the configuration directory.
    """
    path = sources.directory / FILE
    sources.stamps[path] = Stamp.of(path)
    if sources.stamps[path] is None:
        faults.append(Fault(path, 1, "there is no such file; an empty one takes every default"))
        return None
    document = sources.document(path, faults)
    if document is None:
        return None
    document = sources.resolved(document, faults)
    if not isinstance(document.value, dict | None):
        faults.append(document.fault((), "must be a mapping of settings"))
        return None
    # A section whose every key is commented out reads as null.
    value = {key: item for key, item in (document.value or {}).items() if item is not None or key not in _SECTIONS}
    origins = _override(value, environ, overrides)

    def place(location: Location, message: str) -> Fault:
        origin = origins.get(location[:2])
        return Fault(Path(origin), 0, message) if origin else document.fault(location, message)

    file = validate(SettingsFile, value, place, faults, HasSources(sources))
    if file is None:
        return None
    sections = {name: getattr(file, name) for name in _SECTIONS}
    settings = Settings(**sections, state=_state(sources.directory, environ, overrides))
    warnings += [place(location, message) for location, message in _doubtful(settings)]
    return LoadedSettings(settings, place)


def _doubtful(settings: Settings) -> Iterator[tuple[Location, str]]:
    server = settings.server
    url = split_url(settings.public_url)
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        yield ("server", "public_url"), "credentials handed out over http:// can be read on their way; use https://"
    for i, network in enumerate(server.trusted_proxies):
        if network.prefixlen == 0:
            yield ("server", "trusted_proxies", i), "any client is believed about its address"


def _override(value: dict[str, object], environ: Mapping[str, str], overrides: Overrides) -> dict[Location, str]:
    """Put flags and variables into `value`; gives the name of each, by the location it took."""
    origins: dict[Location, str] = {}
    for name, (section, key) in _PLACES.items():
        variable = f"SOJOURN_{name.upper()}"
        origin, given = f"--{name.replace('_', '-')}", getattr(overrides, name)
        if given is None:
            origin, given = variable, environ.get(variable) or None
            if given is not None and key in _NUMBERS and _DIGITS.fullmatch(given):
                given = int(given)
        present = value.get(section)
        # A section of another type is a fault of its own, reported by its line.
        if given is not None and isinstance(present, dict | None):
            value[section] = {**(present or {}), key: given}
            origins[section, key] = origin
    return origins


def _state(directory: Path, environ: Mapping[str, str], overrides: Overrides) -> Path:
    given = overrides.state or environ.get("SOJOURN_STATE")
    return Path(given) if given else directory / "state"
