"""A configuration directory on the command line: loaded, or its faults printed."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from broker import demo
from broker.directory.files import load
from broker.directory.model import Snapshot
from broker.settings import ConfigurationError, Overrides

_F = TypeVar("_F", bound=Callable[..., Any])


def config_option(function: _F) -> _F:
    """`--config DIR`, else `SOJOURN_CONFIG`."""
    option = click.option(
        "--config",
        "directory",
        required=True,
        envvar="SOJOURN_CONFIG",
        type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
        help="Configuration directory.",
    )
    return option(function)


def variables(directory: Path, state: Path | None = None) -> Mapping[str, str]:
    """The environment that a configuration is read under; a demonstration brings variables of its own.

    `state`: where a demonstration keeps its keys; None makes keys up for this run only.
    """
    try:
        return {**os.environ, **demo.environment(directory, state)}
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error


def load_or_exit(
    directory: Path, *, environ: Mapping[str, str] | None = None, overrides: Overrides | None = None
) -> Snapshot:
    """The snapshot of `directory`; prints every fault and exits 1 where there are any."""
    try:
        return load(
            directory,
            environ=environ if environ is not None else variables(directory),
            overrides=overrides if overrides is not None else Overrides(),
        )
    except ConfigurationError as error:
        refuse(error)


def refuse(error: ConfigurationError) -> NoReturn:
    """Print every fault to standard error and exit 1."""
    for fault in error.faults:
        click.echo(str(fault), err=True)
    count = len(error.faults)
    raise click.ClickException(f"the configuration has {count} fault{'s' * (count != 1)}")
