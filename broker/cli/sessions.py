"""`sojourn sessions`: who holds what, and ending it."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from broker.cli.client import administer, endpoint_option
from broker.clock import iso8601

_F = TypeVar("_F", bound=Callable[..., Any])

_FILTERS = {
    "access_key_id": ("AccessKeyId", "--access-key-id", "ID", "The session of this access key."),
    "session_arn": ("SessionArn", "--session-arn", "ARN", "Sessions with this ARN."),
    "role": ("RoleArn", "--role", "ARN", "Sessions of a role."),
    "user": ("UserArn", "--user", "ARN", "Sessions of a user, and of roles that the user began with."),
    "source_identity": ("SourceIdentity", "--source-identity", "TEXT", "Sessions with this source identity."),
    "provider": ("ProviderArn", "--provider", "ARN", "Sessions that began with an identity provider."),
    "issued_before": ("IssuedBefore", "--issued-before", "TIME", "Sessions older than 2026-11-21T10:00:00Z."),
}
"""Option to its parameter, its name, what it takes, its help."""


def _tag(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, str] | None:
    if value is None:
        return None
    key, equals, rest = value.partition("=")
    if not (key and equals):
        raise click.BadParameter("write a tag as KEY=VALUE")
    return key, rest


def _filter_options(function: _F) -> _F:
    function = click.option("--tag", callback=_tag, metavar="KEY=VALUE", help="Sessions with this session tag.")(
        function
    )
    for name, (_, option, metavar, text) in reversed(_FILTERS.items()):
        function = click.option(option, name, metavar=metavar, help=text)(function)
    return function


def _parameters(options: dict[str, Any]) -> dict[str, str]:
    parameters = {wire: options[name] for name, (wire, *_) in _FILTERS.items() if options[name] is not None}
    if options["tag"] is not None:
        parameters["Tag.Key"], parameters["Tag.Value"] = options["tag"]
    return parameters


@click.group()
def command() -> None:
    """See and revoke the sessions of a running gateway."""


@command.command("list")
@endpoint_option
@_filter_options
@click.option("--max-items", type=click.IntRange(min=1), help="No more than so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; times are seconds since the epoch.")
def list_(endpoint: str, max_items: int | None, as_json: bool, **options: Any) -> None:
    """List living sessions, each account's newest first. All filters that are given must hold."""
    parameters = _parameters(options)
    found: list[dict[str, Any]] = []
    while max_items is None or len(found) < max_items:
        parameters["MaxItems"] = str(min(1000, 1000 if max_items is None else max_items - len(found)))
        answer = administer(endpoint, "ListSessions", parameters)
        found += answer["Sessions"]
        if not answer["IsTruncated"]:
            break
        parameters["Marker"] = answer["Marker"]
    if as_json:
        click.echo(json.dumps({"Sessions": found}))
    else:
        _table(found)


@command.command()
@endpoint_option
@_filter_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def revoke(endpoint: str, as_json: bool, **options: Any) -> None:
    """End sessions, for good and in every process. All filters that are given must hold; one is needed."""
    parameters = _parameters(options)
    if not parameters:
        raise click.UsageError("say which sessions: " + ", ".join(each[1] for each in _FILTERS.values()) + " or --tag")
    revoked, more = 0, True
    while more:
        answer = administer(endpoint, "RevokeSessions", parameters)
        revoked, more = revoked + answer["Revoked"], answer["IsTruncated"]
    click.echo(json.dumps({"Revoked": revoked}) if as_json else f"{revoked} session{'s' * (revoked != 1)} revoked")


_COLUMNS: Sequence[tuple[str, Callable[[dict[str, Any]], str]]] = (
    ("ACCESS KEY", lambda each: each["AccessKeyId"]),
    ("SESSION", lambda each: each["SessionArn"]),
    ("FROM", lambda each: each.get("SourceIpAddress", "-")),
    ("SINCE", lambda each: _time(each["IssuedAt"])),
    ("UNTIL", lambda each: _time(each["Expiration"])),
    ("USED", lambda each: _time(each["LastUsedAt"]) if "LastUsedAt" in each else "-"),
    ("BY", lambda each: each.get("ProviderArn") or each.get("OriginArn") or each["PrincipalArn"]),
    ("SOURCE IDENTITY", lambda each: each.get("SourceIdentity", "-")),
)


def _table(found: Sequence[dict[str, Any]]) -> None:
    rows = [[title for title, _ in _COLUMNS], *([show(each) for _, show in _COLUMNS] for each in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _time(seconds: int) -> str:
    return iso8601(datetime.fromtimestamp(seconds, UTC))
