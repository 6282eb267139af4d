"""IAM SimulateCustomPolicy: what would be decided under the policies that are passed.

Beyond AWS: callers of every kind, a trust policy as resource policy, session policies, resource control policies.
"""

import asyncio
from dataclasses import dataclass, replace

from broker.api.call import Call
from broker.api.iam.shapes import CALLERS
from broker.api.iam.simulation import DOCUMENTS, Simulated, given, results
from broker.api.params import many, param, structure
from broker.api.query import Action, Result
from broker.api.rules import boolean
from broker.flows.simulate import custom


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A member of `OrderedOrganizationPolicyInputList`."""

    scps: tuple[str, ...] = param("ServiceControlPolicyInputList", DOCUMENTS, default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Simulated):
    """The parameters of SimulateCustomPolicy."""

    policies: tuple[str, ...] = param("PolicyInputList", DOCUMENTS)
    levels: tuple[Level, ...] = param(
        "OrderedOrganizationPolicyInputList", many(structure(Level), maximum=7), default=()
    )
    session: tuple[str, ...] | None = param("SessionPolicyInputList", DOCUMENTS, default=None)
    rcps: tuple[str, ...] = param("ResourceControlPolicyInputList", DOCUMENTS, default=())
    federated: bool = param("FederatedSession", boolean(), default=False)


async def run(call: Call, request: Request) -> Result:
    """Compile and decide, off the event loop: documents may be large."""
    return await asyncio.to_thread(_simulate, request, call.signer.principal.account)


def _simulate(request: Request, account: str) -> Result:
    asked = replace(
        given(request, request.policies),
        scps=tuple(level.scps for level in request.levels),
        session=request.session,
        rcps=request.rcps,
        federated=request.federated,
    )
    return results(custom(asked, account), request, of="SimulateCustomPolicy")


ACTION = Action(
    request=Request,
    run=run,
    permission="iam:SimulateCustomPolicy",
    callers=CALLERS,
    audited=("ActionNames", "ResourceArns", "CallerArn"),
    bulky=True,
)
