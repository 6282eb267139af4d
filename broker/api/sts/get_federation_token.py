"""STS GetFederationToken: a user's permissions, narrowed, under a name that the user chooses."""

from dataclasses import dataclass
from datetime import timedelta

from broker.api.params import param
from broker.api.query import Action, Call, Result
from broker.api.rules import seconds, text
from broker.api.shapes import TAGS, Tag
from broker.api.sts.shapes import SessionPolicies, credentials, record_session
from broker.flows.user_sessions import federation_token


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(SessionPolicies):
    """The parameters of GetFederationToken."""

    name: str = param("Name", text(2, 32, r"[\w+=,.@-]*"))
    duration: timedelta = param("DurationSeconds", seconds(900, 129_600), default=timedelta(hours=12))
    tags: tuple[Tag, ...] = param("Tags", TAGS, default=())


async def run(call: Call, request: Request) -> Result:
    """Mint the federated user's session."""
    federated = await federation_token(
        call.services,
        call.snapshot,
        call.signer,
        call.wire,
        name=request.name,
        duration=request.duration,
        policy=request.policy,
        policy_arns=request.policy_arns,
        requested_tags=tuple((tag.key, tag.value) for tag in request.tags),
    )
    session = federated.minted.session
    record_session(call, session, federatedUser={"federatedUserId": session.user_id, "arn": session.arn})
    return {
        "Credentials": credentials(federated.minted.credentials),
        "FederatedUser": {"FederatedUserId": session.user_id, "Arn": session.arn},
        "PackedPolicySize": federated.packed_policy_size or 0,
    }


ACTION = Action(
    request=Request,
    run=run,
    callers=(None,),
    misfit="Cannot call GetFederationToken with session credentials",
    audited=("Name", "DurationSeconds", "Policy", "PolicyArns", "Tags"),
)
