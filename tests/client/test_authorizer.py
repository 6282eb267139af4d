"""Decisions as a resource server's code gets them: from a real gateway, and none from one that fails."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from broker.client import (
    Authorizer,
    BearerToken,
    NoCredentials,
    NoVerdict,
    Question,
    QuestionRefused,
    SignedRequest,
    SigningCredentials,
    Unauthenticated,
    Unavailable,
    Verdict,
    environment,
)
from tests.end_to_end.resource_world import ALICE, NOBODY, REPORTS, STORAGE, bearer, presigned, signed
from tests.end_to_end.world import DEV, PROD, allow, document
from tests.fakes.issuer import FakeIssuer
from tests.gateway import Gateway, free_port

REPORT = "arn:aws:reports:::report/me"


def own(keys: dict[str, str] = REPORTS) -> SigningCredentials:
    return SigningCredentials(keys["AccessKeyId"], keys["SecretAccessKey"])


@contextlib.asynccontextmanager
async def asking(endpoint: str, credentials: Any = None, **options: Any) -> AsyncIterator[Authorizer]:
    authorizer = Authorizer(endpoint, own() if credentials is None else credentials, **options)
    try:
        yield authorizer
    finally:
        await authorizer.close()


@pytest.fixture
async def authorizer(gateway: Gateway) -> AsyncIterator[Authorizer]:
    async with asking(gateway.url) as authorizer:
        yield authorizer


def shown(request: dict[str, Any]) -> SignedRequest:
    return SignedRequest(
        request["method"], request["url"], list(request["headers"].items()), request.get("payload_sha256")
    )


async def test_a_signed_request(authorizer: Authorizer) -> None:
    request = shown(signed(ALICE, "GET", "http://s3.internal/b/a%20key"))
    decision = await authorizer.decide(request, "s3:GetObject", "arn:aws:s3:::b/a key")
    assert decision.allowed
    assert decision
    assert decision.verdict is Verdict.ALLOW
    assert decision.payload_signed
    assert [(each.sid, each.effect) for each in decision.matched] == [("AllObjects", "Allow")]
    principal = decision.principal
    assert (principal.arn, principal.account) == (f"arn:aws:iam::{DEV}:user/alice", DEV)
    assert principal.tags == {"team": "web"}
    assert principal.expires_at is None
    denied = await authorizer.decide(request, "s3:GetObject", "arn:aws:s3:::vault/key")
    assert not denied
    assert denied.verdict is Verdict.EXPLICIT_DENY


async def test_a_presigned_request(authorizer: Authorizer) -> None:
    decision = await authorizer.decide(
        shown(presigned(ALICE, "GET", "http://s3.internal/b/k")), "s3:GetObject", "arn:aws:s3:::b/k"
    )
    assert decision
    assert not decision.payload_signed


async def test_a_bearer_token(authorizer: Authorizer, gateway: Gateway, issuer: FakeIssuer) -> None:
    token = BearerToken(bearer(gateway, issuer, sub="me"))
    assert "eyJ" not in repr(token)
    decision = await authorizer.decide(token, "reports:GetReport", REPORT)
    assert decision
    assert decision.principal.account == PROD
    assert decision.principal.expires_at is not None
    left = decision.principal.expires_at - datetime.now(UTC)
    assert timedelta(minutes=55) < left <= timedelta(hours=1)
    assert (await authorizer.decide(token, "reports:GetReport", REPORT + "x")).verdict is Verdict.IMPLICIT_DENY


async def test_several_questions_context_and_the_resources_own_policy(authorizer: Authorizer) -> None:
    request = shown(signed(ALICE, "GET", "http://reports.internal/", service="reports"))
    questions = [Question("reports:GetReport", REPORT), Question("reports:PutReport", REPORT)]
    assert list(map(bool, await authorizer.decide_all(request, questions))) == [False, False]
    within = await authorizer.decide_all(request, questions, context={"aws:SourceIp": ["10.0.0.7"]})
    assert list(map(bool, within)) == [True, False]
    policy = document(allow("reports:PutReport", "*", principal={"AWS": f"arn:aws:iam::{DEV}:user/alice"}))
    both = await authorizer.decide_all(request, questions, resource_policy=policy, resource_account=DEV)
    assert list(map(bool, both)) == [False, True]
    assert both[0].missing_context == ("aws:SourceIp",)


async def test_what_does_not_verify(authorizer: Authorizer, gateway: Gateway) -> None:
    request = signed(ALICE, "GET", "http://s3.internal/b/k")
    bent = shown(request | {"url": "http://s3.internal/b/other"})
    with pytest.raises(Unauthenticated) as refused:
        await authorizer.decide(bent, "s3:GetObject", "arn:aws:s3:::b/other")
    assert refused.value.code == "SignatureDoesNotMatch"
    with pytest.raises(Unauthenticated) as refused:
        await authorizer.decide(BearerToken("nonsense"), "s3:GetObject", "arn:aws:s3:::b/k")
    assert refused.value.code == "InvalidClientTokenId"


async def test_what_this_service_may_not_ask(gateway: Gateway) -> None:
    request = shown(signed(ALICE, "GET", "http://s3.internal/b/k"))
    wrong = SigningCredentials(REPORTS["AccessKeyId"], "wrong" * 8)
    for credentials, code in ((own(NOBODY), "AccessDenied"), (wrong, "SignatureDoesNotMatch")):
        async with asking(gateway.url, credentials) as authorizer:
            with pytest.raises(QuestionRefused) as refused:
                await authorizer.decide(request, "s3:GetObject", "arn:aws:s3:::b/k")
            assert (refused.value.status, refused.value.code) == (403, code)
    async with asking(gateway.url, own(STORAGE)) as authorizer:
        with pytest.raises(QuestionRefused):
            await authorizer.decide(BearerToken("x"), "s3:GetObject", "arn:aws:s3:::b/k")


async def test_what_is_no_question(authorizer: Authorizer) -> None:
    request = shown(signed(ALICE, "GET", "http://s3.internal/b/k"))
    for action, resource in (("no action", "*"), ("s3:GetObject", "no resource")):
        with pytest.raises(QuestionRefused) as refused:
            await authorizer.decide(request, action, resource)
        assert refused.value.status == 400
    for questions in ([], [Question("s3:GetObject", "*")] * 101):
        with pytest.raises(QuestionRefused):
            await authorizer.decide_all(request, questions)


async def test_credentials_are_asked_for_with_each_call(gateway: Gateway) -> None:
    given: list[SigningCredentials] = [own(NOBODY), own()]

    async def rotating() -> SigningCredentials:
        return given.pop(0)

    request = shown(signed(ALICE, "GET", "http://s3.internal/b/k"))
    async with asking(gateway.url, rotating) as authorizer:
        with pytest.raises(QuestionRefused):
            await authorizer.decide(request, "s3:GetObject", "arn:aws:s3:::b/k")
        assert await authorizer.decide(request, "s3:GetObject", "arn:aws:s3:::b/k")


async def test_credentials_of_the_environment(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    request = shown(signed(ALICE, "GET", "http://s3.internal/b/k"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    async with asking(gateway.url, environment) as authorizer:
        with pytest.raises(NoCredentials):
            await authorizer.decide(request, "s3:GetObject", "arn:aws:s3:::b/k")
        session = gateway.client(credentials=ALICE).get_session_token()["Credentials"]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", session["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", session["SecretAccessKey"])
        monkeypatch.setenv("AWS_SESSION_TOKEN", session["SessionToken"])
        with pytest.raises(QuestionRefused, match="alice is not authorized to perform: broker:Authorize"):
            await authorizer.decide(request, "s3:GetObject", "arn:aws:s3:::b/k")


class Faulty:
    """Stands where a gateway should be. `answers` are given in turn, the last one from then on."""

    def __init__(self, *answers: Callable[[web.Request], Any]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __aenter__(self) -> str:
        application = web.Application()
        application.router.add_post("/authorize", self._answer)
        self._runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        found = answer(request)
        if asyncio.iscoroutine(found):
            await found
        if not isinstance(found, web.StreamResponse):
            raise web.HTTPInternalServerError
        return found


SOUND: dict[str, Any] = {
    "principal": {"arn": "arn:aws:iam::1:user/a", "account": "1", "user_id": "A", "tags": {}, "source_identity": None},
    "expires_at": None,
    "payload": "signed",
    "decisions": [{"decision": "allow", "matched": [], "missing_context": []}],
}


def answering(document: Any, status: int = 200) -> Callable[[web.Request], web.Response]:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return lambda _: web.Response(status=status, body=body)


def reset(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


OUTAGE = answering({"error": {"code": "ServiceUnavailable", "message": "later"}}, 503)


@pytest.mark.parametrize("faults", [[OUTAGE], [OUTAGE, OUTAGE], [reset, OUTAGE]])
async def test_an_outage_of_a_moment_is_waited_for(faults: list[Any]) -> None:
    faulty = Faulty(*faults, answering(SOUND))
    async with faulty as url, asking(url) as authorizer:
        assert await authorizer.decide(BearerToken("x"), "a:B", "*")
    assert faulty.asked == len(faults) + 1


@pytest.mark.parametrize(
    "answer",
    [
        OUTAGE,
        reset,
        answering(b""),
        answering(b"yes"),
        answering({"decision": "allow"}),
        answering({**SOUND, "decisions": []}),
        answering({**SOUND, "decisions": SOUND["decisions"] * 2}),
        answering({**SOUND, "decisions": [{**SOUND["decisions"][0], "decision": "Allow"}]}),
        answering({**SOUND, "principal": None}),
        answering(json.dumps(SOUND).encode() + b" " * 2_000_000),
        answering(SOUND, 201),
        answering(SOUND, 401),
        answering(SOUND, 500),
        answering(b"<html>who are you?</html>", 401),
        lambda _: web.Response(body=json.dumps(SOUND), headers={"Content-Encoding": "deflate"}),
    ],
)
async def test_whatever_is_no_decision_is_no_verdict(answer: Any) -> None:
    async with Faulty(answer) as url, asking(url) as authorizer:
        with pytest.raises(Unavailable):
            await authorizer.decide(BearerToken("x"), "a:B", "*")


async def test_no_redirection_is_followed() -> None:
    elsewhere = Faulty(answering(SOUND))
    async with elsewhere as other:
        redirecting = Faulty(lambda _: web.Response(status=307, headers={"Location": other + "/authorize"}))
        async with redirecting as url, asking(url) as authorizer:
            with pytest.raises(Unavailable):
                await authorizer.decide(BearerToken("x"), "a:B", "*")
    assert elsewhere.asked == 0


async def test_time_is_bounded() -> None:
    loop = asyncio.get_running_loop()
    async with (
        Faulty(lambda _: asyncio.sleep(30)) as url,
        asking(url, timeout=timedelta(seconds=0.3), connections=1) as authorizer,
    ):
        begun = loop.time()
        asked = [authorizer.decide(BearerToken("x"), "a:B", "*") for _ in range(5)]
        assert all(isinstance(each, Unavailable) for each in await asyncio.gather(*asked, return_exceptions=True))
        assert loop.time() - begun < 20  # one answer takes 30


async def test_nobody_listens() -> None:
    async with asking(f"http://127.0.0.1:{free_port()}") as authorizer:
        with pytest.raises(NoVerdict):
            await authorizer.decide(BearerToken("x"), "a:B", "*")


def test_an_endpoint_is_a_safe_address() -> None:
    with pytest.raises(ValueError, match="not https"):
        Authorizer("http://sts.acme.test", own())
