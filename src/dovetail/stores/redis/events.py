"""The event log in Redis.

Theory of operation
-------------------
The events of a stream are a list of their own: since sequences rise by one, the first and the last that are kept say
which event stands where. What is known of each stream is one entry of a hash; a sorted set has the names in order, for
`drop_prefix`, and another says when each has to be looked at. Expiry has two steps (see `EventLog`): a look compares
the entry with the clock that it was given and removes what has expired, and each append does so for a few that are due.

Specification: "Resumability and Redelivery" in basic/transports of 2025-03-26 to 2025-11-25.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dovetail.logs import get_logger
from dovetail.stores.bounds import EventBounds, check_key, check_position, check_value
from dovetail.stores.contracts import Event
from dovetail.stores.errors import EventsTrimmed, StreamEnded, StreamUnknown
from dovetail.stores.ordering import prefix_end

from .connections import Connections
from .scripts import PartKeys, Script

__all__ = ["RedisEvents"]

_FARTHEST = 2**52
"""Where no stream comes: every position beyond is as good as this."""
_log = get_logger("dovetail.stores")

# Of a stream: first, last, bytes, closed, and the ends of its events and of its position.
_STREAMS = """
local now = tonumber(ARGV[1])
local function list(name) return KEYS[5] .. ':' .. name end
local function note(name, s)
  redis.call('HSET', KEYS[2], name, struct.pack('>dddddd', s.first, s.last, s.bytes, s.closed, s.events, s.position))
  local due = s.events
  if s.closed == 0 and s.first > s.last then due = s.position end
  redis.call('ZADD', KEYS[4], due, name)
end
local function drop(name)
  redis.call('DEL', list(name))
  redis.call('HDEL', KEYS[2], name)
  redis.call('ZREM', KEYS[3], name)
  redis.call('ZREM', KEYS[4], name)
end
local function settled(name)
  local packed = redis.call('HGET', KEYS[2], name)
  if not packed then return nil end
  local s = {}
  s.first, s.last, s.bytes, s.closed, s.events, s.position = struct.unpack('>dddddd', packed)
  if now < s.events then return s end
  if s.closed == 1 or now >= s.position then
    drop(name)
    return nil
  end
  if s.first <= s.last then
    redis.call('DEL', list(name))
    s.first, s.bytes = s.last + 1, 0
    note(name, s)
  end
  return s
end
local function sweep(most)
  local due = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', ARGV[1], 'LIMIT', 0, most)
  for _, name in ipairs(due) do
    if not settled(name) then redis.call('ZREM', KEYS[4], name) end
  end
  return #due
end
"""

# After the time and the name: how many events and bytes are kept, both times to live, whether it is the whole of a
# stream, and the events. Gives the last sequence, 0 where the stream takes none.
_APPEND = Script(
    _STREAMS
    + """
local name, most, most_bytes, whole = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[7] == 'whole'
sweep(8)
local s = settled(name)
if s and (whole or s.closed == 1) then return 0 end
s = s or {first = 1, last = 0, bytes = 0, closed = 0, events = 0, position = 0}
for at = 8, #ARGV do
  redis.call('RPUSH', list(name), ARGV[at])
  s.last, s.bytes = s.last + 1, s.bytes + #ARGV[at]
end
while s.last - s.first + 1 > most or s.bytes > most_bytes do
  local oldest = redis.call('LPOP', list(name))
  s.first, s.bytes = s.first + 1, s.bytes - #(oldest or '')
  if s.first > s.last then s.bytes = 0 end
end
s.events, s.position = math.max(s.events, now + tonumber(ARGV[5])), math.max(s.position, now + tonumber(ARGV[6]))
if whole then s.closed = 1 end
redis.call('ZADD', KEYS[3], 0, name)
note(name, s)
return s.last
""",
    adds=True,
)

# After the time and the name: the position after which to read, and how many at most.
_READ = Script(
    _STREAMS
    + """
local s = settled(ARGV[2])
if not s then return false end
local after, limit, found = tonumber(ARGV[3]), tonumber(ARGV[4]), {}
if limit > 0 and after >= s.first - 1 and after < s.last then
  local from = after + 1 - s.first
  found = redis.call('LRANGE', list(ARGV[2]), from, from + limit - 1)
end
return {s.first, s.last, s.closed, found}
"""
)

_CLOSE = Script(
    _STREAMS
    + """
local s = settled(ARGV[2])
if not s then return 0 end
s.closed = 1
if s.first > s.last then drop(ARGV[2]) else note(ARGV[2], s) end
return 1
"""
)

_DROP = Script(
    _STREAMS
    + """
local names = {ARGV[2]}
if ARGV[3] then names = redis.call('ZRANGEBYLEX', KEYS[3], ARGV[2], ARGV[3]) end
local dropped = 0
for _, name in ipairs(names) do
  if settled(name) then
    drop(name)
    dropped = dropped + 1
  end
end
return dropped
"""
)

_SWEEP = Script(_STREAMS + "return sweep(1000)")


class RedisEvents:
    """An `EventLog` in the server of `connections`."""

    def __init__(
        self, connections: Connections, namespace: str, bounds: EventBounds, clock: Callable[[], float]
    ) -> None:
        self._connections = connections
        self._bounds = bounds
        self._clock = clock
        self._keys = PartKeys(namespace, "events", "streams", "names", "due", "list")
        self._limits = (
            b"%d" % bounds.max_events,
            b"%d" % bounds.max_bytes,
            repr(float(bounds.ttl)).encode(),
            repr(float(max(bounds.ttl, bounds.position_ttl))).encode(),
        )
        connections.sweeps.append((_SWEEP, self._keys))

    async def append(self, stream: str, data: bytes) -> int:
        """See `EventLog.append`."""
        check_value(data, self._bounds.max_bytes, "event")
        last: int = await self._run(_APPEND, stream, *self._limits, b"more", data)
        if not last:
            raise StreamEnded
        return last

    async def keep(self, stream: str, events: Sequence[bytes]) -> None:
        """See `EventLog.keep`."""
        check_key(stream, "stream name")
        for data in events:
            check_value(data, self._bounds.max_bytes, "event")
        if not events:
            raise ValueError("A stream that is kept whole has at least one event.")
        if not await self._run(_APPEND, stream, *self._limits, b"whole", *events):
            raise StreamEnded

    async def read(self, stream: str, after: int, limit: int = 256) -> list[Event]:
        """See `EventLog.read`."""
        asked = max(-1, min(after, _FARTHEST))
        first, last, _, found = await self._known(stream, asked, min(limit, self._bounds.max_events))
        check_position(after, limit, first, last)
        if len(found) < min(limit, self._bounds.max_events, last - after):
            _log.warning("events of a stream are gone from Redis: whoever wants them is told so")
            raise EventsTrimmed(after, last + 1, last)
        return [Event(sequence, data) for sequence, data in enumerate(found, after + 1)]

    async def last(self, stream: str) -> int:
        """See `EventLog.last`."""
        return (await self._known(stream))[1]

    async def close(self, stream: str) -> None:
        """See `EventLog.close`."""
        if not await self._run(_CLOSE, stream):
            raise StreamUnknown

    async def is_closed(self, stream: str) -> bool:
        """See `EventLog.is_closed`."""
        return bool((await self._known(stream))[2])

    async def drop(self, stream: str) -> bool:
        """See `EventLog.drop`."""
        return bool(await self._run(_DROP, stream))

    async def drop_prefix(self, prefix: str) -> int:
        """See `EventLog.drop_prefix`."""
        check_key(prefix, "prefix")
        end = prefix_end(prefix)
        beyond = b"+" if end is None else b"(" + end.encode()
        now = self._clock()
        return await self._connections.run(_DROP, self._keys, now, b"[" + prefix.encode(), beyond)

    async def _known(self, stream: str, after: int = 0, limit: int = 0) -> tuple[int, int, int, list[bytes]]:
        """First and last sequence, whether it is closed, and what was asked for. Raises `StreamUnknown`."""
        found = await self._run(_READ, stream, b"%d" % after, b"%d" % limit)
        if found is None:
            raise StreamUnknown
        first, last, closed, events = found
        return first, last, closed, events

    async def _run(self, script: Script, stream: str, *args: bytes) -> Any:
        check_key(stream, "stream name")
        return await self._connections.run(script, self._keys, self._clock(), stream.encode(), *args)
