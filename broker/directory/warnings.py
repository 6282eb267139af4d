"""What a valid configuration says and can hardly mean: names that are nobody's, and doors that nobody gets through."""

from collections.abc import Iterator, Mapping

from broker.directory.model import Account, LdapProvider, OidcProvider
from broker.directory.reading import DeclaredAccount
from broker.policy import Effect, Policy
from broker.policy.principals import EVERYONE, EntryKind
from broker.settings import Fault, Settings
from broker.settings.documents import Location

_WAYS_IN = ("sts:assumerolewithwebidentity", "sts:assumerolewithldapidentity")


def principal_warnings(declared: Mapping[str, DeclaredAccount], accounts: Mapping[str, Account]) -> Iterator[Fault]:
    """Trust policies that name a user, role or identity provider which this configuration's accounts do not have."""
    users = {user.arn for account in accounts.values() for user in account.users.values()}
    for account in declared.values():
        for role in account.roles:
            for statement in role.trust_policy.statements:
                location: Location = ("AssumeRolePolicyDocument", "Statement", statement.index, "Principal")
                for entry in statement.principals:
                    arn = entry.value.split(":", 5)
                    owner = accounts.get(arn[4]) if len(arn) == 6 else None
                    if owner is None:
                        continue
                    known = True
                    if entry.kind is EntryKind.USER:
                        known = entry.value in users
                    elif entry.kind is EntryKind.ROLE:
                        known = arn[5].rpartition("/")[2] in owner.roles
                    elif entry.kind is EntryKind.SESSION:
                        known = arn[5].split("/")[1] in owner.roles
                    elif entry.kind is EntryKind.PROVIDER:
                        known = entry.value in _provider_arns(owner)
                    if not known:
                        yield role.place(location, f"nobody is {entry.value} in this configuration")


def unreachable_providers(declared: Mapping[str, DeclaredAccount], settings: Settings) -> Iterator[Fault]:
    """Certificate providers to which nobody can present a certificate."""
    tls = settings.server.tls
    if tls is None or tls.client_ca is None:
        for account in declared.values():
            for _, place in account.certificate_providers:
                yield place((), "no client is asked for a certificate: server.tls.client_ca is not set")


def tagging_warnings(declared: Mapping[str, DeclaredAccount], accounts: Mapping[str, Account]) -> Iterator[Fault]:
    """Roles that providers with `SessionTags` may open, without `sts:TagSession` for them."""
    providers: list[OidcProvider | LdapProvider] = []
    for owner in accounts.values():
        providers += [*owner.oidc_providers.values(), *owner.ldap_providers.values()]
    tagging = {each.arn for each in providers if each.session_tags}
    for account in declared.values():
        for role in account.roles:
            admitted = {arn for action in _WAYS_IN for arn in _allowed(role.trust_policy, action)}
            tags = _allowed(role.trust_policy, "sts:tagsession")
            if EVERYONE.value not in tags:
                for arn in sorted(admitted & tagging - tags):
                    yield role.place(
                        ("AssumeRolePolicyDocument",), f"{arn} makes session tags: allow it sts:TagSession as well"
                    )


def _allowed(policy: Policy, action: str) -> set[str]:
    """Whom Allow statements name for the action. An Allow with NotPrincipal counts as one for everyone."""
    statements = [each for each in policy.statements_for(action) if each.effect is Effect.ALLOW]
    named = {entry.value for each in statements if not each.not_principal for entry in each.principals}
    return named | {EVERYONE.value} if any(each.not_principal for each in statements) else named


def _provider_arns(account: Account) -> set[str]:
    return {
        *(each.arn for each in account.oidc_providers.values()),
        *(each.arn for each in account.saml_providers.values()),
        *(each.arn for each in account.ldap_providers.values()),
        *(each.arn for each in account.certificate_providers.values()),
    }
