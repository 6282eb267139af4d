"""For every test."""

import gc
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("sojourn", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sojourn")  # a busy machine is no fault


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Without the garbage collector: what it runs in the middle of parsing confuses Python 3.11 (CPython gh-106905)."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
