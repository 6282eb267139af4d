"""Identifiers as AWS forms them (IAM User Guide, "IAM identifiers").

An access key id carries its account: the sixteen base32 characters behind the prefix are ten bytes, and the
account number stands in bits 7..46 of the first six. The other 39 bits are random, so a new id is claimed
first-come-first-served in the store before it is used.
"""

import base64
import hashlib
import re
from collections.abc import Callable

Random = Callable[[int], bytes]
"""Gives that many unpredictable bytes (`secrets.token_bytes`)."""

LONG_TERM = "AKIA"
TEMPORARY = "ASIA"

_ACCESS_KEY_ID = re.compile(r"[A-Z0-9]{4}[A-Z2-7]{16}")
_ACCOUNT_MASK = 0x7FFFFFFFFF80
_VARIANT = "89ab"
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_PAIRS = [first + second for first in _BASE32 for second in _BASE32]
"""Two characters of base32 (RFC 4648 §6) for each ten bits."""


def access_key_id(prefix: str, account: str, random: Random) -> str:
    """A new access key id of `account`; `prefix` is `AKIA` or `ASIA`."""
    noise = int.from_bytes(random(10))
    number = (1 << 79) | (int(account) << 39) | (noise & ((1 << 39) - 1))
    return prefix + "".join([_PAIRS[number >> shift & 1023] for shift in range(70, -10, -10)])


def account_of(key_id: str) -> str | None:
    """The account that an access key id carries, or None where it has not AWS's form or no such number."""
    if _ACCESS_KEY_ID.fullmatch(key_id) is None:
        return None
    number = (int.from_bytes(base64.b32decode(key_id[4:])[:6]) & _ACCOUNT_MASK) >> 7
    return f"{number:012d}" if number < 10**12 else None


def secret_access_key(random: Random) -> str:
    """Forty characters of the base64 alphabet."""
    return base64.b64encode(random(30)).decode("ascii")


def unique_id(prefix: str, arn: str) -> str:
    """`AROA` and 17 characters derived from `arn`: the same entity has the same id at every start."""
    digest = hashlib.sha256(f"sojourn unique id\0{arn}".encode()).digest()
    return prefix + base64.b32encode(digest).decode("ascii")[:17]


def request_id(random: Random) -> str:
    """A version 4 UUID (RFC 9562 §5.4)."""
    text = random(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[int(text[16], 16) & 3]}{text[17:20]}-{text[20:]}"
