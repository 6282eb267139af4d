"""STS GetWebIdentityToken: a signed JWT with which the caller proves itself to another relying party."""

from dataclasses import dataclass
from datetime import timedelta

from broker.api.params import many, param
from broker.api.query import Action, Call, Result
from broker.api.rules import choice, seconds, text
from broker.api.shapes import TAGS, Tag
from broker.clock import iso8601
from broker.flows.outbound import ALGORITHMS, TokenRequest, web_identity_token


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The parameters of GetWebIdentityToken."""

    audiences: tuple[str, ...] = param("Audience", many(text(1, 1000), minimum=1, maximum=10))
    algorithm: str = param("SigningAlgorithm", choice(*ALGORITHMS))
    duration: timedelta = param("DurationSeconds", seconds(60, 3600), default=timedelta(minutes=5))
    tags: tuple[Tag, ...] = param("Tags", TAGS, default=())


async def run(call: Call, request: Request) -> Result:
    """Sign the token."""
    made = await web_identity_token(
        call.services,
        call.snapshot,
        call.signer,
        call.wire,
        TokenRequest(
            audiences=request.audiences,
            algorithm=request.algorithm,
            duration=request.duration,
            tags=[(tag.key, tag.value) for tag in request.tags],
            region=call.event.region or "us-east-1",
        ),
    )
    call.event.response = {"expiration": iso8601(made.expiration)}
    return {"WebIdentityToken": made.token, "Expiration": made.expiration}


ACTION = Action(request=Request, run=run, audited=("Audience", "SigningAlgorithm", "DurationSeconds", "Tags"))
