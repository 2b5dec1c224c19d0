"""Keys and values in Redis.

Theory of operation
-------------------
Five keys hold them all: a hash of values; a sorted set of the names, so that a scan reads pages in order; a sorted set
of deadlines; and for entries that count toward shares a hash that says which and how much, beside one of the bytes by
prefix. Nothing has an expiry of Redis' own: a look compares the deadline with the clock that it was given, and each
write sweeps a few that are due.

Specification: none; see `KeyValue`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from dovetail.stores.bounds import KeyValueBounds, check_key, check_prefix, check_ttl, check_value
from dovetail.stores.contracts import KeyValue
from dovetail.stores.errors import StoreFull
from dovetail.stores.namespaces import COST, Reservations, Share, view
from dovetail.stores.ordering import prefix_end

from .connections import Connections
from .scripts import PartKeys, Script

__all__ = ["RedisKeyValue"]

PAGE = 256
"""Keys that a scan reads at once."""

_LIVE = """
local now = tonumber(ARGV[1])
local function live(key)
  local due = redis.call('ZSCORE', KEYS[4], key)
  if due and tonumber(due) <= now then return false end
  return redis.call('HGET', KEYS[2], key)
end
"""

_CHANGES = (
    _LIVE
    + """
local function count(prefix, bytes)
  if redis.call('HINCRBY', KEYS[6], prefix, bytes) <= 0 then redis.call('HDEL', KEYS[6], prefix) end
end
local function counted(key)
  local note = redis.call('HGET', KEYS[5], key)
  if not note then return 0, 0, 0 end
  local space, share, size = string.match(note, '(%d+):(%d+):(%d+)')
  return tonumber(space), tonumber(share), tonumber(size)
end
local function discharge(key)
  local space, share, size = counted(key)
  if space > 0 then count(string.sub(key, 1, space), -size) end
  if share > 0 then count(string.sub(key, 1, share), -size) end
  redis.call('HDEL', KEYS[5], key)
end
local function remove(key)
  redis.call('HDEL', KEYS[2], key)
  redis.call('ZREM', KEYS[3], key)
  redis.call('ZREM', KEYS[4], key)
  discharge(key)
end
local function sweep(most)
  local due = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', ARGV[1], 'LIMIT', 0, most)
  for _, key in ipairs(due) do remove(key) end
  return #due
end
"""
)

_GET = Script(_LIVE + "return live(ARGV[2])")

_TAKE = Script(
    _CHANGES
    + """
local value = live(ARGV[2])
remove(ARGV[2])
if value and ARGV[3] == 'gone' then return 1 end
return value
"""
)

_EXPIRE = Script(
    _CHANGES
    + """
if not live(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[4], ARGV[3], ARGV[2])
return 1
"""
)

# After the time and the key: whether something is expected and what, the new value or nothing, its deadline, and for
# each share the bytes of its prefix and its limit. Gives 1 for done, 0 for something else there, and minus the number
# of the share that has no room.
_PUT = Script(
    _CHANGES
    + f"""
local key, value, due = ARGV[2], ARGV[6], ARGV[7]
if ARGV[3] ~= 'any' then
  local expected = ARGV[3] == 'value' and ARGV[4] or false
  if live(key) ~= expected then return 0 end
  if ARGV[5] == 'none' then
    remove(key)
    return 1
  end
end
sweep(8)
local size = #key + #value + {COST}
local function lacking()
  local space, share, present = counted(key)
  for at = 8, #ARGV, 2 do
    local length = tonumber(ARGV[at])
    local used = tonumber(redis.call('HGET', KEYS[6], string.sub(key, 1, length)) or '0')
    if length == space or length == share then used = used - present end
    if used + size > tonumber(ARGV[at + 1]) then return (at - 6) / 2 end
  end
  return 0
end
local full = lacking()
while full > 0 do
  if sweep(500) == 0 then return -full end
  full = lacking()
end
redis.call('HSET', KEYS[2], key, value)
redis.call('ZADD', KEYS[3], 0, key)
if due == '' then redis.call('ZREM', KEYS[4], key) else redis.call('ZADD', KEYS[4], due, key) end
discharge(key)
if #ARGV > 7 then
  local lengths = {{}}
  for at = 8, #ARGV, 2 do
    lengths[#lengths + 1] = ARGV[at]
    count(string.sub(key, 1, tonumber(ARGV[at])), size)
  end
  redis.call('HSET', KEYS[5], key, lengths[1] .. ':' .. (lengths[2] or '0') .. ':' .. size)
end
return 1
""",
    adds=True,
)

_PAGE = Script(
    _LIVE
    + """
local found = redis.call('ZRANGEBYLEX', KEYS[3], ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])
local page = {#found, found[#found] or ''}
for _, key in ipairs(found) do
  local due = redis.call('ZSCORE', KEYS[4], key)
  if not due or tonumber(due) > now then page[#page + 1] = key end
end
return page
"""
)

_SWEEP = Script(_CHANGES + "return sweep(1000)")


class RedisKeyValue:
    """A `KeyValue` in the server of `connections`."""

    def __init__(
        self, connections: Connections, namespace: str, bounds: KeyValueBounds, clock: Callable[[], float]
    ) -> None:
        self._connections = connections
        self._bounds = bounds
        self._clock = clock
        self._keys = PartKeys(namespace, "kv", "values", "names", "due", "shares", "used")
        self._reservations = Reservations(bounds.max_bytes)
        connections.sweeps.append((_SWEEP, self._keys))

    async def get(self, key: str) -> bytes | None:
        """See `KeyValue.get`."""
        check_key(key)
        return await self._run(_GET, key.encode())

    async def set(self, key: str, value: bytes, *, ttl: float | None = None) -> None:
        """See `KeyValue.set`."""
        await self.put(key, value, ttl, ())

    async def put(self, key: str, value: bytes, ttl: float | None, shares: tuple[Share, ...]) -> None:
        """See `SharingKeyValue.put`."""
        await self._put(key, (b"any", b""), value, ttl, shares)

    async def add(self, key: str, value: bytes, *, ttl: float | None = None) -> bool:
        """See `KeyValue.add`."""
        return await self.compare_and_set(key, None, value, ttl=ttl)

    async def take(self, key: str) -> bytes | None:
        """See `KeyValue.take`."""
        check_key(key)
        return await self._run(_TAKE, key.encode(), b"value")

    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes | None, *, ttl: float | None = None
    ) -> bool:
        """See `KeyValue.compare_and_set`."""
        return await self.swap(key, expected, value, ttl, ())

    async def swap(
        self,
        key: str,
        expected: bytes | None,
        value: bytes | None,
        ttl: float | None,
        shares: tuple[Share, ...],
    ) -> bool:
        """See `SharingKeyValue.swap`."""
        there = (b"none", b"") if expected is None else (b"value", expected)
        return await self._put(key, there, value, ttl, shares)

    async def delete(self, key: str) -> bool:
        """See `KeyValue.delete`."""
        check_key(key)
        return await self._run(_TAKE, key.encode(), b"gone") is not None

    async def expire(self, key: str, ttl: float) -> bool:
        """See `KeyValue.expire`."""
        check_key(key)
        check_ttl(ttl)
        now = self._clock()
        done = await self._connections.run(_EXPIRE, self._keys, now, key.encode(), repr(now + ttl).encode())
        return bool(done)

    async def scan(self, prefix: str = "") -> AsyncIterator[str]:
        """See `KeyValue.scan`."""
        check_prefix(prefix)
        first = b"[" + prefix.encode()
        end = prefix_end(prefix)
        beyond = b"+" if end is None else b"(" + end.encode()
        while True:
            count, last, *page = await self._run(_PAGE, first, beyond, b"%d" % PAGE)
            for key in page:
                yield key.decode()
            if count < PAGE:
                return
            first = b"(" + last

    def within(self, prefix: str, *, share: float | None = None) -> KeyValue:
        """See `KeyValue.within`."""
        return view(self, "", (), prefix, share)

    def reserve(self, prefix: str, share: float) -> Share:
        """See `SharingKeyValue.reserve`."""
        return self._reservations.reserve(prefix, share)

    async def _run(self, script: Script, *args: bytes) -> Any:
        return await self._connections.run(script, self._keys, self._clock(), *args)

    async def _put(
        self,
        key: str,
        there: tuple[bytes, bytes],
        value: bytes | None,
        ttl: float | None,
        shares: tuple[Share, ...],
    ) -> bool:
        """Put it there, or take it away; False when something else was there. Raises `StoreFull`."""
        check_key(key)
        check_ttl(ttl)
        if value is not None:
            check_value(value, self._bounds.max_value)
        now = self._clock()
        done: int = await self._connections.run(
            _PUT,
            self._keys,
            now,
            key.encode(),
            *there,
            b"none" if value is None else b"value",
            value or b"",
            b"" if ttl is None else repr(now + ttl).encode(),
            *(b"%d" % each for share in shares for each in (len(share.prefix.encode()), share.limit)),
        )
        if done < 0:
            raise StoreFull("bytes of values", shares[-done - 1].limit)
        return bool(done)
