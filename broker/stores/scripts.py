"""What a server runs in one step, as Lua: each script touches only the keys that it is given.

A server that does not know a script by its digest yet is sent the source.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from broker.stores import records
from broker.stores.contract import IndexEntry
from broker.stores.line import Argument, MissingScript

Send = Callable[..., Awaitable[Any]]
"""Sends one command and gives its reply, as `Line.send` does."""

# Seconds that an index outlives the last of its members at most; extending in such steps saves a command per entry.
_INDEX_SLACK = 600
# Expired members dropped per entry added: more than one, so that an index shrinks to its living members.
_TRIMMED = 8


class Script:
    """A Lua script, and the digest that a server knows it by."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


# KEYS begins with the index and the expiry order of each entry. ARGV begins with now in seconds, then member, score and
# expiry in seconds of each. A failed entry takes the earlier ones back.
_FILING = f"""
local function file(entries)
  for i = 1, entries do
    local order, dates = KEYS[2 * i - 1], KEYS[2 * i]
    local member, score, expires = ARGV[3 * i - 1], ARGV[3 * i], ARGV[3 * i + 1]
    local filed = redis.pcall('ZADD', order, score, member)
    local dated = redis.pcall('ZADD', dates, expires, member)
    if type(filed) == 'table' or type(dated) == 'table' then
      for j = 1, 2 * i do
        redis.pcall('ZREM', KEYS[j], ARGV[3 * math.ceil(j / 2) - 1])
      end
      return false
    end
    local life = math.max(expires - ARGV[1], 1)
    if redis.call('PTTL', order) < life * 1000 then
      local kept = math.ceil((life + {_INDEX_SLACK}) * 1000)
      redis.call('PEXPIRE', order, kept)
      redis.call('PEXPIRE', dates, kept)
    end
    for _, dead in ipairs(redis.call('ZRANGEBYSCORE', dates, '-inf', ARGV[1], 'LIMIT', 0, {_TRIMMED})) do
      redis.call('ZREM', order, dead)
      redis.call('ZREM', dates, dead)
    end
  end
  return true
end
"""

FILE = Script(f"""{_FILING}
if file(#KEYS / 2) then return 1 end
return redis.error_reply('ERR an index entry could not be written')
""")
"""KEYS and ARGV: `filing`."""

ADD = Script(f"""{_FILING}
local record, frame, life = KEYS[#KEYS], ARGV[#ARGV - 1], ARGV[#ARGV]
local written
if life == '' then
  written = redis.call('SET', record, frame, 'NX')
else
  written = redis.call('SET', record, frame, 'NX', 'PX', life)
end
if not written then return 0 end
if file((#KEYS - 1) / 2) then return 1 end
redis.call('DEL', record)
return redis.error_reply('ERR an index entry could not be written')
""")
"""KEYS: `filing`, record. ARGV: `filing`, frame, milliseconds to live or ''."""

SWAP = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] == '' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
""")
"""KEYS: record. ARGV: expected frame, frame, milliseconds to live or ''."""

WITHDRAW = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
""")
"""KEYS: record. ARGV: expected frame."""

INCREMENT = Script("""
local count = redis.call('INCR', KEYS[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {KEYS[1], count}
""")
"""KEYS: counter. ARGV: milliseconds to live. The key comes back with the count, as it does with a record."""


async def run(send: Send, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
    """The script's reply."""
    try:
        return await send("EVALSHA", script.digest, len(keys), *keys, *arguments)
    except MissingScript:
        return await send("EVAL", script.source, len(keys), *keys, *arguments)


async def replace(send: Send, key: str, expected: bytes | None, frame: bytes, life: Sequence[Argument] = ()) -> bool:
    """Write `frame` only where `expected` is (None: nothing); whether it was. `life`: `records.expiry`."""
    if expected is None:
        return await send("SET", key, frame, *life, "NX") is not None
    return bool(await run(send, SWAP, [key], [expected, frame, *(life[1:] or ("",))]) == 1)


def filing(entries: Sequence[IndexEntry], now: datetime) -> tuple[list[str], list[Argument]]:
    """Keys and arguments that file `entries`. Raises `ValueError`."""
    keys: list[str] = []
    arguments: list[Argument] = [now.timestamp()]
    for entry in entries:
        keys += records.orders(entry.index)
        arguments += (records.name(entry.member), entry.score, entry.expires_at.timestamp())
    return keys, arguments
