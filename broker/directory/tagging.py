"""Trust policies that admit a provider and not the session tags that it makes: whoever has one stays outside."""

from collections.abc import Iterator, Mapping

from broker.directory.model import Account, LdapProvider, OidcProvider
from broker.directory.reading import DeclaredAccount
from broker.policy import Effect, Policy
from broker.policy.principals import EVERYONE
from broker.settings import Fault

_WAYS_IN = ("sts:assumerolewithwebidentity", "sts:assumerolewithldapidentity")


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
