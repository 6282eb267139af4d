"""The process that reads: what it costs, that the loop does not feel it, and what happens when it breaks."""

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from providers.errors import ProofRejected, ProviderUnavailable
from providers.saml.metadata import MetadataFault, parse_metadata
from providers.saml.response import Expectation, verify_response
from providers.saml.signature import VerificationKey
from providers.saml.workers import Workers
from tests.fakes.child import pause
from tests.fakes.clock import Clock
from tests.fakes.idp import ACS, ENTITY_ID, FakeIdp, encode

PATIENCE = timedelta(minutes=1)
PERSON = {f"urn:oid:1.3.6.1.4.1.5923.1.1.1.{number}": [f"value {number}"] for number in range(1, 11)}


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    workers = Workers(timeout=PATIENCE)
    yield workers
    await workers.close()


@pytest.fixture
def expected(idp: FakeIdp, clock: Clock) -> Expectation:
    return Expectation(
        issuer=idp.entity_id,
        keys=parse_metadata(idp.metadata().encode()).keys,
        audiences=frozenset({ENTITY_ID}),
        recipients=frozenset({ACS}),
        in_response_to=None,
        skew=timedelta(seconds=30),
        now=clock(),
    )


@pytest.mark.parametrize(
    ("signed", "limit"), [(("assertion",), 0.020), (("response",), 0.020), (("assertion", "response"), 0.030)]
)
def test_what_a_response_costs(idp: FakeIdp, expected: Expectation, signed: Sequence[str], limit: float) -> None:
    raw = idp.response(signed=signed, more=PERSON)
    costs = []
    for _ in range(20):
        started = time.thread_time()
        verify_response(raw, expected)
        costs.append(time.thread_time() - started)
    assert min(costs) < limit


async def test_verdicts_cross_the_border(idp: FakeIdp, expected: Expectation, workers: Workers) -> None:
    raw = idp.response(more=PERSON)
    assert await workers.verify_response(raw, expected) == verify_response(raw, expected)
    with pytest.raises(ProofRejected) as refusal:
        await workers.verify_response("!", expected)
    assert (refusal.value.sentence, refusal.value.reason) == ("Invalid base64 SAMLResponse", "base64")
    document = idp.metadata().encode()
    assert await workers.parse_metadata(document) == parse_metadata(document)
    with pytest.raises(MetadataFault, match="not signed"):
        await workers.parse_metadata(document, [b"x"])


async def test_the_loop_does_not_feel_hostile_documents(expected: Expectation, workers: Workers) -> None:
    """Here they cost a small part of what reading them takes, all threads together."""
    raw = encode(b"<a>" + b"<b/>" * 9_000 + b"</a>")
    reading, asking = [], []
    for _ in range(20):
        started = time.process_time()
        with pytest.raises(ProofRejected):
            verify_response(raw, expected)
        reading.append(time.process_time() - started)
        started = time.process_time()
        with pytest.raises(ProofRejected):
            await workers.verify_response(raw, expected)
        asking.append(time.process_time() - started)
    assert min(asking) < min(reading) / 4


async def test_what_nobody_thought_of_is_a_refusal(expected: Expectation, workers: Workers) -> None:
    odd = dataclasses.replace(expected, decryption_keys=(b"no key",), keys=(VerificationKey("RSA", b"no key"),))
    idp = FakeIdp(lambda: expected.now)
    with pytest.raises(ProofRejected) as refusal:
        await workers.verify_response(idp.response(), odd)
    assert refusal.value.reason in ("unreadable", "signature")


async def test_a_process_that_broke_is_replaced(idp: FakeIdp, expected: Expectation, workers: Workers) -> None:
    raw = idp.response()
    await workers.verify_response(raw, expected)
    process = workers._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(ProviderUnavailable) as refusal:
        await workers.verify_response(raw, expected)
    assert refusal.value.reason == "worker"
    assert (await workers.verify_response(raw, expected)).subject == "alice"


async def test_a_process_that_does_not_answer_is_replaced(idp: FakeIdp, expected: Expectation) -> None:
    workers = Workers(timeout=PATIENCE)
    try:
        await workers.verify_response(idp.response(), expected)
        process = workers._process
        assert process is not None
        pause(process.pid)
        workers._timeout = 0.2
        with pytest.raises(ProviderUnavailable) as refusal:
            await workers.verify_response(idp.response(), expected)
        assert refusal.value.reason == "worker"
        assert process.returncode is not None
        workers._timeout = PATIENCE.total_seconds()
        assert (await workers.verify_response(idp.response(), expected)).subject == "alice"
    finally:
        await workers.close()


async def test_a_caller_who_leaves_disturbs_nobody(idp: FakeIdp, expected: Expectation, workers: Workers) -> None:
    await workers.verify_response(idp.response(), expected)
    process = workers._process
    leaving = asyncio.create_task(workers.verify_response(idp.response(), expected))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await workers.verify_response(idp.response(name_id="bob"), expected)).subject == "bob"
    assert workers._process is process


async def test_more_than_fits_is_refused(idp: FakeIdp, expected: Expectation) -> None:
    workers = Workers(waiting=2, timeout=PATIENCE)
    try:
        raw = idp.response()
        answers = await asyncio.gather(
            *(workers.verify_response(raw, expected) for _ in range(3)), return_exceptions=True
        )
        assert [getattr(answer, "reason", "") for answer in answers] == ["", "", "busy"]
        await workers.verify_response(raw, expected)
    finally:
        await workers.close()


async def test_nothing_starts_after_the_end(idp: FakeIdp, expected: Expectation, workers: Workers) -> None:
    await workers.close()
    with pytest.raises(ProviderUnavailable):
        await workers.verify_response(idp.response(), expected)


async def test_the_process_knows_no_secrets_of_the_environment(
    idp: FakeIdp, expected: Expectation, workers: Workers
) -> None:
    await workers.verify_response(idp.response(), expected)
    assert workers._process is not None
    environment = Path(f"/proc/{workers._process.pid}/environ").read_bytes()
    assert b"PATH=" not in environment.replace(b"PYTHONPATH=", b"")


SIGN_IN = """
import shutil, sys
from datetime import UTC, datetime, timedelta
from providers.saml.metadata import parse_metadata
from providers.saml.response import Expectation, verify_response
from providers.errors import ProofRejected
from tests.fakes.idp import ACS, ENTITY_ID, FakeIdp, key_pair

now = datetime.now(UTC)
idp = FakeIdp(lambda: now)
expected = Expectation(
    issuer=idp.entity_id, keys=parse_metadata(idp.metadata().encode()).keys, audiences=frozenset({ENTITY_ID}),
    recipients=frozenset({ACS}), in_response_to=None, skew=timedelta(), now=now,
)
print(shutil.which("xmlsec1"), verify_response(idp.response(), expected).subject)
try:
    verify_response(idp.response(key=key_pair("mallory")), expected)
except ProofRejected as refusal:
    print(refusal.reason)
print("saml2.sigver" in sys.modules, "aiohttp" in sys.modules)
"""


@pytest.mark.parametrize("flags", [[], ["-OO"]], ids=["plain", "optimised"])
def test_no_program_is_needed_and_no_assert_decides(flags: Sequence[str]) -> None:
    run = subprocess.run(
        [sys.executable, *flags, "-c", SIGN_IN],
        env={"PATH": "/nonexistent"},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert run.stdout.split() == ["None", "alice", "signature", "False", "False"]
