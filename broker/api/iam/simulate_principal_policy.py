"""IAM SimulatePrincipalPolicy: what would be decided for a configured user, group or role of the caller's account."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from broker.api.call import Call
from broker.api.iam.shapes import CALLERS, EXISTING_NAME
from broker.api.iam.simulation import DOCUMENTS, Simulated, given, results
from broker.api.params import many, param, structure
from broker.api.query import Action, Result
from broker.api.rules import choice
from broker.api.shapes import ARN
from broker.arn import Arn
from broker.directory.model import Snapshot
from broker.errors import InvalidInput, NoSuchEntity
from broker.flows.configured import Exclusions, simulation, source


@dataclass(frozen=True, slots=True, kw_only=True)
class InlinePolicyIdentifier:
    """An inline policy by what it is attached to."""

    name: str = param("PolicyName", EXISTING_NAME)
    attachment_type: str = param("AttachmentType", choice("user", "group", "role"))
    attachment_name: str = param("AttachmentName", EXISTING_NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyIdentifier:
    """A member of `PolicyExclusionList`: one of the three."""

    type: str | None = param(
        "PolicyType",
        choice("inline", "aws-managed", "user-managed", "permission-boundary", "scp", "rcp"),
        default=None,
    )
    arn: str | None = param("PolicyArn", ARN, default=None)
    inline: InlinePolicyIdentifier | None = param(
        "InlinePolicyIdentifier", structure(InlinePolicyIdentifier), default=None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Simulated):
    """The parameters of SimulatePrincipalPolicy."""

    source_arn: str = param("PolicySourceArn", ARN)
    policies: tuple[str, ...] = param("PolicyInputList", DOCUMENTS, default=())
    exclusions: tuple[PolicyIdentifier, ...] = param(
        "PolicyExclusionList", many(structure(PolicyIdentifier), maximum=256), default=()
    )


async def run(call: Call, request: Request) -> Result:
    """Compile and decide, off the event loop: documents may be large."""
    account = call.signer.principal.account
    return await asyncio.to_thread(_simulate, call.snapshot, account, request, call.services.now())


def _simulate(snapshot: Snapshot, account: str, request: Request, now: datetime) -> Result:
    try:
        arn = Arn.parse(request.source_arn)
    except ValueError as error:
        raise InvalidInput("PolicySourceArn is not an ARN.") from error
    if arn.service != "iam" or arn.resource_type not in ("user", "group", "role"):
        raise InvalidInput("PolicySourceArn must be the ARN of a user, group or role.")
    if arn.account != account:
        raise NoSuchEntity(f"The {arn.resource_type} with name {arn.name} cannot be found.")
    entity = source(snapshot, request.source_arn, now, place="PolicySourceArn")
    asked = simulation(
        snapshot, entity, given(request, request.policies), _exclusions(request.exclusions), accounts=(account,)
    )
    return results(asked, request, of="SimulatePrincipalPolicy")


def _exclusions(identifiers: tuple[PolicyIdentifier, ...]) -> Exclusions:
    for number, each in enumerate(identifiers, 1):
        if [each.type, each.arn, each.inline].count(None) != 2:
            raise InvalidInput(
                f"PolicyExclusionList.{number} must have one of PolicyType, PolicyArn and InlinePolicyIdentifier."
            )
    return Exclusions(
        types=frozenset(each.type for each in identifiers if each.type is not None),
        arns=frozenset(each.arn for each in identifiers if each.arn is not None),
        inline=frozenset(
            (each.inline.name, each.inline.attachment_type, each.inline.attachment_name)
            for each in identifiers
            if each.inline is not None
        ),
    )


ACTION = Action(
    request=Request,
    run=run,
    permission="iam:SimulatePrincipalPolicy",
    resource=lambda _call, request: str(request.source_arn),
    callers=CALLERS,
    audited=("PolicySourceArn", "ActionNames", "ResourceArns", "CallerArn"),
    bulky=True,
)
