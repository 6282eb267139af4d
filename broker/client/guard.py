"""Lets requests in or refuses them: what every middleware does, whatever the server.

Invariants:
1. Only a rule lets in; what fails, and what cannot be told, is refused.
2. A request has one credential in one place: a bearer token in the one Authorization header, or one signature.
3. A signature counts for a request to a host of this service, with the body that was read and hashed here.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

from broker.client.access import Access, ContextOf, no_context
from broker.client.authorizer import Authorizer
from broker.client.model import (
    BearerToken,
    NoVerdict,
    QuestionRefused,
    Shown,
    SignedRequest,
    Unauthenticated,
)
from broker.client.presented import Ambiguous, presented
from broker.client.refusal import Refusal, challenges
from broker.client.rules import Authenticated, Authorized, Incoming, Public, Rule, find
from broker.client.verifier import Verifier
from broker.mapping import s3
from broker.mapping.hosts import hosts as hosts_of
from broker.sigv4 import PresentedSignature

_READ_WITHIN = 20.0
_HASHED_AT_ONCE = 262_144

log = logging.getLogger(__name__)


class Guard:
    """The rules of a service, and whom it asks. Belongs to the event loop that first uses it; close it there."""

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        verifier: Verifier | None = None,
        authorizer: Authorizer | None = None,
        hosts: Collection[str] = (),
        context: ContextOf = no_context,
        unsigned_bodies: bool = False,
    ) -> None:
        """With `verifier` bearer tokens are taken; with `hosts`, requests that were signed for one of these.

        A host without a port stands for every port. `context`: condition keys of a request (`peer_context`).
        `unsigned_bodies`: bodies may be such as the signature does not cover (presigned uploads, `UNSIGNED-PAYLOAD`).
        Raises `ValueError` where a rule could let nobody in.
        """
        if authorizer is None and (hosts or any(isinstance(rule, Authorized) for rule in rules)):
            raise ValueError("signed requests, and Authorized rules, need an authorizer")
        if verifier is None and (not hosts or any(isinstance(rule, Authenticated) for rule in rules)):
            raise ValueError("bearer tokens, and Authenticated rules, need a verifier")
        self._rules = tuple(rules)
        self._verifier = verifier
        self._authorizer = authorizer
        self._hosts = frozenset(host.lower() for host in hosts)
        self._context = context
        self._unsigned_bodies = unsigned_bodies

    async def admit(self, incoming: Incoming) -> Access | None:
        """What is let in, and as whose; None where the rule is open to everybody. Raises `Refusal`."""
        found = find(self._rules, incoming.http)
        if found is None:
            raise Refusal(403, "AccessDenied", "No rule of this service knows this request.")
        rule, values = found
        if isinstance(rule, Public):
            return None
        try:
            return await self._admit(rule, replace(incoming, values=values, read=partial(_in_time, incoming.read)))
        except (Unauthenticated, NoVerdict, Ambiguous) as failure:
            raise self.refusal(failure) from failure

    def refusal(self, failure: Unauthenticated | NoVerdict | Ambiguous) -> Refusal:
        """The answer to a request that failed so."""
        if isinstance(failure, Unauthenticated):
            return self._unauthenticated(failure.code, failure.message, error="invalid_token")
        if isinstance(failure, Ambiguous):
            message = str(failure)
            return Refusal(400, "ValidationError", message, challenges=self._challenges("invalid_request", message))
        log.warning("no decision: %s", failure)
        if isinstance(failure, QuestionRefused) and failure.status != 403:
            return Refusal(400, "ValidationError", "The gateway cannot judge this request.")
        return Refusal(503, "ServiceUnavailable", "It cannot be told now whether this is allowed; try again.")

    async def close(self) -> None:
        """Close what the verifier and the authorizer hold."""
        for each in (self._verifier, self._authorizer):
            if each is not None:
                await each.close()

    async def _admit(self, rule: Authenticated | Authorized, incoming: Incoming) -> Access:
        shown = presented(incoming.http)
        if isinstance(shown, BearerToken) and self._verifier is not None:
            principal = await self._verifier.verify(shown.raw)
            if isinstance(rule, Authenticated):
                return Access(principal, None, shown, self._context(incoming), self._authorizer)
            access = await self._decided(rule, incoming, shown)
            told = access.principal
            return replace(access, principal=replace(principal, tags=told.tags, user_id=told.user_id))
        if isinstance(shown, PresentedSignature) and isinstance(rule, Authorized) and self._hosts:
            return await self._decided(rule, incoming, await self._signed_request(incoming))
        raise self._unauthenticated(
            "MissingAuthenticationToken", "Credentials of a kind that is taken here are missing."
        )

    async def _decided(self, rule: Authorized, incoming: Incoming, shown: Shown) -> Access:
        question = await rule.question(incoming)
        if question is None or self._authorizer is None:
            raise Refusal(403, "AccessDenied", "This request does more than any rule of this service means.")
        known = s3.condition_keys(question.action, incoming.http)
        context = {**{key: [value] for key, value in known.items()}, **self._context(incoming)}
        decision = await self._authorizer.decide(shown, question.action, question.resource, context=context)
        if not decision.allowed:
            sentence = f"is not authorized to perform: {question.action} on resource: {question.resource}"
            raise Refusal(403, "AccessDenied", f"User: {decision.principal.arn} {sentence}")
        covered = decision.payload_signed or self._unsigned_bodies
        if isinstance(shown, SignedRequest) and shown.payload_sha256 is not None and not covered:
            raise Refusal(403, "AccessDenied", "The signature does not cover the body; sign it.")
        return Access(decision.principal, decision, shown, context, self._authorizer)

    async def _signed_request(self, incoming: Incoming) -> SignedRequest:
        http = incoming.http
        if self._hosts.isdisjoint(hosts_of(http)):
            # Whoever was sent a signed request could show it here.
            raise Refusal(403, "AccessDenied", "The request is for another host.")
        body = await incoming.read()
        if len(body) <= _HASHED_AT_ONCE:
            digest = hashlib.sha256(body)
        else:
            digest = await asyncio.to_thread(hashlib.sha256, body)
        url = f"{incoming.scheme}://{http.header('host')}{http.path}"
        return SignedRequest(
            http.method,
            f"{url}?{http.query}" if http.query else url,
            http.headers,
            digest.hexdigest() if body else None,
        )

    def _unauthenticated(self, code: str, message: str, *, error: str | None = None) -> Refusal:
        return Refusal(401, code, message, challenges=self._challenges(error, message))

    def _challenges(self, error: str | None, message: str) -> Sequence[str]:
        issuer = self._verifier.issuer if self._verifier is not None else None
        return challenges(issuer, signed=bool(self._hosts), error=error, message=message)


async def _in_time(read: Callable[[], Awaitable[bytes]]) -> bytes:
    try:
        async with asyncio.timeout(_READ_WITHIN):
            return await read()
    except TimeoutError:
        raise Refusal(408, "RequestTimeout", "The request body did not arrive in time.") from None
