"""Sessions of the stateful era in Redis.

Theory of operation
-------------------
A hash of data, one of what else a record has, a sorted set of when each ends, and a hash of how many each principal
has. Sessions of anonymous principals stand in two more sorted sets, of all of them and of one principal, in the orders
in which they may go: those that were never saved by their creation, and all by when they were seen. Each creation and
each count first sweeps whatever has ended, so what is left can be counted; a session is swept once.

Specification: "Session Management" in basic/transports of 2025-03-26 to 2025-11-25.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from dovetail.logs import get_logger
from dovetail.stores.bounds import ANONYMOUS, SessionBounds, check_key, check_prefix, check_value
from dovetail.stores.contracts import SessionRecord
from dovetail.stores.errors import SessionExists, StoreFull

from .connections import Connections
from .scripts import PartKeys, Script

__all__ = ["RedisSessions"]

_log = get_logger("dovetail.stores")
_HEAD = struct.Struct(">ddd")  # version, created, seen; the principal follows

_LIVE = """
local now = tonumber(ARGV[1])
local function live(id)
  local ends = redis.call('ZSCORE', KEYS[4], id)
  return ends and tonumber(ends) > now
end
"""

_CHANGES = (
    _LIVE
    + f"""
local function known(id)
  local head = redis.call('HGET', KEYS[3], id)
  if not head then return 0, 0, 0, false end
  local version, created, seen = struct.unpack('>ddd', head)
  return version, created, seen, string.sub(head, {_HEAD.size + 1})
end
local function anonymous(principal)
  return principal == '' or string.sub(principal, 1, {len(ANONYMOUS)}) == '{ANONYMOUS}'
end
local function forget(id)
  local _, _, _, principal = known(id)
  redis.call('HDEL', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id)
  redis.call('ZREM', KEYS[4], id)
  if not principal then return end
  if redis.call('HINCRBY', KEYS[5], principal, -1) <= 0 then redis.call('HDEL', KEYS[5], principal) end
  if anonymous(principal) then
    for at = 6, 7 do
      redis.call('ZREM', KEYS[at], id)
      redis.call('ZREM', KEYS[at] .. ':' .. principal, id)
    end
  end
end
local function sweep(most)
  local ended = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', ARGV[1], 'LIMIT', 0, most)
  for _, id in ipairs(ended) do forget(id) end
  return #ended
end
local function sweep_all()
  while sweep(500) > 0 do end
end
local function keep(id, version, created, seen, principal)
  redis.call('HSET', KEYS[3], id, struct.pack('>ddd', version, created, seen) .. principal)
  redis.call('ZADD', KEYS[4], math.min(seen + tonumber(ARGV[3]), created + tonumber(ARGV[4])), id)
  if anonymous(principal) then
    redis.call('ZADD', KEYS[7], seen, id)
    redis.call('ZADD', KEYS[7] .. ':' .. principal, seen, id)
  end
end
"""
)

# After the time and the id: both times to live, version, created, seen, principal, data, and both bounds.
_CREATE = Script(
    _CHANGES
    + """
local id, principal = ARGV[2], ARGV[8]
sweep_all()
if live(id) then return {1} end
local gone = {0}
local function let_go(after)
  local unused, seen = KEYS[6] .. after, KEYS[7] .. after
  local from = seen
  if 2 * redis.call('ZCARD', unused) > redis.call('ZCARD', seen) then from = unused end
  local idlest = redis.call('ZRANGE', from, 0, 0)[1]
  if not idlest then return false end
  forget(idlest)
  gone[#gone + 1] = idlest
  return true
end
while tonumber(redis.call('HGET', KEYS[5], principal) or '0') >= tonumber(ARGV[10]) do
  if not (anonymous(principal) and let_go(':' .. principal)) then return {2} end
end
while redis.call('HLEN', KEYS[3]) >= tonumber(ARGV[11]) do
  if not let_go('') then return {3} end
end
local created, seen = math.min(tonumber(ARGV[6]), now), math.min(tonumber(ARGV[7]), now)
redis.call('HSET', KEYS[2], id, ARGV[9])
redis.call('HINCRBY', KEYS[5], principal, 1)
keep(id, tonumber(ARGV[5]), created, seen, principal)
if anonymous(principal) then
  redis.call('ZADD', KEYS[6], created, id)
  redis.call('ZADD', KEYS[6] .. ':' .. principal, created, id)
end
return gone
""",
    adds=True,
)

_LOAD = Script(
    _LIVE
    + """
if not live(ARGV[2]) then return false end
return {redis.call('HGET', KEYS[3], ARGV[2]), redis.call('HGET', KEYS[2], ARGV[2])}
"""
)

# After the time and the id: both times to live, and for a save what version is expected, the new one, and the data.
_TOUCH = Script(
    _CHANGES
    + """
local id = ARGV[2]
if not live(id) then return 0 end
local version, created, seen, principal = known(id)
if #ARGV > 4 then
  if version ~= tonumber(ARGV[5]) then return 0 end
  version = tonumber(ARGV[6])
  redis.call('HSET', KEYS[2], id, ARGV[7])
  if anonymous(principal) then
    redis.call('ZREM', KEYS[6], id)
    redis.call('ZREM', KEYS[6] .. ':' .. principal, id)
  end
end
keep(id, version, created, math.max(seen, now), principal)
return 1
"""
)

_DELETE = Script(
    _CHANGES
    + """
if not live(ARGV[2]) then return 0 end
forget(ARGV[2])
return 1
"""
)

_COUNT = Script(
    _CHANGES
    + """
sweep_all()
if ARGV[2] == 'all' then return redis.call('HLEN', KEYS[3]) end
return tonumber(redis.call('HGET', KEYS[5], ARGV[3]) or '0')
"""
)

_SWEEP = Script(_CHANGES + "return sweep(1000)")


class RedisSessions:
    """A `SessionStore` in the server of `connections`."""

    def __init__(
        self, connections: Connections, namespace: str, bounds: SessionBounds, clock: Callable[[], float]
    ) -> None:
        self._connections = connections
        self._bounds = bounds
        self._clock = clock
        self._keys = PartKeys(namespace, "sessions", "data", "records", "ends", "counts", "unused", "seen")
        self._lives = (_text(bounds.idle_ttl), _text(bounds.absolute_ttl))
        connections.sweeps.append((_SWEEP, self._keys))

    async def create(self, record: SessionRecord) -> list[str]:
        """See `SessionStore.create`."""
        bounds = self._bounds
        check_key(record.id, "session id")
        check_prefix(record.principal, "principal key")
        check_value(record.data, bounds.max_data, "session data")
        outcome, *gone = await self._run(
            _CREATE,
            record.id,
            *self._lives,
            b"%d" % record.version,
            _text(record.created),
            _text(record.seen),
            record.principal.encode(),
            record.data,
            b"%d" % bounds.max_per_principal,
            b"%d" % bounds.max_sessions,
        )
        match outcome:
            case 0:
                return [id.decode() for id in gone]
            case 1:
                raise SessionExists
            case 2:
                raise StoreFull("sessions of one principal", bounds.max_per_principal)
            case _:
                raise StoreFull("sessions", bounds.max_sessions)

    async def load(self, id: str) -> SessionRecord | None:
        """See `SessionStore.load`."""
        found = await self._run(_LOAD, id)
        if found is None:
            return None
        head, data = found
        if head is None or data is None:
            _log.warning("a session is lost: only a part of it is in Redis")
            return None
        version, created, seen = _HEAD.unpack_from(head)
        principal = head[_HEAD.size :].decode()
        return SessionRecord(
            id=id, version=int(version), created=created, seen=seen, principal=principal, data=data
        )

    async def save(self, record: SessionRecord, *, expected_version: int) -> bool:
        """See `SessionStore.save`."""
        check_key(record.id, "session id")
        check_value(record.data, self._bounds.max_data, "session data")
        if record.version <= expected_version:
            raise ValueError(
                f"A save must raise the version: {record.version} is not above {expected_version}."
            )
        versions = (b"%d" % expected_version, b"%d" % record.version)
        return bool(await self._run(_TOUCH, record.id, *self._lives, *versions, record.data))

    async def touch(self, id: str) -> bool:
        """See `SessionStore.touch`."""
        return bool(await self._run(_TOUCH, id, *self._lives))

    async def delete(self, id: str) -> bool:
        """See `SessionStore.delete`."""
        return bool(await self._run(_DELETE, id))

    async def count(self, principal_key: str | None = None) -> int:
        """See `SessionStore.count`."""
        asked = (b"all",) if principal_key is None else (b"one", principal_key.encode())
        return await self._connections.run(_COUNT, self._keys, self._clock(), *asked)

    async def _run(self, script: Script, id: str, *args: bytes) -> Any:
        check_key(id, "session id")
        return await self._connections.run(script, self._keys, self._clock(), id.encode(), *args)


def _text(number: float) -> bytes:
    return repr(float(number)).encode()
