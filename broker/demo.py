"""A demonstration configuration: keys made at the first start, commands to try, loopback only.

A configuration directory with a `demo.yaml` is one. It names the access keys to make, each under the variables
`NAME_ACCESS_KEY_ID` and `NAME_SECRET_ACCESS_KEY` that the account files refer to, and the commands to print.
"""

import json
import os
import secrets
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import yaml

from broker import ids
from broker.settings import Settings
from broker.settings.values import is_loopback

FILE = "demo.yaml"


class DemoRefused(Exception):
    """A demonstration is not for others to reach."""


class _Demo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    access_keys: dict[str, str]
    commands: str


def environment(directory: Path, state: Path | None) -> Mapping[str, str]:
    """The variables of a demonstration; empty for any other directory.

    Keys are kept under `state`, readable by its owner only; without one they are made up and forgotten.

    Raises:
        ValueError: `demo.yaml` or the kept keys cannot be read.
        OSError: the keys cannot be kept.
    """
    demo = _read(directory)
    if demo is None:
        return {}
    variables: dict[str, str] = {}
    for name, account in demo.access_keys.items():
        kept = None if state is None else state / "demo" / f"{name.lower()}.json"
        if kept is not None and kept.exists():
            pair = msgspec.json.decode(kept.read_bytes(), type=dict[str, str])
        else:
            pair = {
                "AccessKeyId": ids.access_key_id(ids.LONG_TERM, account, secrets.token_bytes),
                "SecretAccessKey": ids.secret_access_key(secrets.token_bytes),
            }
            if kept is not None:
                _write_private(kept, json.dumps(pair))
        variables[f"{name}_ACCESS_KEY_ID"] = pair["AccessKeyId"]
        variables[f"{name}_SECRET_ACCESS_KEY"] = pair["SecretAccessKey"]
    return variables


def instructions(directory: Path, settings: Settings, variables: Mapping[str, str]) -> str | None:
    """What to try next, as lines for a shell; None where the directory is no demonstration.

    Raises:
        DemoRefused: the host is not a loopback address.
    """
    demo = _read(directory)
    if demo is None:
        return None
    host = settings.server.host
    if not is_loopback(host):
        raise DemoRefused(f"{directory} is a demonstration and listens on a loopback address only, not on {host}")
    endpoint = f"{'https' if settings.server.tls else 'http'}://{host}:{settings.server.port}"
    scripts = {}
    for name in demo.access_keys:
        script = settings.state.absolute() / "demo" / f"{name.lower()}.sh"
        lines = {
            "AWS_ACCESS_KEY_ID": variables[f"{name}_ACCESS_KEY_ID"],
            "AWS_SECRET_ACCESS_KEY": variables[f"{name}_SECRET_ACCESS_KEY"],
            "AWS_ENDPOINT_URL_STS": endpoint,
            "AWS_ENDPOINT_URL_IAM": endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        exports = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in lines.items())
        _write_private(script, f"{exports}unset AWS_SESSION_TOKEN AWS_PROFILE\n")
        scripts[name.lower()] = shlex.quote(str(script))
    return demo.commands.format(**scripts, sojourn=shlex.quote(_own_command()), endpoint=endpoint)


def _own_command() -> str:
    """How this command was called, so that it can be copied."""
    return sys.argv[0] if os.path.sep in sys.argv[0] else "sojourn"


def _read(directory: Path) -> _Demo | None:
    try:
        text = (directory / FILE).read_text("utf-8")
    except FileNotFoundError:
        return None
    try:
        return msgspec.convert(yaml.safe_load(text), _Demo)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ValueError(f"{directory / FILE}: {error}") from error


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)
