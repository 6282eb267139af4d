"""STS AssumeRoot: a principal of the management account for another account's root credentials, for one task."""

from dataclasses import dataclass
from datetime import timedelta

from broker.api.params import param, structure
from broker.api.query import Action, Call, Result
from broker.api.rules import seconds, text
from broker.api.sts.shapes import PolicyDescriptor, credentials, record_session
from broker.flows.root_sessions import assume_root


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of AssumeRoot."""

    target: str = param("TargetPrincipal", text(12, 2048))
    task_policy: PolicyDescriptor = param("TaskPolicyArn", structure(PolicyDescriptor))
    duration: timedelta = param("DurationSeconds", seconds(0, 900), default=timedelta(minutes=15))


async def run(call: Call, request: Request) -> Result:
    """Mint the root session."""
    minted = await assume_root(
        call.services,
        call.snapshot,
        call.signer,
        call.wire,
        target=request.target,
        task_arn=request.task_policy.arn,
        duration=request.duration,
    )
    session = minted.session
    record_session(call, session, sourceIdentity=session.source_identity)
    return {"Credentials": credentials(minted.credentials), "SourceIdentity": session.source_identity}


# The flow asks for the permission, together with the organisation's.
ACTION = Action(request=Request, run=run, audited=("TargetPrincipal", "TaskPolicyArn", "DurationSeconds"))
