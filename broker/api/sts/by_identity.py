"""What the actions share that turn an identity into a session of a role, which need not be named (as MinIO's do)."""

import asyncio
from dataclasses import dataclass

from broker.api.params import param
from broker.api.query import Call, Result
from broker.api.rules import arn
from broker.api.sts.shapes import SESSION_NAME, SessionParameters, role_session
from broker.arn import Arn
from broker.errors import ValidationError
from broker.flows.assume import assume
from broker.flows.requester import Requester
from broker.flows.role_choice import with_only_role
from providers.contract import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest(SessionParameters):
    """The session that is asked for. Without a role: of the only one that admits the identity."""

    role_arn: Arn | None = param("RoleArn", arn("role", invalid="Request ARN is invalid"), default=None)
    session_name: str | None = param("RoleSessionName", SESSION_NAME, default=None)

    @property
    def named_role(self) -> str | None:
        """The ARN of the role, where one is named."""
        return str(self.role_arn) if self.role_arn is not None else None


async def assume_by_identity(
    call: Call,
    request: SessionRequest,
    identity: Identity,
    provider_arn: str,
    action: str,
    *,
    code_verified: bool | None = None,
) -> Result:
    """Assume the role as somebody for whom the provider of this ARN vouches; the result element."""
    services, snapshot = call.services, call.snapshot
    name = request.session_name or identity.session_name
    if name is None:
        raise ValidationError("RoleSessionName is required: the name of the identity cannot name a session.")
    requester = Requester.federated(snapshot, identity, provider_arn, code_verified=code_verified)
    asked = request.of(request.named_role or "", name, action=action, vouched_tags=identity.session_tags)
    if request.role_arn is None:
        # In a thread: every role that names the provider is weighed.
        asked = await asyncio.to_thread(with_only_role, services, snapshot, requester, call.wire, asked)
    return role_session(call, await assume(services, snapshot, requester, call.wire, asked))
