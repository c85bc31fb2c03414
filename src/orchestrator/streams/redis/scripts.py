"""What Redis does in one step: scripts in its own language, Lua, each atomic.

All keys of a stream begin with its stem, which is ``KEYS[1]`` of every script:

| key | type | holds |
|---|---|---|
| stem | hash | ``id``, given at birth; ``after``, seconds it is kept; ``ends``, until when that is |
| stem``:entries`` | stream | the entries, with ids ``0-<offset>`` |
| stem``:keys`` | hash | the last offset of each key |
| stem``:groups`` | hash | the id of each group by its name |
| stem``:positions`` | hash | the last offset that was handed out, by the group's id |
| stem``:held:<id>`` | sorted set | ``<offset> <count> <at> <token> <consumer>`` by offset |
| stem``:times:<id>`` | sorted set | ``<offset, padded> <consumer>`` by when it was handed out |

``ARGV[1]`` is the time by the caller's clock, in seconds since 1970. A message on the channel that is named
as the stem says that something changed: the last offset after an append, else ``look``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

# Redis frees the memory of an expired stream so long after it is gone by the clocks of those who use it.
SWEEP_MS = 60_000

COMMON = f"""
local stem, now = KEYS[1], ARGV[1]

-- All keys of a stream, which go or live on together.
local function parts(of)
  local found = {{of, of .. ':entries', of .. ':keys', of .. ':groups', of .. ':positions'}}
  for _, id in ipairs(redis.call('HVALS', of .. ':groups')) do
    found[#found + 1] = of .. ':held:' .. id
    found[#found + 1] = of .. ':times:' .. id
  end
  return found
end

local function each_part(of, command, ...)
  for _, part in ipairs(parts(of)) do redis.call(command, part, ...) end
end

local function forget(of)
  each_part(of, 'UNLINK')
  redis.call('PUBLISH', of, 'look')
end

-- The id of a stream, false where there is none; one whose time is over is forgotten.
local function alive(of)
  local found = redis.call('HMGET', of, 'id', 'ends')
  if found[2] and tonumber(found[2]) <= tonumber(now) then
    forget(of)
    return false
  end
  return found[1]
end

local function born(of, id)
  if not alive(of) then redis.call('HSET', of, 'id', id) end
end

-- Begin a stream's time anew.
local function renew(of)
  local after = redis.call('HGET', of, 'after')
  if after then
    redis.call('HSET', of, 'ends', string.format('%.17g', tonumber(now) + tonumber(after)))
    each_part(of, 'PEXPIRE', string.format('%d', math.ceil(tonumber(after) * 1000) + {SWEEP_MS}))
  end
end

-- Let a key that is written beside an append go with its stream.
local function go_with_stream(key)
  local at = redis.call('PEXPIRETIME', stem)
  if at > 0 then redis.call('PEXPIREAT', key, at) end
end

local function offset_of(id) return string.sub(id, 3) end

local function last_offset(of)
  if redis.call('EXISTS', of .. ':entries') == 0 then return 0 end
  local about = redis.call('XINFO', 'STREAM', of .. ':entries')
  for i = 1, #about, 2 do
    if about[i] == 'last-generated-id' then return tonumber(offset_of(about[i + 1])) end
  end
end

-- The first offset there is, and the one after the last where there is none.
local function first_offset(of)
  local first = redis.call('XRANGE', of .. ':entries', '-', '+', 'COUNT', 1)[1]
  return first and tonumber(offset_of(first[1])) or last_offset(of) + 1
end

local function add(of, kind, key, data)
  local id = redis.call(
    'XADD', of .. ':entries', '0-*', 'at', now, 'type', kind, 'key', key, 'data', data)
  if key ~= '' then redis.call('HSET', of .. ':keys', key, offset_of(id)) end
  return offset_of(id)
end

local function appended(of, offset)
  renew(of)
  redis.call('PUBLISH', of, offset)
end
"""


@dataclass(frozen=True, slots=True)
class Script:
    """A script, and the name by which Redis knows it once it was loaded."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


# now, id for a new stream, then type, key, "1" for once, and data of each entry. Gives the offsets.
APPEND = Script(
    COMMON
    + """
local offsets, last = {}, nil
alive(stem)
for i = 3, #ARGV, 4 do
  local kind, key, once, data = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local offset = once == '1' and redis.call('HGET', stem .. ':keys', key)
  if not offset then
    if not last then born(stem, ARGV[2]) end
    offset = add(stem, kind, key, data)
    last = offset
  end
  offsets[#offsets + 1] = tonumber(offset)
end
if last then appended(stem, last) end
return offsets
"""
)

# now, id for a new stream. Gives the stream's id.
BEGIN = Script(
    COMMON
    + """
born(stem, ARGV[2])
return redis.call('HGET', stem, 'id')
"""
)

# now, offset, limit. Gives the stream's id, when it ends, and the entries above the offset.
PAGE_OF = Script(
    COMMON
    + """
local id = alive(stem)
if not id then return {false, false, {}} end
local entries = redis.call('XRANGE', stem .. ':entries', '(0-' .. ARGV[2], '+', 'COUNT', ARGV[3])
return {id, redis.call('HGET', stem, 'ends'), entries}
"""
)

# now. Gives the last offset.
LAST = Script(
    COMMON
    + """
return alive(stem) and last_offset(stem) or 0
"""
)

# now, "keep" or "before", how many or which, "1" to take what is not acknowledged too, how many at once.
TRIM = Script(
    COMMON
    + """
if not alive(stem) then return 0 end
local first, last = first_offset(stem), last_offset(stem)
local upto = ARGV[2] == 'keep' and last - tonumber(ARGV[3]) or tonumber(ARGV[3]) - 1
local groups = redis.call('HGETALL', stem .. ':positions')
for i = 1, #groups, 2 do
  local oldest = redis.call('ZRANGE', stem .. ':held:' .. groups[i], 0, 0)[1]
  local needed = oldest and tonumber(string.match(oldest, '^%d+')) or tonumber(groups[i + 1]) + 1
  if ARGV[4] ~= '1' then upto = math.min(upto, needed - 1) end
end
upto = math.min(upto, last, first - 1 + tonumber(ARGV[5]))
if upto < first then return 0 end
local cut, after = string.format('%d', upto), string.format('%d', upto + 1)
if redis.call('EXISTS', stem .. ':keys') == 1 then
  for _, entry in ipairs(redis.call('XRANGE', stem .. ':entries', '-', '0-' .. cut)) do
    local key = entry[2][6]
    if redis.call('HGET', stem .. ':keys', key) == offset_of(entry[1]) then
      redis.call('HDEL', stem .. ':keys', key)
    end
  end
end
for i = 1, #groups, 2 do
  local held, times = stem .. ':held:' .. groups[i], stem .. ':times:' .. groups[i]
  for _, holding in ipairs(redis.call('ZRANGEBYSCORE', held, '-inf', cut)) do
    local offset, consumer = string.match(holding, '^(%d+) %d+ %S+ %S+ (.*)$')
    redis.call('ZREM', times, string.format('%020d ', tonumber(offset)) .. consumer)
  end
  redis.call('ZREMRANGEBYSCORE', held, '-inf', cut)
end
return redis.call('XTRIM', stem .. ':entries', 'MINID', '=', '0-' .. after)
"""
)

# now, offsets. Gives how many entries there were; the last id stays that of the stream.
REMOVE = Script(
    COMMON
    + """
local removed = 0
if not alive(stem) then return removed end
for i = 2, #ARGV do
  local id = '0-' .. ARGV[i]
  local entry = redis.call('XRANGE', stem .. ':entries', id, id)[1]
  if entry then
    local key = entry[2][6]
    if redis.call('HGET', stem .. ':keys', key) == ARGV[i] then redis.call('HDEL', stem .. ':keys', key) end
    removed = removed + redis.call('XDEL', stem .. ':entries', id)
  end
end
return removed
"""
)

# now, id for a new stream, seconds or "".
EXPIRE = Script(
    COMMON
    + """
born(stem, ARGV[2])
if ARGV[3] == '' then
  redis.call('HDEL', stem, 'after', 'ends')
  each_part(stem, 'PERSIST')
else
  redis.call('HSET', stem, 'after', ARGV[3])
  renew(stem)
end
redis.call('PUBLISH', stem, 'look')
"""
)

# now.
DELETE = Script(
    COMMON
    + """
if redis.call('EXISTS', stem) == 1 then forget(stem) end
"""
)

# now.
GROUPS = Script(
    COMMON
    + """
if not alive(stem) then return {} end
return redis.call('HKEYS', stem .. ':groups')
"""
)

# now, name, id for a new group, id for a new stream, offset or "end". Gives the group's id.
OPEN_GROUP = Script(
    COMMON
    + """
born(stem, ARGV[4])
local found = redis.call('HGET', stem .. ':groups', ARGV[2])
if found then return found end
local position = ARGV[5] == 'end' and string.format('%d', last_offset(stem)) or ARGV[5]
redis.call('HSET', stem .. ':groups', ARGV[2], ARGV[3])
redis.call('HSET', stem .. ':positions', ARGV[3], position)
go_with_stream(stem .. ':groups')
go_with_stream(stem .. ':positions')
return ARGV[3]
"""
)
