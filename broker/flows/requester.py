"""Whoever asks for a role, as policies see them: a caller, or somebody for whom an identity provider vouches."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from broker.arn import Arn
from broker.directory.model import Snapshot
from broker.flows.caller import Caller, caller_keys
from broker.policy import Policies, Principal, PrincipalKind
from broker.sessions.model import Session
from providers.contract import Identity


class Requester(msgspec.Struct, frozen=True, kw_only=True):
    """The principal with its policies and condition keys, and what a session of the role keeps of it."""

    principal: Principal
    policies: Policies
    single: Mapping[str, str]
    many: Mapping[str, Sequence[str]]
    session: Session | None = None
    chained: bool = False
    groups: Sequence[str] = ()
    federated_provider: str | None = None
    federated_subject: str | None = None
    carried: Mapping[str, tuple[str, ...]] = {}
    session_until: datetime | None = None

    @classmethod
    def calling(cls, caller: Caller, now: datetime, *, code_verified: bool | None = None) -> "Requester":
        """A verified caller. `code_verified`: whether a code was used up for this; None: as the caller's keys say."""
        single, many = caller_keys(caller, now)
        session = caller.session
        return cls(
            principal=caller.principal,
            policies=caller.policies,
            single=single | mfa_keys(verified=code_verified),
            many=many,
            session=session,
            chained=caller.chained,
            federated_provider=session.federated_provider if session is not None else None,
            federated_subject=session.federated_subject if session is not None else None,
            carried=session.context if session is not None else {},
        )

    @classmethod
    def federated(
        cls, snapshot: Snapshot, identity: Identity, provider_arn: str, *, code_verified: bool | None = None
    ) -> "Requester":
        """Somebody whose identity was verified by the provider of this ARN.

        `code_verified`: whether a second factor was verified here; None where that is the provider's business.
        """
        single: dict[str, str] = {}
        many: dict[str, Sequence[str]] = {}
        for key, values in identity.attributes.items():
            if len(values) == 1 and key not in identity.multivalued:
                single[key] = values[0]
            else:
                many[key] = values
        # Last: what the gateway knows by itself stands over what a provider says.
        single["aws:FederatedProvider"] = provider_arn
        many["sojourn:AuthenticationMethods"] = tuple(sorted(identity.methods))
        return cls(
            principal=Principal(PrincipalKind.PROVIDER, provider_arn, Arn.parse(provider_arn).account),
            policies=Policies(),
            single=single | mfa_keys(verified=code_verified),
            many=many,
            groups=identity.attributes.get("ldap:groups", ()),
            federated_provider=provider_arn,
            federated_subject=identity.subject if snapshot.ldap_provider(provider_arn) is not None else None,
            carried={key: identity.attributes[key] for key in identity.carried if key in identity.attributes},
            session_until=identity.session_until,
        )

    def refusal(self, action: str, role_arn: str) -> str:
        """AWS's sentence; an unsigned caller has no name to be called by."""
        if self.principal.kind is PrincipalKind.PROVIDER:
            return f"Not authorized to perform {action}"
        return f"User: {self.principal.arn} is not authorized to perform: {action} on resource: {role_arn}"


def mfa_keys(*, verified: bool | None) -> dict[str, str]:
    """The condition keys that tell whether a second factor was verified with this very request; none for None."""
    if verified is None:
        return {}
    if verified:
        return {"aws:MultiFactorAuthPresent": "true", "aws:MultiFactorAuthAge": "0"}
    return {"aws:MultiFactorAuthPresent": "false"}
