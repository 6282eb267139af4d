"""Reading the values of conditions: numbers, instants, addresses, ARNs. All refuse with ValueError and a sentence."""

import base64
import binascii
import ipaddress
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from broker.policy.context import fold

_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,100}(?:\.[0-9]{1,100})?|\.[0-9]{1,100})")
_EPOCH = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,9})?")
_DATE = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(\.[0-9]{1,30})?)?(?:Z|([+-])([0-9]{2}):([0-9]{2})))?"
)
_OCTETS: Final = {str(octet): octet for octet in range(256)}
_MASK = re.compile(r"[0-9]{1,3}")
_EPOCH_START: Final = datetime(1970, 1, 1, tzinfo=UTC)


def read_number(text: str) -> Decimal:
    """An integer or decimal; no exponent. Raises ValueError."""
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(f"{text[:60]!r} is not an integer or decimal number")
    return Decimal(text)


def read_date(text: str) -> Decimal:
    """An ISO 8601 date, date and time with an offset, or seconds since 1970; as seconds. Raises ValueError."""
    if _EPOCH.fullmatch(text):
        return Decimal(text)
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:60]!r} is not a date, such as 2026-07-13, 2026-07-13T10:00:00Z or seconds since 1970")
    year, month, day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = match.groups()
    try:
        instant = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), 0, UTC)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is not a day and time of the calendar") from None
    if int(offset_hours or 0) > 23 or int(offset_minutes or 0) > 59:
        raise ValueError(f"{text[:60]!r} has no valid offset from UTC")
    offset = timedelta(hours=int(offset_hours or 0), minutes=int(offset_minutes or 0))
    whole = (instant - _EPOCH_START) // timedelta(seconds=1)
    whole += offset // timedelta(seconds=1) * (1 if sign == "-" else -1)
    return Decimal(whole) + Decimal(fraction or 0)


def read_bool(text: str) -> bool:
    """`true` or `false` in any case. Raises ValueError."""
    folded = fold(text)
    if folded not in ("true", "false"):
        raise ValueError(f"{text[:60]!r} is neither true nor false")
    return folded == "true"


def read_binary(text: str) -> bytes:
    """Base64 with its padding. Raises ValueError."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{text[:60]!r} is not base64") from None


Address = tuple[int, int]
"""IP version and the address as a number."""


def read_address(text: str) -> Address:
    """One IPv4 or IPv6 address. Raises ValueError."""
    octets = text.split(".")
    if len(octets) == 4:
        try:
            first, second, third, last = map(_OCTETS.__getitem__, octets)
        except KeyError:
            raise ValueError(f"{text[:60]!r} is not an IPv4 address") from None
        return 4, first << 24 | second << 16 | third << 8 | last
    if "%" in text:
        raise ValueError(f"{text[:60]!r} has a zone, which conditions do not compare")
    address = ipaddress.ip_address(text)
    return address.version, int(address)


def read_network(text: str) -> tuple[int, int, int]:
    """An address with or without a prefix length: version, network, mask. Raises ValueError."""
    host, slash, length = text.partition("/")
    try:
        version, number = read_address(host)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is not an IPv4 or IPv6 address or CIDR range") from None
    bits = 32 if version == 4 else 128
    if slash and (_MASK.fullmatch(length) is None or int(length) > bits):
        raise ValueError(f"{text[:60]!r} has no prefix length between 0 and {bits}")
    mask = (1 << bits) - (1 << (bits - int(length))) if slash else (1 << bits) - 1
    return version, number & mask, mask


def read_arn(text: str) -> tuple[str, ...]:
    """The six parts of an ARN. Raises ValueError."""
    parts = text.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn":
        raise ValueError(f"{text[:60]!r} is not an ARN")
    return tuple(parts)
