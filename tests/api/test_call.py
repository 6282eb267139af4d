"""What a request may fail with, and what becomes of it."""

import asyncio
import logging
from typing import Any, cast

import pytest

from broker.api.call import Call
from broker.api.events import Event
from broker.errors import AccessDenied
from broker.flows.caller import Wire
from broker.sessions.keyring import KeysUnavailable
from broker.stores.contract import StoreUnavailable

WIRE = Wire(source_ip="203.0.113.1", secure=True, user_agent="", request_id="1")


def fail(failure: Exception) -> None:
    raise failure


def call() -> Call:
    nothing = cast("Any", None)  # the way of a failure needs neither services nor a configuration
    return Call(nothing, nothing, WIRE, Event(source="sts.amazonaws.com", name="AssumeRole"))


@pytest.mark.parametrize(
    ("failure", "code", "status", "logged"),
    [
        (AccessDenied("no"), "AccessDenied", 403, None),
        (StoreUnavailable("away"), "ServiceUnavailable", 503, logging.WARNING),
        (KeysUnavailable("away"), "ServiceUnavailable", 503, logging.WARNING),
        (TimeoutError(), "ValidationError", 400, None),
        (RuntimeError("a bug"), "InternalFailure", 500, logging.ERROR),
        (RecursionError(), "InternalFailure", 500, logging.ERROR),
    ],
)
def test_each_failure_is_a_refusal(
    caplog: pytest.LogCaptureFixture, failure: Exception, code: str, status: int, logged: int | None
) -> None:
    one = call()
    with one.caught():
        fail(failure)
    assert one.error is not None
    assert (one.error.code, one.error.status) == (code, status)
    assert "a bug" not in one.error.message
    assert [record.levelno for record in caplog.records] == ([logged] if logged is not None else [])
    assert all("AssumeRole" in record.getMessage() for record in caplog.records)


def test_nothing_is_caught_where_nothing_fails() -> None:
    one = call()
    with one.caught():
        pass
    assert one.error is None


def test_cancellation_goes_on() -> None:
    one = call()
    with pytest.raises(asyncio.CancelledError), one.caught():
        raise asyncio.CancelledError
    assert one.error is None
