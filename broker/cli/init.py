"""`sojourn init`: a first configuration directory to edit."""

from pathlib import Path

import click

from broker.directory.starter import starter_files


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
def command(directory: Path) -> None:
    """Write a commented configuration to DIRECTORY, which must not exist or be empty."""
    try:
        if directory.exists() and any(directory.iterdir()):
            raise click.ClickException(f"{directory} is not empty; nothing was written")
        for name, text in starter_files().items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            click.echo(path)
    except OSError as error:
        raise click.ClickException(f"{directory} cannot be written: {error.strerror}") from error
    click.echo(f"\nNext: sojourn check --config {directory} && sojourn serve --config {directory}", err=True)
