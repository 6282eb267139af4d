"""For resource servers: who sends this request, and may they do this? With aiohttp, ASGI, or neither.

`Verifier` verifies bearer tokens offline, `Authorizer` asks `/authorize`, and a `Guard` puts both behind the rules of a
service: `broker.client.aiohttp.protect`, `broker.client.asgi.Guarded`. Nothing of the gateway itself is imported.
"""

from broker.client.access import Access, no_context, peer_context
from broker.client.authorizer import Authorizer
from broker.client.credentials import NoCredentials, Provider, environment
from broker.client.guard import Guard
from broker.client.model import (
    BearerToken,
    Context,
    Decision,
    Matched,
    NoVerdict,
    Principal,
    Question,
    QuestionRefused,
    Shown,
    SignedRequest,
    Unauthenticated,
    Unavailable,
    Verdict,
)
from broker.client.refusal import Refusal
from broker.client.rules import Authenticated, Authorized, Incoming, Public, Rule
from broker.client.verifier import Verifier
from broker.sigv4.sign import SigningCredentials

__all__ = [
    "Access",
    "Authenticated",
    "Authorized",
    "Authorizer",
    "BearerToken",
    "Context",
    "Decision",
    "Guard",
    "Incoming",
    "Matched",
    "NoCredentials",
    "NoVerdict",
    "Principal",
    "Provider",
    "Public",
    "Question",
    "QuestionRefused",
    "Refusal",
    "Rule",
    "Shown",
    "SignedRequest",
    "SigningCredentials",
    "Unauthenticated",
    "Unavailable",
    "Verdict",
    "Verifier",
    "environment",
    "no_context",
    "peer_context",
]
