"""`POST /authorize`, asked with this service's own signature: may the holder of these credentials do this?

No answer is a no: whatever is not a decision (an outage, an answer that cannot be read) is raised.
"""

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec

from broker.client.credentials import Provider, current
from broker.client.model import (
    BearerToken,
    Context,
    Decision,
    Matched,
    Principal,
    Question,
    QuestionRefused,
    Shown,
    Unauthenticated,
    Unavailable,
    Verdict,
)
from broker.clock import Now, utc_now
from broker.sigv4.sign import SigningCredentials, signed_headers
from providers.fetch import FetchFailed, body_of, require_web_origin

_MAX_ANSWER = 1 << 20
"""Bytes; a hundred decisions with the statements that matched."""
_PAUSES = (0.05, 0.25)
"""Seconds before a question is repeated that found no gateway, or one without its store."""
_REFUSED = frozenset({400, 403, 413})


class _Who(msgspec.Struct, frozen=True):
    arn: str
    account: str
    user_id: str
    tags: dict[str, str]
    source_identity: str | None


class _Decided(msgspec.Struct, frozen=True):
    decision: Verdict
    matched: tuple[Matched, ...]
    missing_context: tuple[str, ...]


class _Answer(msgspec.Struct, frozen=True):
    principal: _Who
    expires_at: int | None
    payload: str
    decisions: tuple[_Decided, ...]


class _Error(msgspec.Struct, frozen=True):
    code: str
    message: str


class _Refusal(msgspec.Struct, frozen=True):
    error: _Error


class Authorizer:
    """Asks one gateway. Belongs to the event loop that first uses it; close it there."""

    def __init__(
        self,
        endpoint: str,
        credentials: SigningCredentials | Provider,
        *,
        timeout: timedelta = timedelta(seconds=5),
        connections: int = 32,
        region: str = "us-east-1",
        tls: ssl.SSLContext | None = None,
        now: Now = utc_now,
    ) -> None:
        """`endpoint`: the gateway's address; https, or http on a loopback address, for its answers are not signed.

        `credentials`: this service's own, or what gives them (`environment`). `timeout` bounds a question, repetitions
        and waiting for one of the `connections` included. `tls`: in place of the system's roots.
        Raises `ValueError` for an endpoint that is none.
        """
        require_web_origin(endpoint, allow_http=True)
        self._url = endpoint.rstrip("/") + "/authorize"
        self._credentials = credentials
        self._timeout = timeout.total_seconds()
        self._connections = connections
        self._region = region
        self._tls = tls
        self._now = now
        self._session: aiohttp.ClientSession | None = None

    async def decide(
        self,
        shown: Shown,
        action: str,
        resource: str,
        *,
        context: Context | None = None,
        resource_policy: Mapping[str, Any] | None = None,
        resource_account: str | None = None,
    ) -> Decision:
        """One decision. Arguments and errors are those of `decide_all`."""
        (decision,) = await self.decide_all(
            shown,
            [Question(action, resource)],
            context=context,
            resource_policy=resource_policy,
            resource_account=resource_account,
        )
        return decision

    async def decide_all(
        self,
        shown: Shown,
        questions: Sequence[Question],
        *,
        context: Context | None = None,
        resource_policy: Mapping[str, Any] | None = None,
        resource_account: str | None = None,
    ) -> tuple[Decision, ...]:
        """Decisions on 1 to 100 questions about the holder of the credentials in `shown`, in their order.

        `context`: condition keys that this service knows. `resource_policy`: the resource's own, as a document.
        `resource_account`: who owns the resource, where its ARN does not tell.

        Raises:
            Unauthenticated: the credentials that were shown do not verify.
            Unavailable: the gateway did not answer in time.
            QuestionRefused: it takes no such question from here.
            NoCredentials: this service has none; whatever else its provider raises comes through.
        """
        document = {
            **_of(shown),
            "requests": [{"action": each.action, "resource": each.resource} for each in questions],
            "context": {name: list(values) for name, values in (context or {}).items()},
            "resource_policy": resource_policy,
            "resource_account": resource_account,
        }
        answer = await self._answer(json.dumps(document).encode())
        if len(answer.decisions) != len(questions):
            raise Unavailable(f"{self._url} answered another question")
        principal = _principal(answer)
        return tuple(
            Decision(
                verdict=each.decision,
                principal=principal,
                payload_signed=answer.payload == "signed",
                matched=each.matched,
                missing_context=each.missing_context,
            )
            for each in answer.decisions
        )

    async def close(self) -> None:
        """Close the connections. What is asked later opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _answer(self, body: bytes) -> _Answer:
        try:
            async with asyncio.timeout(self._timeout):
                for pause in _PAUSES:
                    try:
                        return await self._ask(body)
                    except Unavailable:
                        await asyncio.sleep(pause)
                return await self._ask(body)
        except TimeoutError:
            raise Unavailable(f"{self._url} did not answer within {self._timeout:g} s") from None

    async def _ask(self, body: bytes) -> _Answer:
        headers = signed_headers(
            "POST",
            self._url,
            body,
            await current(self._credentials),
            region=self._region,
            service="sts",
            now=self._now(),
            headers={"content-type": "application/json", "accept-encoding": "identity"},
        )
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=self._connections)
            self._session = aiohttp.ClientSession(connector=connector, trust_env=False, auto_decompress=False)
        tls = self._tls if self._tls is not None else True
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False, ssl=tls
            ) as response:
                status, content = response.status, await body_of(response, max_bytes=_MAX_ANSWER)
        except (aiohttp.ClientError, OSError, FetchFailed) as error:
            raise Unavailable(f"{self._url}: {type(error).__name__}: {error}") from error
        return self._read(status, content)

    def _read(self, status: int, content: bytes) -> _Answer:
        try:
            if status == 200:
                return msgspec.json.decode(content, type=_Answer)
            error = msgspec.json.decode(content, type=_Refusal).error
        except (msgspec.MsgspecError, UnicodeDecodeError) as fault:
            raise Unavailable(f"{self._url} answered {status} with no decision; is it a gateway?") from fault
        if status == 401:
            raise Unauthenticated(error.code, error.message)
        if status in _REFUSED:
            raise QuestionRefused(status, error.code, error.message)
        raise Unavailable(f"{self._url} answered {status}: {error.code}: {error.message}")


def _of(shown: Shown) -> Mapping[str, Any]:
    if isinstance(shown, BearerToken):
        return {"token": shown.raw}
    headers: dict[str, list[str]] = {}
    for name, value in shown.headers:
        headers.setdefault(name.lower(), []).append(value)
    request = {"method": shown.method, "url": shown.url, "headers": headers, "payload_sha256": shown.payload_sha256}
    return {"request": request}


def _principal(answer: _Answer) -> Principal:
    who = answer.principal
    return Principal(
        arn=who.arn,
        account=who.account,
        tags=who.tags,
        source_identity=who.source_identity,
        expires_at=datetime.fromtimestamp(answer.expires_at, UTC) if answer.expires_at is not None else None,
        user_id=who.user_id,
    )
