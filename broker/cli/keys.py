"""`sojourn keys`: the signing keys and master keys of a running gateway."""

import json
from datetime import UTC, datetime
from typing import Any

import click

from broker.cli.client import administer, endpoint_option
from broker.clock import iso8601


@click.group()
def command() -> None:
    """See the keys of a running gateway, and rotate those that sign."""


@command.command("list")
@endpoint_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON; times are seconds since the epoch.")
def list_(endpoint: str, as_json: bool) -> None:
    """List the published signing keys, oldest first, and the master keys, the current one first."""
    _show(administer(endpoint, "ListSigningKeys", {}), as_json)


@command.command()
@endpoint_option
@click.option("--end-sessions", is_flag=True, help="The emergency: drop the old keys and end every session.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; times are seconds since the epoch.")
def rotate(endpoint: str, end_sessions: bool, as_json: bool) -> None:
    """Make new keys: published at once, signing a few seconds later. What the old ones signed stays valid."""
    _show(administer(endpoint, "RotateSigningKeys", {"EndSessions": "true"} if end_sessions else {}), as_json)


def _show(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer))
        return
    click.echo(f"{'KEY':43}  {'ALGORITHM':9}  {'STATUS':7}  SIGNS FROM            UNTIL")
    for key in answer["SigningKeys"]:
        until = _time(key.get("RetiredAt"))
        click.echo(f"{key['KeyId']:43}  {key['Algorithm']:9}  {key['Status']:7}  {_time(key['ActiveFrom'])}  {until}")
    if "MasterKeys" not in answer:
        return
    click.echo(f"\n{'MASTER KEY':16}  {'STATUS':7}  {'SEALED VALUES':13}  LAST SESSION ENDS")
    for key in answer["MasterKeys"]:
        sealed, ends = key.get("SealedValues", "-"), _time(key.get("LastSessionEndsAt"))
        click.echo(f"{key['MasterKeyId']:16}  {key['Status']:7}  {sealed!s:13}  {ends}")


def _time(seconds: int | None) -> str:
    return "-" if seconds is None else iso8601(datetime.fromtimestamp(seconds, UTC))
