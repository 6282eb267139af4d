"""Instants as SAML writes them: xs:dateTime in UTC (SAML Core §1.3.3)."""

import re
from datetime import UTC, datetime

_INSTANT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,12}))?Z")


def instant(text: str) -> datetime:
    """Parse. Fractions finer than a microsecond are cut off. Raises `ValueError`."""
    found = _INSTANT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is not an instant in UTC, as in 2026-01-02T03:04:05Z")
    whole = datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    return whole.replace(microsecond=int((found[2] or "0")[:6].ljust(6, "0")))


def text(value: datetime) -> str:
    """Whole seconds."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
