"""Sign-in with a directory's user name and password, asked on the terminal and nowhere else."""

import ipaddress
import re
from typing import Any

import click

from broker.cli.client import Refused, post, require_address
from broker.cli.factor import factor

_ACTION = "AssumeRoleWithLDAPIdentity"
_SEVERAL = re.compile(r"RoleArn is required: [0-9]+ roles admit this user: (.+)", re.DOTALL)


def sign_in(endpoint: str, provider: str, role: str | None, serial_number: str | None) -> dict[str, Any]:
    """The result of AssumeRoleWithLDAPIdentity; a role is asked for where several are open.

    Raises:
        ClickException: the gateway refused or did not answer, or the password would travel in the clear.
    """
    _require_privacy(endpoint)
    form = {
        "Action": _ACTION,
        "Version": "2011-06-15",
        "ProviderArn": provider,
        "LDAPUsername": click.prompt("User name", err=True),
        "LDAPPassword": click.prompt("Password", err=True, hide_input=True),
        **({"RoleArn": role} if role is not None else {}),
    }
    try:
        return _send(endpoint, form, serial_number)
    except Refused as refusal:
        several = _SEVERAL.fullmatch(refusal.sentence)
        if several is None:
            raise
        form["RoleArn"] = _choice(several[1].split(", "))
        if serial_number is not None:
            click.echo("A code works once; the next one is needed.", err=True)
        return _send(endpoint, form, serial_number)


def _send(endpoint: str, form: dict[str, str], serial_number: str | None) -> dict[str, Any]:
    return post(endpoint, "/", {**form, **factor(serial_number)}, answer=_ACTION)


def _choice(roles: list[str]) -> str:
    for number, role in enumerate(roles, 1):
        click.echo(f"{number:>3}  {role}", err=True)
    chosen: int = click.prompt("Role", type=click.IntRange(1, len(roles)), err=True)
    return roles[chosen - 1]


def _require_privacy(endpoint: str) -> None:
    parts = require_address(endpoint)
    host = parts.hostname or ""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if parts.scheme != "https" and not loopback:
        raise click.ClickException(f"{endpoint} would get the password unencrypted; use https")
