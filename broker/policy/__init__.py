"""AWS's policy language: parse documents, decide requests, explain decisions. Pure; usable without the rest.

policy = parse(text, Kind.IDENTITY, name="arn:aws:iam::111122223333:policy/p")
decision = decide(Request(principal, "s3:GetObject", "arn:aws:s3:::b/k", context), Policies(identity=[policy]))
"""

from broker.policy.context import CONTEXT_KEYS, ContextKey, KeyType, RequestContext, context_key
from broker.policy.document import parse, parse_value, size
from broker.policy.evaluate import Decision, Gates, Policies, Request, Verdict, decide
from broker.policy.explain import Explanation, PolicyTrace, Reason, StatementTrace, because, explain
from broker.policy.faults import Fault, PolicyError
from broker.policy.jsontext import Position
from broker.policy.model import Condition, Effect, Kind, Matched, Policy, Statement
from broker.policy.operators import OPERATORS
from broker.policy.principals import ANONYMOUS, Match, Principal, PrincipalKind

__all__ = [
    "ANONYMOUS",
    "CONTEXT_KEYS",
    "OPERATORS",
    "Condition",
    "ContextKey",
    "Decision",
    "Effect",
    "Explanation",
    "Fault",
    "Gates",
    "KeyType",
    "Kind",
    "Match",
    "Matched",
    "Policies",
    "Policy",
    "PolicyError",
    "PolicyTrace",
    "Position",
    "Principal",
    "PrincipalKind",
    "Reason",
    "Request",
    "RequestContext",
    "Statement",
    "StatementTrace",
    "Verdict",
    "because",
    "context_key",
    "decide",
    "explain",
    "parse",
    "parse_value",
    "size",
]
