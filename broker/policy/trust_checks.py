"""Lint checks of role trust policies: who gets in from outside.

IAM User Guide, "OIDC federation" and "The confused deputy problem"; GitHub Docs, "OpenID Connect reference".
"""

import re
from collections.abc import Iterator
from typing import Final

from broker.arn import is_account_id
from broker.policy.checks import Found, Subject, at, at_condition, narrows
from broker.policy.context import fold
from broker.policy.coverage import covers
from broker.policy.model import Condition, Effect, Kind, Statement
from broker.policy.principals import EVERYONE, Entry, EntryKind

GITHUB: Final = "token.actions.githubusercontent.com"

_CALLER_KEYS: Final = frozenset(
    map(
        fold,
        (
            "aws:PrincipalArn", "aws:PrincipalAccount", "aws:PrincipalOrgID", "aws:PrincipalOrgPaths", "aws:userid",
            "aws:username", "aws:SourceAccount", "aws:SourceArn", "aws:SourceOrgID", "aws:SourceOrgPaths",
        ),
    )
)  # fmt: skip
_WAYS_IN: Final = (
    "sts:assumerole", "sts:assumerolewithsaml", "sts:assumerolewithwebidentity", "sts:assumerolewithldapidentity",
    "sts:assumerolewithcertificate",
)  # fmt: skip
_ORGANIZATION_KEYS: Final = frozenset({"aws:principalorgid", "aws:principalorgpaths"})
_NOT_WHO: Final = frozenset({"iss", "amr", "acr", "iat", "exp", "nbf", "jti", "auth_time", "sub_type", "doc", "nonce"})
"""Claims that say how or when, not who or for whom."""

TENANTS: Final[dict[str, dict[str, str]]] = {
    GITHUB: {
        "sub": r"(repo|repository|job_workflow_ref|workflow_ref):[^/:@]+[/@]|"
        r"(repository_owner|repository_owner_id|repository_id|enterprise|enterprise_id):[^:]+:",
        "repository": r"[^/]+/",
        "job_workflow_ref": r"[^/]+/",
        "workflow_ref": r"[^/]+/",
        "repository_id": "",
        "repository_owner": "",
        "repository_owner_id": "",
        "enterprise": "",
        "enterprise_id": "",
    },
    "gitlab.com": {
        "sub": r"project_path:[^/]+/",
        "project_path": r"[^/]+/",
        "namespace_path": r"[^/]+/",
        "namespace_id": "",
        "project_id": "",
        "user_login": "",
    },
    "app.terraform.io": {
        "sub": r"organization:[^:]+:",
        "terraform_organization_id": "",
        "terraform_organization_name": "",
        "terraform_workspace_id": "",
    },
    "agent.buildkite.com": {
        "sub": r"organization:[^:]+:",
        "organization_slug": "",
        "organization_id": "",
        "pipeline_id": "",
    },
}
"""Issuers that serve every organisation: the claims that tell one from another, and what a pattern must hold before its
first wildcard to stay within one. Empty: no pattern does."""

_OWN_PEOPLE: Final = {"ldap": "ldap:groups or ldap:username", "x509": "x509:subject/CN"}
"""Providers that vouch for nobody else's people, and what tells those apart."""

_OLD_GITHUB_SUBJECT = re.compile(r"repo:([^/:@]*)/([^:@]*)(:.*)?", re.DOTALL)


def _allows(subject: Subject) -> Iterator[Statement]:
    """The Allow statements of a trust policy by which somebody gets in: not those about session tags alone."""
    if subject.policy.kind is Kind.TRUST:
        for statement in subject.policy.statements:
            if statement.effect is Effect.ALLOW and any(map(statement.action_matches, _WAYS_IN)):
                yield statement


def _at_principal(statement: Statement, value: str, kind: str) -> tuple[str | int, ...]:
    same_kind = [entry.value for entry in statement.principals if entry.type == kind]
    return at(statement, "Principal", kind, same_kind.index(value))


def trust_everyone(subject: Subject) -> Found:
    """Anyone of any account may assume the role."""
    for statement in _allows(subject):
        if EVERYONE in statement.principals and not any(
            narrows(condition) and condition.folded in _CALLER_KEYS for condition in statement.conditions
        ):
            yield at(statement, "Principal"), "name accounts, or demand aws:PrincipalOrgID or aws:PrincipalArn"


def _providers(statement: Statement) -> list[tuple[str, str]]:
    """Each federated entry with the prefix of its claims."""
    found = []
    for entry in statement.principals:
        if entry.kind is EntryKind.PROVIDER:
            kind, _, name = entry.value.split(":", 5)[-1].partition("/")
            prefix = {"saml-provider": "saml", "ldap-provider": "ldap", "certificate-provider": "x509"}.get(kind)
            found.append((entry.value, prefix or fold(name or entry.value)))
    return found


def _claim(condition: Condition, prefix: str) -> str | None:
    head, _, claim = condition.folded.rpartition(":")
    return claim if head == prefix else None


def _conditioned(statement: Statement) -> bool:
    """Whether a condition on some provider's claims asks for whom or about whom it vouches."""
    claims = {
        _claim(condition, prefix)
        for condition in statement.conditions
        if narrows(condition)
        for _, prefix in _providers(statement)
    }
    return bool(claims - _NOT_WHO - {None})


def _unconditioned(subject: Subject) -> Iterator[tuple[Statement, str, str]]:
    """Statements that do not ask for whom or about whom a provider vouches, with each provider and its prefix."""
    for statement in _allows(subject):
        if not _conditioned(statement):
            for value, prefix in _providers(statement):
                yield statement, value, prefix


def federated_unconditioned(subject: Subject) -> Found:
    """Whoever the provider vouches for, for whatever relying party, may assume the role."""
    for statement, value, prefix in _unconditioned(subject):
        if prefix not in _OWN_PEOPLE:
            wanted = "saml:aud or saml:sub" if prefix == "saml" else f"{prefix}:aud and {prefix}:sub"
            yield _at_principal(statement, value, "Federated"), f"demand {wanted}"


def own_unconditioned(subject: Subject) -> Found:
    """All people of a directory, or all machines of an authority, may assume the role."""
    for statement, value, prefix in _unconditioned(subject):
        if prefix in _OWN_PEOPLE:
            wanted = _OWN_PEOPLE[prefix]
            yield _at_principal(statement, value, "Federated"), f"demand {wanted} where not all of them should"


def _tenant_conditions(statement: Statement, prefix: str) -> list[tuple[Condition, str]]:
    """The conditions on claims that tell organisations apart, each with the beginning its patterns need."""
    claims = TENANTS.get(prefix, {})
    return [
        (condition, claims[claim])
        for condition in statement.conditions
        if narrows(condition) and (claim := _claim(condition, prefix)) in claims and claim is not None
    ]


def federated_any_tenant(subject: Subject) -> Found:
    """The issuer serves many organisations and no condition picks one."""
    for statement in _allows(subject):
        for value, prefix in _providers(statement):
            if prefix in TENANTS and _conditioned(statement) and not _tenant_conditions(statement, prefix):
                yield (
                    _at_principal(statement, value, "Federated"),
                    f"demand {prefix}:sub as well; its tokens for anyone carry whatever audience they ask for",
                )


def subject_wildcard(subject: Subject) -> Found:
    """A pattern that other organisations of the same issuer can match, with nothing else to keep them out."""
    for statement in _allows(subject):
        for _, prefix in _providers(statement):
            loose = []
            for condition, beginning in _tenant_conditions(statement, prefix):
                wide = [
                    index for index, value in enumerate(condition.values) if _admits_others(condition, value, beginning)
                ]
                if not wide:
                    break
                loose += [(condition, index) for index in wide]
            else:
                for condition, index in loose:
                    yield (
                        at_condition(statement, condition, index),
                        f"{condition.values[index]!r} matches other organisations' tokens; write theirs out in full",
                    )


def _admits_others(condition: Condition, value: str, beginning: str) -> bool:
    if "Like" not in condition.name.base or ("*" not in value and "?" not in value):
        return False
    literal = re.split(r"[*?]", value, maxsplit=1)[0]
    return not beginning or re.search(f"(?:^|:)(?:{beginning})", literal) is None


def subject_form(subject: Subject) -> Found:
    """GitHub subjects with immutable ids (`repo:org@123/repo@456:...`) match no pattern of the old form."""
    for statement in _allows(subject):
        for condition in statement.conditions:
            if _claim(condition, GITHUB) != "sub" or not narrows(condition):
                continue
            for index, value in enumerate(condition.values):
                new = _with_ids(value)
                if new is not None and not any(_matches(condition, pattern, new) for pattern in condition.values):
                    yield at_condition(statement, condition, index), f"add the form of {new!r} beside {value!r}"


def _with_ids(value: str) -> str | None:
    """An example in the new form for an old-form pattern."""
    old = _OLD_GITHUB_SUBJECT.fullmatch(value)
    if old is None:
        return None
    owner, repository, rest = (part and part.replace("*", "x").replace("?", "x") for part in old.groups())
    return f"repo:{owner or 'x'}@123/{repository or 'x'}@456{rest or ':ref:refs/heads/main'}"


def _matches(condition: Condition, pattern: str, text: str) -> bool:
    return covers(pattern, text) if "Like" in condition.name.base else pattern == text


def external_id(subject: Subject) -> Found:
    """A foreign account assumes the role without an external ID: it could be made to do so for someone else."""
    if subject.account is None:
        return
    for statement in _allows(subject):
        guards = {condition.folded for condition in statement.conditions if narrows(condition)}
        if guards & ({"sts:externalid"} | _ORGANIZATION_KEYS) or not statement.action_matches("sts:assumerole"):
            continue
        for entry in statement.principals:
            account = _account_of(entry)
            if account is not None and account != subject.account:
                yield (
                    _at_principal(statement, entry.value, "AWS"),
                    f"demand sts:ExternalId of account {account} if it acts for others, or its organisation",
                )


def _account_of(entry: Entry) -> str | None:
    """The account that an AWS principal names or belongs to."""
    if entry.type != "AWS":
        return None
    account = entry.value if is_account_id(entry.value) else "".join(entry.value.split(":", 5)[4:5])
    return account if is_account_id(account) else None
