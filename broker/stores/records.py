"""How records, counters and indexes lie in a Redis or Valkey server: names, frames, times to live.

Keys: `sojourn:KEY` a record or counter, `sojourn/index:{NAME}` and `sojourn/expiry:{NAME}` the two orders of an
index (by score, by expiry), `sojourn/epoch` and others the store's own. A record is kept as `KEY NUL VALUE`: its key
is compared on every read.
"""

import math
import re
from datetime import timedelta

from broker.stores.contract import StoreUnavailable
from broker.stores.line import Argument

_NAME = re.compile(r"[!-~]{1,512}", re.ASCII)


def name(text: str) -> str:
    """`text`, if it is one that the contract allows. Raises `ValueError`."""
    if not _NAME.fullmatch(text):
        raise ValueError("keys, indexes and members are printable ASCII, without spaces, up to 512 characters")
    return text


def record(key: str) -> str:
    """Where the record or counter lies. Raises `ValueError`."""
    return f"sojourn:{name(key)}"


def orders(index: str) -> tuple[str, str]:
    """Where an index lies, by score and by expiry. Raises `ValueError`."""
    # Braces: both orders of an index share a cluster slot, which its name decides.
    if "{" in name(index) or "}" in index:
        raise ValueError("the name of an index holds no braces")
    return f"sojourn/index:{{{index}}}", f"sojourn/expiry:{{{index}}}"


def frame(key: str, value: bytes) -> bytes:
    """What is kept for `value`."""
    return b"%b\0%b" % (key.encode(), value)


def value(key: str, kept: bytes) -> bytes:
    """What `frame` was made of. Raises `StoreUnavailable`: it was made for another key."""
    owner, mark, content = kept.partition(b"\0")
    if not mark or owner != key.encode():
        raise StoreUnavailable("the store gave a value that belongs to another key")
    return bytes(content)


def expiry(ttl: timedelta | None) -> tuple[Argument, ...]:
    """The options of SET for a time to live. Raises `ValueError` where that is over already."""
    if ttl is None:
        return ()
    milliseconds = math.ceil(ttl / timedelta(milliseconds=1))
    if milliseconds < 1:
        raise ValueError("a time to live is positive")
    return "PX", milliseconds
