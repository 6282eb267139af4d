"""`sojourn check`: everything that there is to say about a configuration directory."""

import json
import sys
from pathlib import Path

import click

from broker.cli.configuration import config_option, variables
from broker.directory.check import check
from broker.settings import Fault, Overrides


@click.command()
@config_option
@click.option("--strict", is_flag=True, help="Exit 1 for warnings, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(directory: Path, strict: bool, as_json: bool) -> None:
    """Validate a configuration directory, its policies included; one `file:line: message` per finding."""
    findings = check(directory, environ=variables(directory), overrides=Overrides())
    if as_json:
        click.echo(json.dumps({"errors": _rows(findings.errors), "warnings": _rows(findings.warnings)}))
    else:
        for fault in findings.errors:
            click.echo(f"{fault.file}:{fault.line}: error: {fault.message}")
        for fault in findings.warnings:
            click.echo(f"{fault.file}:{fault.line}: warning: {fault.message}")
        if not findings.errors and not findings.warnings:
            click.echo("no findings", err=True)
    sys.exit(1 if findings.errors or (strict and findings.warnings) else 0)


def _rows(faults: tuple[Fault, ...]) -> list[dict[str, object]]:
    return [{"file": str(fault.file), "line": fault.line, "message": fault.message} for fault in faults]
