"""For every test."""

import gc
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Without the garbage collector: what it runs in the middle of parsing confuses Python 3.11 (CPython gh-106905)."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
