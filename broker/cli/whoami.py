"""`sojourn whoami`: whose credentials these are."""

import json

import click

from broker.cli.client import call, endpoint_option


@click.command()
@endpoint_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(endpoint: str, as_json: bool) -> None:
    """Tell whom the gateway takes you for."""
    identity = call(endpoint, "GetCallerIdentity", {})
    if as_json:
        click.echo(json.dumps(identity))
        return
    for name in ("Arn", "UserId", "Account"):
        click.echo(f"{name + ':':9}{identity[name]}")
