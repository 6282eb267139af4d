"""Puts a question of the case suite to the engine; documents travel as JSON text, as they do on the wire."""

import json
from collections.abc import Sequence

from broker.policy import (
    Decision,
    Kind,
    Policies,
    Policy,
    Principal,
    PrincipalKind,
    Request,
    RequestContext,
    decide,
    parse,
)
from tests.policy.reference import Document, Question


def compiled(document: Document, kind: Kind) -> Policy:
    """The document as the engine parses it."""
    return parse(json.dumps(document), kind)


def ask(question: Question) -> Decision:
    """The engine's decision."""
    return decide(request(question), policies(question))


def request(question: Question) -> Request:
    """The request part of a question, in the engine's types."""
    caller = dict(question.principal)
    principal = Principal(PrincipalKind[caller.pop("kind")], **caller)
    context = RequestContext(question.single, question.many)
    return Request(principal, question.action, question.resource, context, question.resource_account)


def policies(question: Question) -> Policies:
    """The documents of a question, in the engine's types."""

    def all_of(documents: Sequence[Document], kind: Kind) -> list[Policy]:
        return [compiled(document, kind) for document in documents]

    resource = None
    if question.trust is not None:
        resource = compiled(question.trust, Kind.TRUST)
    elif question.resource_policy is not None:
        resource = compiled(question.resource_policy, Kind.RESOURCE)
    return Policies(
        identity=all_of(question.identity, Kind.IDENTITY),
        boundary=compiled(question.boundary, Kind.BOUNDARY) if question.boundary is not None else None,
        session=all_of(question.session, Kind.SESSION) if question.session is not None else None,
        scps=[all_of(level, Kind.SCP) for level in question.scps],
        resource=resource,
        rcps=all_of(question.rcps, Kind.RCP),
    )
