"""The store on Redis or Valkey: one command per verb, so atomicity is the server's own.

Keys: `sojourn:KEY` a record or counter, `sojourn/index:{NAME}` and `sojourn/expiry:{NAME}` the two orders of an
index (by score, by expiry), `sojourn/epoch` and others the store's own. A record is kept
as `KEY NUL VALUE` and its key is compared on every read: a value that came for another key ends the connection.
"""

import asyncio
import hashlib
import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from broker.clock import Now
from broker.stores import server
from broker.stores.barrier import Barrier
from broker.stores.contract import Epoch, IndexEntry, StoreUnavailable
from broker.stores.epoch import Memory, renew
from broker.stores.line import Argument, Line, MissingScript, Opener

_NAME = re.compile(r"[!-~]{1,512}", re.ASCII)
_EPOCH, _PROBE = "sojourn/epoch", "sojourn/probe"

# Seconds that an index outlives the last of its members at most; extending in such steps saves a command per entry.
_INDEX_SLACK = 600
# Expired members dropped per entry added: more than one, so that an index shrinks to its living members.
_TRIMMED = 8


class _Script:
    def __init__(self, source: str) -> None:
        self.source = source
        self.digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


# KEYS: record, then index and expiry order of each entry. ARGV: frame, milliseconds to live or '', now in seconds,
# then member, score, expiry in seconds for each entry. A failed entry takes everything back.
_ADD = _Script(f"""
local written
if ARGV[2] == '' then
  written = redis.call('SET', KEYS[1], ARGV[1], 'NX')
else
  written = redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
end
if not written then return 0 end
for i = 2, #KEYS, 2 do
  local at = 4 + (i - 2) / 2 * 3
  local member, expires = ARGV[at], ARGV[at + 2]
  local filed = redis.pcall('ZADD', KEYS[i], ARGV[at + 1], member)
  local dated = redis.pcall('ZADD', KEYS[i + 1], expires, member)
  if type(filed) == 'table' or type(dated) == 'table' then
    redis.call('DEL', KEYS[1])
    for j = 2, i + 1 do
      redis.pcall('ZREM', KEYS[j], ARGV[4 + math.floor((j - 2) / 2) * 3])
    end
    return redis.error_reply('ERR an index entry could not be written')
  end
  local life = math.max(expires - ARGV[3], 1)
  if redis.call('PTTL', KEYS[i]) < life * 1000 then
    local kept = math.ceil((life + {_INDEX_SLACK}) * 1000)
    redis.call('PEXPIRE', KEYS[i], kept)
    redis.call('PEXPIRE', KEYS[i + 1], kept)
  end
  for _, dead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[i + 1], '-inf', ARGV[3], 'LIMIT', 0, {_TRIMMED})) do
    redis.call('ZREM', KEYS[i], dead)
    redis.call('ZREM', KEYS[i + 1], dead)
  end
end
return 1
""")

# KEYS: record. ARGV: expected frame, frame, milliseconds to live or ''.
_SWAP = _Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] == '' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
""")

# KEYS: counter. ARGV: milliseconds to live. The key comes back with the count, as it does with a record.
_INCREMENT = _Script("""
local count = redis.call('INCR', KEYS[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {KEYS[1], count}
""")


class RedisStore:
    """A `Store`. Connects by itself when first used and whenever the connection is lost."""

    def __init__(self, opener: Opener, *, now: Now, random: Callable[[int], bytes], timeout: float = 1.0) -> None:
        self._line = Line(opener, timeout=timeout)
        self._barrier = Barrier(opener)
        self._now = now
        self._random = random

    async def get(self, key: str) -> bytes | None:
        return self._value(key, await self._line.send("GET", _record(key)))

    async def put(self, key: str, value: bytes, *, ttl: timedelta | None = None) -> None:
        await self._line.send("SET", _record(key), _frame(key, value), *_expiry(ttl))

    async def add(
        self, key: str, value: bytes, *, ttl: timedelta | None = None, indexes: Sequence[IndexEntry] = ()
    ) -> bool:
        if not indexes:
            reply = await self._line.send("SET", _record(key), _frame(key, value), *_expiry(ttl), "NX")
            return reply is not None
        keys = [_record(key)]
        arguments: list[Argument] = [_frame(key, value), *(_expiry(ttl)[1:] or ("",)), self._now().timestamp()]
        for entry in indexes:
            keys += _index(entry.index)
            arguments += (_name(entry.member), entry.score, entry.expires_at.timestamp())
        return bool(await self._run(_ADD, keys, arguments) == 1)

    async def take(self, key: str) -> bytes | None:
        return self._value(key, await self._line.send("GETDEL", _record(key)))

    async def delete(self, key: str) -> bool:
        return bool(await self._line.send("DEL", _record(key)) == 1)

    async def swap(self, key: str, expected: bytes | None, value: bytes, *, ttl: timedelta | None = None) -> bool:
        return await self._replace(
            _record(key), None if expected is None else _frame(key, expected), _frame(key, value), ttl
        )

    async def increment(self, key: str, *, ttl: timedelta) -> int:
        name = _record(key)
        reply = await self._run(_INCREMENT, [name], _expiry(ttl)[1:])
        if not (isinstance(reply, list) and reply[0] == name.encode() and isinstance(reply[1], int)):
            raise self._mistrust("the store gave a count that belongs to another key")
        return reply[1]

    async def members(
        self, index: str, *, after: tuple[float, str] | None = None, limit: int = 100
    ) -> Sequence[tuple[float, str]]:
        order, expiry = _index(index)
        expired: tuple[Argument, ...] = ("ZRANGEBYSCORE", expiry, "-inf", self._now().timestamp(), "LIMIT", 0, 1000)
        while dead := await self._line.send(*expired):
            await self._unfile(index, dead)
        start: Argument = "+inf" if after is None else after[0]
        found: list[tuple[float, str]] = []
        offset = 0
        while len(found) < limit:
            # Members of one score that are not older than `after` come first and are stepped over.
            page = limit - len(found) + (1 if after else 0)
            reply = await self._line.send("ZREVRANGEBYSCORE", order, start, "-inf", "WITHSCORES", "LIMIT", offset, page)
            pairs = [(float(score), member.decode()) for member, score in zip(reply[::2], reply[1::2], strict=True)]
            found += [pair for pair in pairs if after is None or pair < after]
            offset += len(pairs)
            if len(pairs) < page:
                break
        return found[:limit]

    async def unfile(self, index: str, members: Sequence[str]) -> None:
        if members:
            await self._unfile(index, [_name(member) for member in members])

    async def durable(self, *, fsync: bool = True) -> None:
        await self._barrier.passed(fsync=fsync)

    async def epoch(self) -> Epoch:
        for _ in range(3):
            settings, (stored, *sections) = await asyncio.gather(
                self._settings(), self._ask(("GET", _EPOCH), ("INFO", "server"), ("INFO", "replication"))
            )
            info = server.fields(b"".join(sections))
            present = server.identify(info, settings)
            kept = self._value(_EPOCH, stored)
            known = None if kept is None else Memory.decode(kept)
            memory = renew(known, present, now=self._now, random=self._random)
            if memory is known or await self._replace(_EPOCH, stored, _frame(_EPOCH, memory.encode()), None):
                return Epoch(memory.marker, memory.since, replicated=server.replicated(info))
        raise StoreUnavailable("the store's epoch changes faster than it can be read")

    async def found(self) -> None:
        settings, (size, probe, *sections) = await asyncio.gather(
            self._settings(),
            self._ask(("DBSIZE",), ("EXISTS", _PROBE), ("INFO", "server"), ("INFO", "replication")),
        )
        if size > probe:
            return
        present = server.identify(server.fields(b"".join(sections)), settings)
        memory = Memory(self._random(16).hex(), datetime.fromtimestamp(0, UTC), present)
        await self._replace(_EPOCH, None, _frame(_EPOCH, memory.encode()), None)

    async def ping(self) -> None:
        _, info = await self._ask(("SET", _PROBE, self._random(8), "PX", 60_000), ("INFO",))
        server.check(server.fields(info))

    async def close(self) -> None:
        await asyncio.gather(self._line.close(), self._barrier.close())

    async def _run(self, script: _Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        try:
            return await self._line.send("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except MissingScript:
            return await self._line.send("EVAL", script.source, len(keys), *keys, *arguments)

    async def _ask(self, *commands: tuple[Argument, ...]) -> list[Any]:
        """The replies to commands that leave together, in their order."""
        return await asyncio.gather(*(self._line.send(*command) for command in commands))

    async def _replace(self, name: str, expected: bytes | None, frame: bytes, ttl: timedelta | None) -> bool:
        if expected is None:
            return await self._line.send("SET", name, frame, *_expiry(ttl), "NX") is not None
        return bool(await self._run(_SWAP, [name], [expected, frame, *(_expiry(ttl)[1:] or ("",))]) == 1)

    async def _settings(self) -> dict[bytes, bytes]:
        """How the server keeps its append-only file; empty where it may not be asked."""
        try:
            reply = await self._line.send("CONFIG", "GET", "append*")
        except StoreUnavailable:
            return {}
        return dict(zip(reply[::2], reply[1::2], strict=True))

    async def _unfile(self, index: str, members: Sequence[str | bytes]) -> None:
        await self._ask(*(("ZREM", name, *members) for name in _index(index)))

    def _value(self, key: str, reply: Any) -> bytes | None:
        if reply is None:
            return None
        owner, mark, value = reply.partition(b"\0")
        if not mark or owner != key.encode():
            raise self._mistrust("the store gave a value that belongs to another key")
        return bytes(value)

    def _mistrust(self, reason: str) -> StoreUnavailable:
        self._line.drop(reason)
        return StoreUnavailable(reason)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("keys, indexes and members are printable ASCII, without spaces, up to 512 characters")
    return text


def _record(key: str) -> str:
    return f"sojourn:{_name(key)}"


def _index(index: str) -> tuple[str, str]:
    # Braces: both orders of an index share a cluster slot, which its name decides.
    if "{" in _name(index) or "}" in index:
        raise ValueError("the name of an index holds no braces")
    return f"sojourn/index:{{{index}}}", f"sojourn/expiry:{{{index}}}"


def _frame(key: str, value: bytes) -> bytes:
    return b"%b\0%b" % (key.encode(), value)


def _expiry(ttl: timedelta | None) -> tuple[Argument, ...]:
    if ttl is None:
        return ()
    milliseconds = math.ceil(ttl / timedelta(milliseconds=1))
    if milliseconds < 1:
        raise ValueError("a time to live is positive")
    return "PX", milliseconds
