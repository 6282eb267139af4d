"""A request that was let in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from broker.client.authorizer import Authorizer
from broker.client.model import Context, Decision, Principal, Question, Shown
from broker.client.rules import Incoming

ContextOf: TypeAlias = Callable[[Incoming], Context]
"""Condition keys of a request, as the service knows them."""


def no_context(_: Incoming) -> Context:
    """None: behind a proxy, only whoever runs the service knows which address is the caller's."""
    return {}


def peer_context(incoming: Incoming) -> Context:
    """`aws:SourceIp`, `aws:SecureTransport` and `aws:UserAgent`, where callers connect to the service themselves."""
    keys = {"aws:SecureTransport": ["true" if incoming.scheme == "https" else "false"]}
    if incoming.peer is not None:
        keys["aws:SourceIp"] = [incoming.peer]
    agent = incoming.http.header("user-agent")
    if agent is not None:
        keys["aws:UserAgent"] = [agent]
    return keys


@dataclass(frozen=True, slots=True)
class Access:
    """Whose request it is, what was decided, and how to ask for more.

    `decision`: the rule's; None where the rule asks only who is there. `shown`: the credentials, as they came.
    """

    principal: Principal
    decision: Decision | None
    shown: Shown = field(repr=False)
    context: Context = field(repr=False)
    authorizer: Authorizer | None = field(repr=False)

    async def decide(self, action: str, resource: str, *, resource_policy: Mapping[str, Any] | None = None) -> Decision:
        """What else may this caller do? Raises as `decide_all`."""
        (decision,) = await self.decide_all([Question(action, resource)], resource_policy=resource_policy)
        return decision

    async def decide_all(
        self, questions: Sequence[Question], *, resource_policy: Mapping[str, Any] | None = None
    ) -> tuple[Decision, ...]:
        """Several at once, in their order.

        Raises:
            RuntimeError: the guard has no authorizer.
            Unauthenticated, NoVerdict: as `Authorizer.decide_all`; the middlewares answer them as for a rule.
        """
        if self.authorizer is None:
            raise RuntimeError("give the guard an authorizer, to ask what a caller may do")
        return await self.authorizer.decide_all(
            self.shown, questions, context=self.context, resource_policy=resource_policy
        )
