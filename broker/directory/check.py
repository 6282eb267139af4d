"""What is to be said about a configuration directory: its faults, and what a reviewer of its policies would say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from broker.directory.declared import Declared
from broker.directory.files import load_declared
from broker.directory.reading import DeclaredAccount
from broker.policy import Policy
from broker.policy.faults import parts
from broker.policy.lint import Severity, lint
from broker.settings import ConfigurationError, Fault, Overrides
from broker.settings.documents import Location
from broker.settings.shape import Place


@dataclass(frozen=True, slots=True)
class Findings:
    """Both by file and line. An error of a policy, unlike a fault, keeps nothing from being served."""

    errors: tuple[Fault, ...]
    warnings: tuple[Fault, ...]


def check(directory: Path, *, environ: Mapping[str, str], overrides: Overrides) -> Findings:
    """Everything that there is to say about `directory`; never raises for what is in it."""
    try:
        snapshot, accounts = load_declared(directory, environ=environ, overrides=overrides)
    except ConfigurationError as error:
        return Findings(error.faults, error.warnings)
    found: dict[Severity, set[Fault]] = {Severity.ERROR: set(), Severity.WARNING: set(snapshot.warnings)}
    for account in accounts.values():
        for policy, place, location in _policies(account):
            for finding in lint(policy, account=account.id):
                fault = place((*location, *_location(finding.pointer)), f"{finding.message} ({finding.rule})")
                found[finding.severity].add(fault)
    return Findings(tuple(sorted(found[Severity.ERROR])), tuple(sorted(found[Severity.WARNING])))


def _policies(account: DeclaredAccount) -> Iterator[tuple[Policy, Place, Location]]:
    """The account's policies and where their documents stand."""
    entity: Declared
    for entity in (*account.users, *account.groups, *account.roles):
        for i, policy in enumerate(entity.inline.values()):
            yield policy, entity.place, (entity.inline_key, i, "PolicyDocument")
    for role in account.roles:
        yield role.trust_policy, role.place, ("AssumeRolePolicyDocument",)
    for managed in account.policies:
        yield managed.policy, managed.place, ("PolicyDocument",)


def _location(pointer: str) -> Location:
    return tuple(int(part) if part.isdecimal() else part for part in parts(pointer))
