"""Credentials as shells, AWS tools and people read them; and in a file, where that is asked for."""

import json
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from broker.clock import iso8601

_F = TypeVar("_F", bound=Callable[..., Any])
_SECTION = re.compile(r"\s*\[(.*)\]\s*")


def format_options(function: _F) -> _F:
    """`--format` as `shape`, and `--json`."""
    shape = click.option(
        "--format",
        "shape",
        type=click.Choice(["table", "export", "credential-process"]),
        help="Default: a table on a terminal, credential_process JSON elsewhere.",
    )
    as_json = click.option("--json", "as_json", is_flag=True, help="The same as --format credential-process.")
    return shape(as_json(function))


def shared_credentials_file() -> Path:
    """Where AWS tools look: `AWS_SHARED_CREDENTIALS_FILE`, else `~/.aws/credentials`.

    Raises:
        ClickException: nobody knows where `~` is.
    """
    named = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    try:
        return Path(named).expanduser()
    except RuntimeError:
        raise click.ClickException(f"{named} is nowhere: set HOME, or AWS_SHARED_CREDENTIALS_FILE") from None


def variables(result: Mapping[str, Any]) -> dict[str, str]:
    """The AWS variables of a result with `Credentials`."""
    credentials = result["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_SESSION_TOKEN": credentials["SessionToken"],
    }


def show(result: Mapping[str, Any], shape: str | None, *, as_json: bool) -> None:
    """Print a result with `Credentials` and `AssumedRoleUser`."""
    credentials, arn = result["Credentials"], result["AssumedRoleUser"]["Arn"]
    expiration = iso8601(datetime.fromtimestamp(credentials["Expiration"], UTC))
    chosen = "credential-process" if as_json else shape
    chosen = chosen or ("table" if sys.stdout.isatty() else "credential-process")
    if chosen == "credential-process":
        process = {
            "Version": 1,
            "AccessKeyId": credentials["AccessKeyId"],
            "SecretAccessKey": credentials["SecretAccessKey"],
            "SessionToken": credentials["SessionToken"],
            "Expiration": expiration,
            "AccountId": arn.split(":")[4],
        }
        click.echo(json.dumps(process))
    elif chosen == "export":
        for name, value in {**variables(result), "AWS_CREDENTIAL_EXPIRATION": expiration}.items():
            click.echo(f"export {name}={shlex.quote(value)}")
    else:
        for name, value in {"Session": arn, **variables(result), "Expires": expiration}.items():
            click.echo(f"{name + ':':23}{value}")


def write_profile(path: Path, profile: str, result: Mapping[str, Any]) -> None:
    """Put the credentials under `[profile]` of an AWS credentials file, in place of what stood there.

    The rest of the file stays as it is. It is replaced as a whole and readable by its owner alone.

    Raises:
        OSError: it cannot be read or written.
        UnicodeDecodeError: it is not UTF-8.
    """
    target = path.resolve()
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = _without(target.read_text("utf-8") if target.exists() else "", profile)
    credentials = result["Credentials"]
    section = (
        f"[{profile}]\n"
        f"aws_access_key_id = {credentials['AccessKeyId']}\n"
        f"aws_secret_access_key = {credentials['SecretAccessKey']}\n"
        f"aws_session_token = {credentials['SessionToken']}\n"
    )
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".credentials-")  # with mode 0600
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(kept + section)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def _without(text: str, profile: str) -> str:
    lines, skipping = [], False
    for line in text.splitlines():
        header = _SECTION.fullmatch(line)
        if header is not None:
            skipping = header[1].strip() == profile
        if not skipping:
            lines.append(line)
    kept = "\n".join(lines).rstrip("\n")
    return f"{kept}\n\n" if kept else ""
