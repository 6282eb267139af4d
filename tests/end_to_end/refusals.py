"""Expecting a refusal."""

from typing import Any

import pytest
from botocore.exceptions import ClientError


def refused(code: str, text: str = "") -> Any:
    """Expect AWS's code, and `text` (a pattern) in the message."""
    return pytest.raises(ClientError, match=rf"(?s)\({code}\).*{text}")
