"""What Redis does for groups in one step; see ``scripts`` for the keys."""

from __future__ import annotations

from orchestrator.streams.redis.scripts import COMMON, Script

# ARGV[2] is a group's name, ARGV[3] its id, so that no handle of a deleted group meets a new one.
_GROUP = (
    COMMON
    + """
local name, id = ARGV[2], ARGV[3]
local held, times = stem .. ':held:' .. id, stem .. ':times:' .. id

local function gone()
  return not alive(stem) or redis.call('HGET', stem .. ':groups', name) ~= id
end

-- How an offset is written among the times: those of one time are in the order of offsets.
local function timed(offset, consumer) return string.format('%020d ', tonumber(offset)) .. consumer end

local function holding(offset)
  local found = redis.call('ZRANGEBYSCORE', held, offset, offset)[1]
  if not found then return nil end
  local count, at, token, consumer = string.match(found, '^%d+ (%d+) (%S+) (%S+) (.*)$')
  return {count = tonumber(count), at = at, token = token, consumer = consumer}
end

local function entry_at(offset)
  return redis.call('XRANGE', stem .. ':entries', '0-' .. offset, '0-' .. offset)[1]
end

local function settle(offset, holder)
  redis.call('ZREMRANGEBYSCORE', held, offset, offset)
  redis.call('ZREM', times, timed(offset, holder.consumer))
end

local function hold(offset, count, token, consumer)
  redis.call('ZADD', held, offset, offset .. ' ' .. count .. ' ' .. now .. ' ' .. token .. ' ' .. consumer)
  redis.call('ZADD', times, now, timed(offset, consumer))
end

local function held_with_stream()
  go_with_stream(held)
  go_with_stream(times)
end

-- KEYS[2] is the stem of the dead letters; what JSON text is not known here, the caller gives.
local function bury(offset, entry, holder, dead_id, stream_json, group_json, reason_json)
  local fields = entry[2]
  local head = '{"stream": ' .. stream_json .. ', "group": ' .. group_json .. ', "offset": ' .. offset
    .. ', "at": ' .. fields[2] .. ', "consumer": ' .. cjson.encode(holder.consumer)
    .. ', "count": ' .. holder.count .. ', "reason": ' .. reason_json .. '}'
  local dead = KEYS[2]
  born(dead, dead_id)
  appended(dead, add(dead, fields[4], fields[6], head .. '\\n' .. fields[8]))
end
"""
)

# now, name, id. Twice is once.
DELETE_GROUP = Script(
    _GROUP
    + """
if gone() then return end
redis.call('UNLINK', held, times)
redis.call('HDEL', stem .. ':groups', name)
redis.call('HDEL', stem .. ':positions', id)
redis.call('PUBLISH', stem, 'look')
"""
)

# now, name, id, consumer, limit, token of the call, and the time of its first try where the reply to one was
# lost. Gives the entries, whether there are more, and when the stream ends; nil where the group is gone.
READ = Script(
    _GROUP
    + """
if gone() then return false end
local consumer, token = ARGV[4], ARGV[6]
local ends = redis.call('HGET', stem, 'ends')
if ARGV[7] ~= '' then
  local found = {}
  for _, offset in ipairs(redis.call('ZRANGEBYSCORE', times, ARGV[7], now)) do
    offset = string.match(offset, '^0*(%d+) ')
    local holder, entry = holding(offset), entry_at(offset)
    if entry and holder.token == token then found[#found + 1] = entry end
  end
  if #found > 0 then return {found, 1, ends} end
end
local position = redis.call('HGET', stem .. ':positions', id)
local found = redis.call('XRANGE', stem .. ':entries', '(0-' .. position, '+', 'COUNT', ARGV[5])
if #found == 0 then return {found, 0, ends} end
for _, entry in ipairs(found) do
  hold(offset_of(entry[1]), 1, token, consumer)
  position = offset_of(entry[1])
end
redis.call('HSET', stem .. ':positions', id, position)
held_with_stream()
return {found, tonumber(position) < last_offset(stem) and 1 or 0, ends}
"""
)

# now, name, id, offsets. Gives how many of them were held; nil where the group is gone.
ACK = Script(
    _GROUP
    + """
if gone() then return false end
local settled = 0
for i = 4, #ARGV do
  local holder = holding(ARGV[i])
  if holder then
    settle(ARGV[i], holder)
    settled = settled + 1
  end
end
return settled
"""
)

# now, name, id, offset, id for a new stream, then JSON of stream, group and reason. Gives 1 for a dead
# letter, 0 where nobody holds it or it is not there; nil where the group is gone.
REJECT = Script(
    _GROUP
    + """
if gone() then return false end
local offset = ARGV[4]
local holder = holding(offset)
if not holder then return 0 end
local entry = entry_at(offset)
if entry then bury(offset, entry, holder, ARGV[5], ARGV[6], ARGV[7], ARGV[8]) end
settle(offset, holder)
return entry and 1 or 0
"""
)

# now, name, id, consumer, the latest time of what is idle, limit, "1" to take from one consumer alone, which,
# how often an entry is handed out at most, id for a new stream, JSON of stream and group. Gives how many were
# idle, and each entry that was handed on with its count; nil where the group is gone.
CLAIM = Script(
    _GROUP
    + """
if gone() then return false end
local consumer, latest, limit, most = ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[9])
local idle, seen, at_once = {}, 0, math.max(limit, 100)
repeat
  local some = redis.call('ZRANGEBYSCORE', times, '-inf', latest, 'LIMIT', seen, at_once)
  for _, one in ipairs(some) do
    local offset, holder = string.match(one, '^0*(%d+) (.*)$')
    if #idle < limit and (ARGV[7] ~= '1' or holder == ARGV[8]) then idle[#idle + 1] = offset end
  end
  seen = seen + #some
  local is_all = #some < at_once
  at_once = 2 * at_once -- what was seen is walked over again each time
until #idle == limit or is_all
table.sort(idle, function(one, other) return tonumber(one) < tonumber(other) end)
local handed = {}
for _, offset in ipairs(idle) do
  local holder, entry = holding(offset), entry_at(offset)
  settle(offset, holder)
  if entry and holder.count < most then
    hold(offset, holder.count + 1, '-', consumer)
    handed[#handed + 1] = {entry, holder.count + 1}
  elseif entry then
    local reason = '"handed out ' .. holder.count .. ' times and never acknowledged"'
    bury(offset, entry, holder, ARGV[10], ARGV[11], ARGV[12], reason)
  end
end
held_with_stream()
return {#idle, handed}
"""
)

# now, name, id, offset, limit. Gives what is held as it is stored; nil where the group is gone.
PENDING = Script(
    _GROUP
    + """
if gone() then return false end
return redis.call('ZRANGEBYSCORE', held, '(' .. ARGV[4], '+inf', 'LIMIT', 0, ARGV[5])
"""
)

# now, name, id. Gives how many entries nobody was handed; nil where the group is gone.
LAG = Script(
    _GROUP
    + """
if gone() then return false end
local position = tonumber(redis.call('HGET', stem .. ':positions', id))
return math.max(0, last_offset(stem) - math.max(position, first_offset(stem) - 1))
"""
)
