"""What a reviewer of a well-formed policy must know: rules and their findings."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from broker.policy import checks, trust_checks
from broker.policy.checks import Check, Subject
from broker.policy.faults import Path, pointer
from broker.policy.jsontext import Lines, Node, read
from broker.policy.model import Policy


class Severity(StrEnum):
    """Whether a finding opens a door, or is only worth a look."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing to look for, and the sentence that says why it matters."""

    id: str
    severity: Severity
    sentence: str
    check: Check


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where a rule holds. `pointer` is RFC 6901; line and column count from 1 in the policy's `text`."""

    rule: str
    severity: Severity
    pointer: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.pointer or 'policy'} (line {self.line}): {self.message} [{self.rule}]"


_ERROR, _WARNING = Severity.ERROR, Severity.WARNING

RULES: Final = (
    Rule("trust-everyone", _ERROR, "Everyone in every account may assume the role", trust_checks.trust_everyone),
    Rule(
        "federated-unconditioned",
        _ERROR,
        "Whoever the provider vouches for may assume the role: no condition on audience or subject",
        trust_checks.federated_unconditioned,
    ),
    Rule(
        "own-unconditioned",
        _WARNING,
        "Everybody in the directory, or whoever has a certificate of the authority, may assume the role",
        trust_checks.own_unconditioned,
    ),
    Rule(
        "federated-any-tenant",
        _ERROR,
        "The issuer serves every organisation and no condition picks one",
        trust_checks.federated_any_tenant,
    ),
    Rule(
        "subject-wildcard",
        _ERROR,
        "The wildcard admits foreign organisations of the same issuer",
        trust_checks.subject_wildcard,
    ),
    Rule(
        "subject-form",
        _WARNING,
        "GitHub's subjects with immutable ids will not match",
        trust_checks.subject_form,
    ),
    Rule(
        "external-id", _WARNING, "A foreign account assumes the role without an external ID", trust_checks.external_id
    ),
    Rule("not-principal-allow", _ERROR, "Allow with NotPrincipal admits everyone else", checks.not_principal_allow),
    Rule("equals-wildcard", _WARNING, "This operator takes wildcards literally", checks.equals_wildcard),
    Rule(
        "for-all-values-alone",
        _WARNING,
        "ForAllValues is true without the key, so this Allow holds for requests that lack it",
        checks.for_all_values_alone,
    ),
    Rule("unreachable-statement", _WARNING, "The statement can never allow anything", checks.unreachable),
    Rule("shadowed-statement", _WARNING, "The statement changes nothing", checks.shadowed),
    Rule("unknown-action", _WARNING, "There is no such action", checks.unknown_action),
    Rule("unknown-key", _WARNING, "There is no such condition key", checks.unknown_key),
    Rule("old-variable", _WARNING, "Version 2008-10-17 takes variables literally", checks.old_variable),
    Rule("oversize", _WARNING, "The policy is larger than AWS accepts", checks.oversize),
)


def lint(policy: Policy, *, account: str | None = None) -> Sequence[Finding]:
    """The findings on `policy`, in the document's order.

    `account` is the account that the policy belongs to; without it no account counts as foreign.
    """
    subject = Subject(policy, account)
    root = read(policy.text, lambda _path, _offset: None)
    lines = Lines(policy.text)
    found = []
    for rule in RULES:
        for path, message in rule.check(subject):
            place, offset = _locate(root, path)
            position = lines.position(offset)
            sentence = f"{rule.sentence}; {message}"
            found.append(Finding(rule.id, rule.severity, pointer(place), position.line, position.column, sentence))
    return tuple(sorted(found, key=lambda finding: (finding.line, finding.column)))


def _locate(root: Node, path: Path) -> tuple[Path, int]:
    """The place that the document really has, and its offset: an item that stands alone has no index."""
    node = root
    place: list[str | int] = []
    for part in path:
        match node.value, part:
            case list() as items, int():
                node = items[part]
            case dict() as members, str() if part in members:
                node = members[part]
            case _:
                continue
        place.append(part)
    return tuple(place), node.start
