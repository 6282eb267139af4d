"""`sojourn serve`: run the gateway."""

import os
import secrets
import shutil
import sys
from functools import partial
from pathlib import Path

import click

from broker import demo, logs
from broker.cli import systemd
from broker.cli.configuration import config_option, load_or_exit, variables
from broker.settings import Overrides, Settings


@click.command()
@config_option
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--workers", type=click.IntRange(1, 256), help="Processes that share the port.")
@click.option("--store", help="Where sessions are kept: embedded://, redis://...")
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory for the embedded store and keys made at the first start; default: DIR/state.",
)
def command(
    directory: Path, host: str | None, port: int | None, workers: int | None, store: str | None, state: Path | None
) -> None:
    """Run the gateway until SIGTERM; SIGHUP or a changed file reloads the configuration."""
    logs.log_to_standard_error()
    given = os.environ.get("SOJOURN_STATE")
    environ = variables(directory, state or (Path(given) if given else directory / "state"))
    overrides = Overrides(host=host, port=port, workers=workers, store=store, state=state)
    snapshot = load_or_exit(directory, environ=environ, overrides=overrides)
    settings = snapshot.settings
    for warning in snapshot.warnings:
        click.echo(f"warning: {warning}", err=True)
    trail = directory / settings.audit.path if settings.audit.path is not None else None
    if trail is not None and not _can_be_written(trail):
        click.echo(
            f"warning: {trail} cannot be written; until it can, nothing is answered that belongs there", err=True
        )
    try:
        settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        sentence = f"{settings.state} cannot be the state directory: {error.strerror}; name another with --state"
        raise click.ClickException(sentence) from error
    try:
        hints = demo.instructions(directory, settings, environ)
        _share_metrics(settings)
    except (OSError, ValueError, demo.DemoRefused) as error:
        raise click.ClickException(str(error)) from error

    # Imported late: metrics look at the environment, which is ready only now, when they are imported.
    from broker.app import master_keys, report_reload
    from broker.directory.directory import Directory
    from broker.supervisor import CannotServe, Supervisor

    def ready() -> None:
        host, port = settings.server.host, settings.server.port
        host = f"[{host}]" if ":" in host else host
        scheme = "https" if settings.server.tls else "http"
        click.echo(f"Sojourn serves {len(snapshot.accounts)} account(s) on {scheme}://{host}:{port}")
        if hints is not None:
            click.echo(f"\nTry, in another shell:\n\n{hints}")
        sys.stdout.flush()
        systemd.notify("READY=1", os.environ)

    try:
        masters = master_keys(settings, secrets.token_bytes)
        report = partial(report_reload, masters)
        loaded = Directory(directory, snapshot, environ=environ, overrides=overrides, report=report)
        supervisor = Supervisor(loaded, masters, trail, ready)
        sys.exit(supervisor.run())
    except (CannotServe, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error


def _share_metrics(settings: Settings) -> None:
    """Several workers put their metrics together in files; one keeps them in memory."""
    if settings.server.workers == 1:
        return
    directory = settings.state / "metrics"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)


def _can_be_written(file: Path) -> bool:
    return not file.is_dir() and os.access(file if file.exists() else file.parent, os.W_OK)
