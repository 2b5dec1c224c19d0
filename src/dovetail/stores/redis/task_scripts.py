"""The moves of tasks in Redis, as scripts.

Theory of operation
-------------------
See `tasks` for what the keys hold. Whatever changes where a task stands goes through ``move``: it takes the lines of
the task's owner out of their levels, takes the task out of where it stands, changes it, and puts all of it back.

A script that has to count first removes what has expired, and settles the leases that are over, a bounded number of
each; where more is left it answers -1, and is called again.

Where Redis has no memory left it refuses the first write of a script if that may take some, and none that follows
another write. Claims, renewals and what forgets a task begin with a removal, if only of a field that no hash has (that
of an empty name): work goes on, and ends, on a server that is full. So do updates whose data has not grown.

Specification: none.
"""

from __future__ import annotations

from .scripts import Script

__all__ = ["FIRST_KEYS", "TaskScripts"]

FIRST_KEYS = (
    "data",
    "records",
    "ends",
    "leases",
    "unended",
    "held",
    "list",
    "waiting",
    "queues",
    "levels",
    "level",
    "leased",
    "results",
    "sizes",
)
"""The keys in the order in which the scripts count them, from 2 on."""

_GIVEN_TIME = "local now = tonumber(ARGV[1])\n"
_OWN_TIME = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
"""

_RECORDS = """
local clock = string.format('%.17g', now)
local function at(place, name) return KEYS[place] .. ':' .. name end
local function find(id)
  local head = redis.call('HGET', KEYS[3], id)
  if not head then return nil end
  local t = {id = id, head = head}
  t.version, t.attempts, t.ended, t.held, t.created, t.updated, t.expires, t.due, t.lease,
    t.owner, t.queue, t.status, t.holder = struct.unpack('>dddddddddHc0Hc0Hc0Hc0', head)
  return t
end
local function live(id)
  local t = find(id)
  if t and t.expires > now then return t end
end
local function told(t) return {t.id, t.head, redis.call('HGET', KEYS[2], t.id)} end
"""

_CHANGES = """
local function note(t)
  t.head = struct.pack('>dddddddddHc0Hc0Hc0Hc0', t.version, t.attempts, t.ended, t.held, t.created, t.updated,
    t.expires, t.due, t.lease, #t.owner, t.owner, #t.queue, t.queue, #t.status, t.status, #t.holder, t.holder)
  redis.call('HSET', KEYS[3], t.id, t.head)
end
local function count(place, name, more)
  if redis.call('HINCRBY', KEYS[place], name, more) <= 0 then redis.call('HDEL', KEYS[place], name) end
end
local function rank(owner, queue, add)
  local first = redis.call('ZRANGE', at(9, queue .. '\\0' .. owner), 0, 0, 'WITHSCORES')
  if not first[1] then return end
  local level = redis.call('HGET', KEYS[7], owner) or '0'
  local line, member = at(12, queue .. '\\0' .. level), first[1] .. '\\0' .. owner
  if add then
    redis.call('ZADD', line, first[2], member)
    redis.call('ZADD', at(11, queue), level, level)
  else
    redis.call('ZREM', line, member)
    if redis.call('ZCARD', line) == 0 then redis.call('ZREM', at(11, queue), level) end
  end
end
local function rank_all(owner, add)
  for _, queue in ipairs(redis.call('HKEYS', at(10, owner))) do rank(owner, queue, add) end
end
local function move(t, change)
  rank_all(t.owner, false)
  local waiting = at(9, t.queue .. '\\0' .. t.owner)
  if t.held == 1 then
    redis.call('ZREM', KEYS[5], t.id)
    redis.call('ZREM', at(13, t.queue), t.id)
    count(7, t.owner, -1)
  elseif t.due < math.huge and redis.call('ZREM', waiting, t.id) == 1 and redis.call('ZCARD', waiting) == 0 then
    redis.call('HDEL', at(10, t.owner), t.queue)
  end
  change(t)
  if t.held == 1 then
    redis.call('ZADD', KEYS[5], t.lease, t.id)
    redis.call('ZADD', at(13, t.queue), t.lease, t.id)
    count(7, t.owner, 1)
  elseif t.due < math.huge then
    redis.call('ZADD', waiting, t.due, t.id)
    redis.call('HSET', at(10, t.owner), t.queue, '')
  end
  rank_all(t.owner, true)
end
local function count_unended(t, more)
  if t.ended == 1 then return end
  count(6, t.owner, more)
  count(6, '', more)
end
local function forget(t)
  redis.call('HDEL', KEYS[2], t.id)
  move(t, function() t.held, t.due = 0, math.huge end)
  count_unended(t, -1)
  redis.call('HDEL', KEYS[3], t.id)
  redis.call('ZREM', KEYS[4], t.id)
  redis.call('ZREM', at(8, t.owner), t.id)
  redis.call('DEL', at(14, t.id))
  redis.call('HDEL', KEYS[15], t.id)
end
local function sweep(most)
  local ended = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', clock, 'LIMIT', 0, most)
  for _, id in ipairs(ended) do
    local t = find(id)
    if t then forget(t) else redis.call('ZREM', KEYS[4], id) end
  end
  return #ended
end
local function settle(most)
  local over = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', clock, 'LIMIT', 0, most)
  for _, id in ipairs(over) do
    local t = find(id)
    if t then
      move(t, function() t.held = 0 end)
      note(t)
    else
      redis.call('ZREM', KEYS[5], id)
    end
  end
  return #over
end
local function less(one, other)
  for place = 1, math.min(#one, #other) do
    local left, right = string.byte(one, place), string.byte(other, place)
    if left ~= right then return left < right end
  end
  return #one < #other
end
"""

# After the time: id, data, owner, queue, status, whether it has ended, created, updated, expires, due, and both bounds.
_CREATE = """
local id, owner, more = ARGV[2], ARGV[4], sweep(100) == 100
local t = find(id)
if t and t.expires <= now then
  forget(t)
  t = nil
end
if t then return 1 end
local full = 0
if tonumber(redis.call('HGET', KEYS[6], owner) or '0') >= tonumber(ARGV[12]) then
  full = 2
elseif redis.call('HLEN', KEYS[3]) >= tonumber(ARGV[13]) then
  full = 3
end
if full > 0 then return more and -1 or full end
redis.call('HSET', KEYS[2], id, ARGV[3])
t = {id = id, owner = owner, queue = ARGV[5], status = ARGV[6], holder = '', version = 0, attempts = 0, held = 0,
  lease = 0, ended = tonumber(ARGV[7]), created = math.min(tonumber(ARGV[8]), now),
  updated = math.min(tonumber(ARGV[9]), now), expires = tonumber(ARGV[10]), due = math.huge}
move(t, function() t.due = tonumber(ARGV[11]) end)
note(t)
count_unended(t, 1)
redis.call('ZADD', at(8, owner), t.created, id)
if t.expires < math.huge then redis.call('ZADD', KEYS[4], t.expires, id) end
return 0
"""

_LOAD = """
local t = live(ARGV[2])
return t and told(t) or false
"""

# After the time: id, expected version, data, status, whether it has ended, expires, due, and the holder.
_UPDATE = """
local t = live(ARGV[2])
if not t or t.ended == 1 or t.version ~= tonumber(ARGV[3]) then return false end
if #ARGV[4] <= redis.call('HSTRLEN', KEYS[2], t.id) then redis.call('HDEL', KEYS[2], '') end
redis.call('HSET', KEYS[2], t.id, ARGV[4])
count_unended(t, -1)
move(t, function()
  t.version, t.updated, t.status, t.ended = t.version + 1, math.max(t.updated, now), ARGV[5], tonumber(ARGV[6])
  t.expires, t.due, t.holder = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
  if t.holder == '' then t.lease = 0 end
  t.held = t.lease > now and 1 or 0
end)
note(t)
count_unended(t, 1)
if t.expires < math.huge then redis.call('ZADD', KEYS[4], t.expires, t.id) else redis.call('ZREM', KEYS[4], t.id) end
return told(t)
"""

# After the time: the holder, how many, for how many seconds, and each queue with what may be held of it, or "any".
_CLAIM = """
if sweep(500) == 500 or settle(500) == 500 then return -1 end
local best
local function look(queue)
  for _, level in ipairs(redis.call('ZRANGE', at(11, queue), 0, -1)) do
    local rank = tonumber(level)
    if best and rank > best.rank then return end
    local line = at(12, queue .. '\\0' .. level)
    local first = redis.call('ZRANGEBYSCORE', line, '-inf', clock, 'WITHSCORES', 'LIMIT', 0, 1)
    if first[1] then
      local id, due = string.match(first[1], '^%Z+'), tonumber(first[2])
      if not best or rank < best.rank or due < best.due or (due == best.due and less(id, best.id)) then
        best = {rank = rank, due = due, id = id}
      end
      return
    end
  end
end
local claimed = {}
while #claimed < tonumber(ARGV[3]) do
  best = nil
  for place = 5, #ARGV, 2 do
    local most = ARGV[place + 1]
    if most == 'any' or redis.call('ZCARD', at(13, ARGV[place])) < tonumber(most) then look(ARGV[place]) end
  end
  if not best then break end
  local t = find(best.id)
  move(t, function()
    t.version, t.attempts, t.updated = t.version + 1, t.attempts + 1, math.max(t.updated, now)
    t.holder, t.lease, t.held = ARGV[2], now + tonumber(ARGV[4]), 1
  end)
  note(t)
  claimed[#claimed + 1] = told(t)
end
return claimed
"""

# After the time: the holder, for how many seconds, and the ids.
_RENEW = """
local renewed = {}
for place = 4, #ARGV do
  local t = live(ARGV[place])
  if t and t.holder == ARGV[2] then
    redis.call('HDEL', KEYS[2], '')
    move(t, function() t.lease, t.held = now + tonumber(ARGV[3]), 1 end)
    note(t)
    renewed[#renewed + 1] = t.id
  end
end
return renewed
"""

# After the time: the id, the holder, for how many seconds, and what may be held of its queue, or "any".
_CLAIM_ONE = """
if sweep(500) == 500 or settle(500) == 500 then return -1 end
local t = live(ARGV[2])
if not t or t.held == 1 or t.due > now then return false end
if ARGV[5] ~= 'any' and redis.call('ZCARD', at(13, t.queue)) >= tonumber(ARGV[5]) then return false end
redis.call('HDEL', KEYS[2], '')
move(t, function()
  t.version, t.attempts, t.updated = t.version + 1, t.attempts + 1, math.max(t.updated, now)
  t.holder, t.lease, t.held = ARGV[3], now + tonumber(ARGV[4]), 1
end)
note(t)
return told(t)
"""

_NEXT_DUE = """
if sweep(500) == 500 or settle(500) == 500 then return -1 end
local soonest = math.huge
local function look(key)
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if first[1] then soonest = math.min(soonest, tonumber(first[2])) end
end
for place = 2, #ARGV do
  look(at(13, ARGV[place]))
  for _, level in ipairs(redis.call('ZRANGE', at(11, ARGV[place]), 0, -1)) do
    look(at(12, ARGV[place] .. '\\0' .. level))
  end
end
return soonest < math.huge and string.format('%.17g', math.max(0, soonest - now))
"""

# After the time: the queue, and how many. Of each line only so many are looked at.
_DUE = """
if sweep(500) == 500 or settle(500) == 500 then return -1 end
local most, ripe, ids = tonumber(ARGV[3]), {}, {}
for _, level in ipairs(redis.call('ZRANGE', at(11, ARGV[2]), 0, -1)) do
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', at(12, ARGV[2] .. '\\0' .. level), '-inf', clock)) do
    local owner = string.sub(member, #string.match(member, '^%Z+') + 2)
    local line = at(9, ARGV[2] .. '\\0' .. owner)
    local found = redis.call('ZRANGEBYSCORE', line, '-inf', clock, 'WITHSCORES', 'LIMIT', 0, most)
    for place = 1, #found, 2 do ripe[#ripe + 1] = {id = found[place], due = tonumber(found[place + 1])} end
  end
end
table.sort(ripe, function(one, other)
  if one.due ~= other.due then return one.due < other.due end
  return less(one.id, other.id)
end)
for place = 1, math.min(most, #ripe) do ids[place] = ripe[place].id end
return ids
"""

# After the time: id, holder, name, result, what it counts, and what all of one task may count.
_RECORD = """
local t = live(ARGV[2])
if not t or t.holder ~= ARGV[3] then return -1 end
local results = at(14, t.id)
if redis.call('HEXISTS', results, ARGV[4]) == 1 then return 0 end
local size = tonumber(redis.call('HGET', KEYS[15], t.id) or '0') + tonumber(ARGV[6])
if size > tonumber(ARGV[7]) then return size end
redis.call('HSET', results, ARGV[4], ARGV[5])
redis.call('HSET', KEYS[15], t.id, size)
return 0
"""

_RECORDED = """
if not live(ARGV[2]) then return {} end
return redis.call('HGETALL', at(14, ARGV[2]))
"""

# After the time: owner, how many, and where to begin, by a time and an id, or an empty one.
_LIST = """
if sweep(500) == 500 then return -1 end
local line, from = at(8, ARGV[2]), 0
if ARGV[5] ~= '' then
  from = redis.call('ZCOUNT', line, '-inf', '(' .. ARGV[4])
  local to = redis.call('ZCOUNT', line, '-inf', ARGV[4])
  while from < to do
    local middle = math.floor((from + to) / 2)
    if less(ARGV[5], redis.call('ZRANGE', line, middle, middle)[1]) then to = middle else from = middle + 1 end
  end
end
local page = {}
for _, id in ipairs(redis.call('ZRANGE', line, from, from + tonumber(ARGV[3]) - 1)) do
  page[#page + 1] = told(find(id))
end
return page
"""

# After the time: owner, or nothing for all, and which: "any", "ended" or "unended".
_COUNT = """
if sweep(500) == 500 then return -1 end
local unended = tonumber(redis.call('HGET', KEYS[6], ARGV[2]) or '0')
if ARGV[3] == 'unended' then return unended end
local all = ARGV[2] == '' and redis.call('HLEN', KEYS[3]) or redis.call('ZCARD', at(8, ARGV[2]))
return ARGV[3] == 'ended' and all - unended or all
"""

_DELETE = """
local t = live(ARGV[2])
if not t then return 0 end
forget(t)
return 1
"""


class TaskScripts:
    """All of them. ``own_time``: they go by the server's clock, whatever time they are given."""

    def __init__(self, *, own_time: bool) -> None:
        look = (_OWN_TIME if own_time else _GIVEN_TIME) + _RECORDS
        change = look + _CHANGES
        self.create = Script(change + _CREATE, adds=True)
        self.load = Script(look + _LOAD)
        self.update = Script(change + _UPDATE)
        self.claim = Script(change + _CLAIM)
        self.claim_one = Script(change + _CLAIM_ONE)
        self.renew = Script(change + _RENEW)
        self.next_due = Script(change + _NEXT_DUE)
        self.due = Script(change + _DUE)
        self.record = Script(look + _RECORD)
        self.recorded = Script(look + _RECORDED)
        self.list = Script(change + _LIST)
        self.count = Script(change + _COUNT)
        self.delete = Script(change + _DELETE)
        self.sweep = Script(change + "return sweep(1000)")
