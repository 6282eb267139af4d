"""`sojourn generate`: the values that a configuration needs. Secrets go to standard output only."""

import json
import secrets
import sys

import click

from broker.arn import is_account_id
from broker.directory import generate
from broker.sealing import new_master_key


@click.group()
def command() -> None:
    """Make access keys, password hashes, MFA seeds and master keys."""


def _account(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not is_account_id(value):
        raise click.BadParameter("an account id has twelve digits")
    return value


@command.command("access-key")
@click.option("--account", required=True, callback=_account, help="Twelve digits; the key id carries it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def access_key(account: str, as_json: bool) -> None:
    """A long-term access key, as `AccessKeys` of a user takes it."""
    key_id, secret = generate.access_key(account, secrets.token_bytes)
    if as_json:
        click.echo(json.dumps({"AccessKeyId": key_id, "SecretAccessKey": secret}))
    else:
        click.echo(f"AccessKeyId: {key_id}\nSecretAccessKey: {secret}")


@command.command("password-hash")
def password_hash() -> None:
    """The argon2id hash of a password that is asked for (or read from standard input), for `LoginProfile`."""
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise click.ClickException("a password is not empty")
    try:
        click.echo(generate.password_hash(password, secrets.token_bytes))
    except ValueError as error:
        raise click.ClickException(str(error)) from error


@command.command("mfa-seed")
def mfa_seed() -> None:
    """The base32 seed of a virtual MFA device, for `VirtualMFADevices`."""
    click.echo(generate.mfa_seed(secrets.token_bytes))


@command.command("master-key")
def master_key() -> None:
    """A master key, for `keys.master`."""
    click.echo(new_master_key(secrets.token_bytes))
