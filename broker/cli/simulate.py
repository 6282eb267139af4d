"""`sojourn simulate`: would this caller be let in? Asked of a configuration directory, no gateway needed."""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from broker.arn import Arn, owning_account
from broker.cli.configuration import config_option, load_or_exit
from broker.clock import iso8601, utc_now
from broker.directory.model import OidcProvider, Snapshot
from broker.errors import InvalidInput, InvalidParameterValue, NoSuchEntity
from broker.flows import tags
from broker.flows.configured import Exclusions, decided_by_trust, simulation, source
from broker.flows.simulate import ContextEntry, Given
from broker.policy import context_key, explain
from providers.claims import Flat, condition_keys, flatten, methods, session_tags, source_identity
from providers.errors import ProofRejected
from providers.jwt import UnverifiedToken, parse

_WEB_IDENTITY = "sts:AssumeRoleWithWebIdentity"
_LARGEST_TOKEN = 32_768
_FLAGS = {"ActionNames": "--action", "ResourceArns": "--resource", "ContextEntries": "--context"}
_PARAMETER = re.compile(rf"^({'|'.join(_FLAGS)})\.[0-9]+")
"""A place in a request, where the question has its flag."""


@dataclass(frozen=True, slots=True)
class _Claims:
    """What a token says, nothing of it verified: condition keys, and what the gateway would refuse it for."""

    provider: OidcProvider
    entries: tuple[ContextEntry, ...]
    faults: tuple[str, ...]
    notes: tuple[str, ...]


@click.command()
@config_option
@click.option("--principal", help="ARN of the caller; with --web-identity the token's provider by default.")
@click.option("--action", "actions", multiple=True, help="Action asked for, such as sts:AssumeRole; repeatable.")
@click.option("--resource", "resources", multiple=True, help="ARN of the resource or role; repeatable.")
@click.option("--context", "pairs", multiple=True, metavar="KEY=VALUE", help="Condition key; repeat it for a list.")
@click.option(
    "--web-identity",
    "token_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File with an ID token; its claims are used as they are, unverified.",
)
@click.option("--external-id", help="The external id that the caller gives.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    directory: Path,
    principal: str | None,
    actions: tuple[str, ...],
    resources: tuple[str, ...],
    pairs: tuple[str, ...],
    token_file: Path | None,
    external_id: str | None,
    as_json: bool,
) -> None:
    """Tell what the gateway would decide, and which statement of which policy decided.

    Exit 0 where everything asked about is allowed, 1 where something is denied.
    """
    snapshot, now = load_or_exit(directory), utc_now()
    resources = resources or ("*",)
    claims = _claims(snapshot, token_file, principal, resources, now) if token_file is not None else None
    if claims is not None:
        principal, actions = principal or claims.provider.arn, actions or (_WEB_IDENTITY,)
    if principal is None:
        raise click.UsageError("name the caller by --principal, or give a token by --web-identity")
    if not actions:
        raise click.UsageError("name what is asked for by --action")
    _require_roles(snapshot, actions, resources)

    entries = [*(_entries(pairs)), *(claims.entries if claims is not None else ())]
    if external_id is not None:
        entries.append(ContextEntry("sts:ExternalId", (external_id,), "string"))
    given = Given(
        actions=_with_implied(actions, entries), resources=resources, context=(*entries, *_clock(entries, now))
    )
    try:
        entity = source(snapshot, principal, now, place="--principal")
        asked = simulation(snapshot, entity, given, Exclusions(), snapshot.accounts)
    except (InvalidInput, NoSuchEntity) as error:
        raise click.UsageError(_PARAMETER.sub(lambda found: _FLAGS[found[1]], error.message)) from error
    answers = [explain(*asked.question(action, resource)) for resource in resources for action in given.actions]
    allowed = all(each.decision.allowed for each in answers) and not (claims is not None and claims.faults)
    if as_json:
        told = {"allowed": allowed, "decisions": [each.as_json() for each in answers]}
        click.echo(json.dumps(told | ({"unverified_token": _told(claims)} if claims is not None else {})))
    else:
        for line in _heading(claims) if claims is not None else ():
            click.echo(line)
        click.echo("\n\n".join(each.tree() for each in answers))
        if len(answers) > 1 or claims is not None:
            click.echo(f"\n{'allowed' if allowed else 'denied'}")
    sys.exit(0 if allowed else 1)


def _entries(pairs: Sequence[str]) -> Iterator[ContextEntry]:
    values: dict[str, list[str]] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or ":" not in key:
            raise click.BadParameter(
                f"{pair!r} is not KEY=VALUE with a key such as aws:SourceIp", param_hint="--context"
            )
        values.setdefault(key, []).append(value)
    for key, found in values.items():
        known = context_key(key)
        several = len(found) > 1 or (known is not None and known.many)
        yield ContextEntry(key, tuple(found), "stringList" if several else "string")


def _clock(entries: Sequence[ContextEntry], now: datetime) -> Iterator[ContextEntry]:
    """What the gateway would know of any request, unless it is given otherwise."""
    given = {entry.name.lower() for entry in entries}
    known = {"aws:CurrentTime": iso8601(now), "aws:EpochTime": str(int(now.timestamp())), "aws:ViaAWSService": "false"}
    for name, value in known.items():
        if name.lower() not in given:
            yield ContextEntry(name, (value,), "string")


def _with_implied(actions: tuple[str, ...], entries: Sequence[ContextEntry]) -> tuple[str, ...]:
    """Who assumes a role with tags or a source identity needs a permission for each, too."""
    if not any(action.lower().startswith("sts:assumerole") for action in actions):
        return actions
    names = [entry.name.lower() for entry in entries]
    implied = []
    if "sts:sourceidentity" in names:
        implied.append("sts:SetSourceIdentity")
    if any(name.startswith("aws:requesttag/") for name in names):
        implied.append("sts:TagSession")
    asked = {action.lower() for action in actions}
    return (*actions, *(action for action in implied if action.lower() not in asked))


def _require_roles(snapshot: Snapshot, actions: Sequence[str], resources: Sequence[str]) -> None:
    """An action on a role needs the role's trust policy."""
    if not any(decided_by_trust(action) for action in actions):
        return
    for resource in resources:
        if snapshot.role(resource) is None:
            raise click.BadParameter(f"there is no role {resource} in this configuration", param_hint="--resource")


def _claims(
    snapshot: Snapshot, token_file: Path, principal: str | None, resources: Sequence[str], now: datetime
) -> _Claims:
    with token_file.open("rb") as file:
        raw = file.read(_LARGEST_TOKEN)
    try:
        token = parse(raw.decode("ascii", "replace"))
        provider = _provider(snapshot, token.issuer, principal, resources)
        flat = flatten(token.unverified_claims)
        passed, transitive = session_tags(token.unverified_claims, flat, provider.session_tags)
        entries = (*_claim_entries(token, provider, flat), *_tag_entries(passed, transitive))
    except ProofRejected as error:
        raise click.ClickException(f"{token_file}: {error.sentence}") from error
    presented = token.audiences if token.authorized_party is None else (token.authorized_party,)
    faults, notes = [], []
    if not set(presented) & set(provider.client_ids):
        faults.append(f"its audience is {', '.join(presented)}; the provider takes {', '.join(provider.client_ids)}")
    if now.timestamp() >= token.expires_at:
        expired = iso8601(datetime.fromtimestamp(token.expires_at, UTC))
        notes.append(f"it expired at {expired}; the answer is for one that has not")
    try:
        tags.combine(list(passed.items()), transitive, None)
    except InvalidParameterValue as error:
        faults.append(error.message)
    return _Claims(provider, entries, tuple(faults), tuple(notes))


def _provider(snapshot: Snapshot, issuer: str, principal: str | None, resources: Sequence[str]) -> OidcProvider:
    """The provider named, else that of the issuer in the account of the first resource."""
    if principal is not None:
        named = snapshot.oidc_provider(principal)
        if named is None or named.url != issuer:
            raise click.BadParameter(f"{principal} is not the provider of {issuer}", param_hint="--principal")
        return named
    account_id = next(filter(None, map(owning_account, resources)), None)
    if account_id is None:
        raise click.UsageError("name the role that the token is for by --resource")
    account = snapshot.account(account_id)
    found = account.oidc_providers.get(issuer) if account is not None else None
    if found is None:
        raise click.ClickException(f"No OpenIDConnect provider found in your account for {issuer}")
    return found


def _claim_entries(token: UnverifiedToken, provider: OidcProvider, flat: Flat) -> Iterator[ContextEntry]:
    """The condition keys that the gateway would make of the token."""
    prefix = Arn.parse(provider.arn).resource.partition("/")[2]
    attributes, lists = condition_keys(prefix, flat, audience=token.audiences, authorized_party=token.authorized_party)
    for key, values in attributes.items():
        several = key in lists or len(values) != 1
        yield ContextEntry(key, values, "stringList" if several else "string")
    yield ContextEntry("sojourn:AuthenticationMethods", tuple(sorted(methods(token.unverified_claims))), "stringList")
    if (identity := source_identity(token.unverified_claims)) is not None:
        yield ContextEntry("sts:SourceIdentity", (identity,), "string")


def _tag_entries(passed: Mapping[str, str], transitive: tuple[str, ...]) -> Iterator[ContextEntry]:
    for key, value in passed.items():
        yield ContextEntry(f"aws:RequestTag/{key}", (value,), "string")
    if passed:
        yield ContextEntry("aws:TagKeys", tuple(passed), "stringList")
    if transitive:
        yield ContextEntry("sts:TransitiveTagKeys", transitive, "stringList")


def _heading(claims: _Claims) -> Iterator[str]:
    yield f"unverified claims of a token for {claims.provider.arn}; nobody checked its signature:"
    for entry in claims.entries:
        if entry.values:
            yield f"  {_shown(entry.name)} = {', '.join(map(_shown, entry.values))}"
    for note in claims.notes:
        yield f"note: {note}"
    for fault in claims.faults:
        yield f"the gateway would refuse this token: {fault}"
    yield ""


def _told(claims: _Claims) -> dict[str, Any]:
    return {
        "provider": claims.provider.arn,
        "context": {entry.name: list(entry.values) for entry in claims.entries},
        "refused": list(claims.faults),
        "notes": list(claims.notes),
    }


def _shown(text: str) -> str:
    """A claim as a terminal may show it."""
    return text if text.isprintable() else ascii(text)
