"""Limits while Redis is away: each process counts alone, and comes back by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from orchestrator.core.rates import Rate
from orchestrator.testing import ManualClock
from orchestrator.web.limits import failover
from orchestrator.web.limits.failover import PAUSE_S, Failover
from orchestrator.web.limits.memory import MemoryBuckets
from orchestrator.web.limits.redis import RedisBuckets
from support.redis_server import own_redis_server

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.core.rates import Taken

TWICE = Rate(count=2, per_s=86_400, burst=2)

pytestmark = pytest.mark.redis


async def test_limits_hold_while_redis_is_away_and_are_shared_again(tmp_path: Path) -> None:
    """Nobody is refused for its sake nor gets more than one process allows; later it is asked again."""
    clock = ManualClock()
    with own_redis_server(tmp_path / "redis") as server:
        shared = RedisBuckets(server.url)
        buckets = Failover(shared, MemoryBuckets(clock), clock)

        async def allowed(times: int) -> list[bool]:
            return [(await buckets.take("user:ada", TWICE)).allowed for _ in range(times)]

        async def left() -> int:
            return (await buckets.look("user:ada", TWICE)).left

        before = await allowed(1)
        server.kill()
        meanwhile = await allowed(3)
        left_alone, on_its_own = await left(), buckets.is_on_its_own
        server.start()
        still = await allowed(1)
        clock.now += PAUSE_S
        left_together = await left()
        after = await allowed(2)
        await shared.close()

    assert before == [True]
    assert (meanwhile, on_its_own) == ([True, True, False], True)
    assert (left_alone, left_together) == (0, 1), "who looks is told by whom the others ask"
    assert still == [False], "for some seconds nobody looks whether it is back"
    assert (after, buckets.is_on_its_own) == ([True, False], False), "one token of two was taken before"


async def test_a_redis_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not answer in time is left out."""

    class Hanging:
        async def take(self, name: str, rate: Rate) -> Taken:
            await asyncio.Event().wait()
            raise AssertionError((name, rate))

        look = take

    monkeypatch.setattr(failover, "ANSWER_LIMIT_S", 0.001)
    clock = ManualClock()
    buckets = Failover(Hanging(), MemoryBuckets(clock), clock)
    assert (await buckets.take("user:ada", TWICE)).allowed
    assert buckets.is_on_its_own
