"""Token buckets in Redis, for as many processes as share them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, cast

from orchestrator.streams.redis.connection import RedisConnection
from orchestrator.streams.redis.scripts import Script
from orchestrator.web.limits.bucket import MICROSECONDS, full, token, told

if TYPE_CHECKING:
    from orchestrator.core.clock import Clock
    from orchestrator.core.rates import Rate, Taken

# Beyond the moment when a bucket is full again, and so the same as none.
KEPT_LONGER_MS: Final = 1_000

# The rule of `bucket.look`. KEYS: the bucket. ARGV: parts per microsecond, parts of a token, parts of a full
# bucket, and the time in microseconds or "" for Redis's own. Numbers stay below 2^53, so they are exact.
_LEVEL: Final = f"""
local count, token, full, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if not now then
  local time = redis.call('TIME')
  now = time[1] * {MICROSECONDS} + time[2]
end
local level, kept = full, redis.call('HMGET', KEYS[1], 'level', 'at')
if kept[1] then
  level = math.min(full, kept[1] + math.max(0, now - kept[2]) * count)
end
local allowed = level >= token
"""
LOOK: Final = Script(f"{_LEVEL}return {{allowed and 1 or 0, string.format('%.0f', level)}}")
# The rule of `bucket.take`.
TAKE: Final = Script(f"""{_LEVEL}
if allowed then level = level - token end
redis.call('HSET', KEYS[1], 'level', string.format('%.0f', level), 'at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', (full - level) / count / 1000 + {KEPT_LONGER_MS}))
return {{allowed and 1 or 0, string.format('%.0f', level)}}
""")


class RedisBuckets:
    """Buckets by name in one Redis.

    They go by Redis's own clock, the one that all processes have in common: by the callers' clocks, one that
    is fast would refill what another one took. Tests give a ``clock`` of theirs.

    Raises:
        SettingsError: ``url`` is no address of a Redis.
    """

    def __init__(self, url: str, *, clock: Clock | None = None, prefix: str = "orchestrator") -> None:
        self._redis = RedisConnection(url)
        self._clock = clock
        self._prefix = prefix

    async def take(self, name: str, rate: Rate) -> Taken:
        """Take a token from the bucket of that name.

        Raises:
            OrchestratorError: Redis does not answer, or not as it should.
        """
        return await self._asked(TAKE, name, rate)

    async def look(self, name: str, rate: Rate) -> Taken:
        """See whether there is a token in the bucket of that name.

        Raises:
            OrchestratorError: Redis does not answer, or not as it should.
        """
        return await self._asked(LOOK, name, rate)

    async def close(self) -> None:
        """Let Redis go."""
        await self._redis.close()

    async def _asked(self, script: Script, name: str, rate: Rate) -> Taken:
        now = int(self._clock.time() * MICROSECONDS) if self._clock else ""
        reply = await self._redis.run(script, (self._key(name),), rate.count, token(rate), full(rate), now)
        allowed, level = cast("tuple[int, bytes]", reply)
        return told(rate, int(level), allowed=bool(allowed))

    def _key(self, name: str) -> str:
        # Names hold people's ids, which are nobody's business in a Redis that others read, and may be long.
        return f"{self._prefix}:limit:{hashlib.sha256(name.encode()).hexdigest()[:32]}"
