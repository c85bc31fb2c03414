"""The contract of token buckets, in memory and in Redis: never more than the rate, and never less."""

from __future__ import annotations

import math
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core.rates import Rate
from orchestrator.testing import ManualClock
from orchestrator.web.limits.memory import MemoryBuckets
from orchestrator.web.limits.redis import RedisBuckets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from orchestrator.core.rates import Buckets, Taken

A_MINUTE = Rate(count=60, per_s=60, burst=20)
BEGINNING_US = 1_767_225_600_000_000

rates = st.builds(
    Rate,
    count=st.integers(1, 10_000),
    per_s=st.sampled_from([1, 7, 60, 3_600, 86_400]),
    burst=st.integers(1, 50),
)
# Microseconds from one request to the next: none, few, about a token, many; and clocks that are set back.
pauses = st.lists(
    st.one_of(
        st.just(0),
        st.integers(1, 3),
        st.integers(0, 2_000_000),
        st.integers(0, 10_000_000_000),
        st.integers(-5_000_000_000, -1),
    ),
    max_size=40,
)
examples = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@dataclass
class Lab:
    """One backend, and the clock that it goes by, to the microsecond."""

    buckets: Buckets
    clock: ManualClock
    at_us: int = BEGINNING_US

    def pass_time(self, microseconds: int) -> None:
        """Let so much time pass; less than none sets the clock back."""
        self.at_us += microseconds
        self.clock.now = math.nextafter(self.at_us / 1_000_000, math.inf)

    async def take(self, rate: Rate, times: int = 1, name: str = "") -> list[Taken]:
        """Ask so many times, of a bucket of this test alone."""
        return [await self.buckets.take(name or self.name, rate) for _ in range(times)]

    def fresh(self) -> None:
        """Go on with a bucket that nobody has asked yet."""
        self.name = uuid.uuid4().hex

    def __post_init__(self) -> None:
        self.fresh()
        self.pass_time(0)


@asynccontextmanager
async def in_memory(_redis_url: Callable[[], str]) -> AsyncIterator[Lab]:
    """Buckets of one process."""
    clock = ManualClock()
    yield Lab(MemoryBuckets(clock), clock)


@asynccontextmanager
async def in_redis(redis_url: Callable[[], str]) -> AsyncIterator[Lab]:
    """Buckets in a real Redis, by a clock of ours."""
    clock = ManualClock()
    buckets = RedisBuckets(redis_url(), clock=clock, prefix=uuid.uuid4().hex)
    try:
        yield Lab(buckets, clock)
    finally:
        await buckets.close()


@pytest.fixture(params=[in_memory, pytest.param(in_redis, marks=pytest.mark.redis)])
async def lab(request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    """Each backend in turn."""
    opened: Callable[[Callable[[], str]], AbstractAsyncContextManager[Lab]] = request.param
    async with opened(lambda: request.getfixturevalue("redis_url")) as lab:
        yield lab


async def test_a_burst_and_then_the_rate(lab: Lab) -> None:
    """Twenty at once, then one a second: the twenty-first is told to wait for just that."""
    burst = await lab.take(A_MINUTE, 20)
    (refused,) = await lab.take(A_MINUTE)
    lab.pass_time(999_999)
    (early,) = await lab.take(A_MINUTE)
    lab.pass_time(1)
    (due,) = await lab.take(A_MINUTE)

    assert [taken.left for taken in burst] == list(range(19, -1, -1))
    assert all(taken.allowed for taken in burst)
    assert (refused.allowed, refused.left, refused.next_s) == (False, 0, 1.0)
    assert (early.allowed, early.next_s) == (False, 1e-6)
    assert (due.allowed, due.left) == (True, 0)


async def test_a_pause_fills_the_bucket_and_no_more(lab: Lab) -> None:
    """After a year there is one burst, not a year's worth of requests."""
    await lab.take(A_MINUTE, 20)
    lab.pass_time(365 * 86_400 * 1_000_000)
    taken = await lab.take(A_MINUTE, 21)
    assert [one.allowed for one in taken] == [True] * 20 + [False]


@examples
@given(rate=rates, waits=pauses)
async def test_a_look_tells_what_a_taking_would_and_takes_nothing(
    lab: Lab, rate: Rate, waits: list[int]
) -> None:
    """However often one looks, at a bucket that nobody asked yet too."""
    lab.fresh()
    for wait in waits:
        lab.pass_time(wait)
        first, again = [await lab.buckets.look(lab.name, rate) for _ in range(2)]
        (taken,) = await lab.take(rate)
        assert first == again
        assert first.allowed == taken.allowed
        assert first.left == taken.left + taken.allowed
        assert first.next_s == pytest.approx(taken.next_s)


async def test_buckets_do_not_mix(lab: Lab) -> None:
    """What one has taken, another still has."""
    await lab.take(Rate(1, 60, 1))
    lab.fresh()
    (taken,) = await lab.take(Rate(1, 60, 1))
    assert taken.allowed


async def test_a_clock_set_back_brings_nothing_and_takes_nothing(lab: Lab) -> None:
    """An hour back: the bucket has what it had, and fills on from there."""
    await lab.take(A_MINUTE, 15)
    lab.pass_time(-3_600_000_000)
    after = await lab.take(A_MINUTE, 6)
    lab.pass_time(1_000_000)
    (due,) = await lab.take(A_MINUTE)

    assert [one.allowed for one in after] == [True] * 5 + [False]
    assert due.allowed


@examples
@given(rate=rates, waits=pauses)
async def test_never_more_than_burst_and_rate(lab: Lab, rate: Rate, waits: list[int]) -> None:
    """Whatever the pattern, at most ``burst + rate * time`` pass, with the time that really went forward."""
    lab.fresh()
    passed, forward = 0, 0
    for wait in waits:
        lab.pass_time(wait)
        forward += max(wait, 0)
        passed += (await lab.take(rate))[0].allowed
        assert passed <= rate.burst + Fraction(forward * rate.count, rate.per_s * 1_000_000)


@examples
@given(rate=rates, waits=pauses)
async def test_the_refill_is_exact(lab: Lab, rate: Rate, waits: list[int]) -> None:
    """Every answer is that of a bucket of fractions, in which nothing is rounded."""
    lab.fresh()
    tokens = Fraction(rate.burst)
    for wait in waits:
        lab.pass_time(wait)
        tokens = min(
            Fraction(rate.burst), tokens + Fraction(max(wait, 0) * rate.count, rate.per_s * 1_000_000)
        )
        (taken,) = await lab.take(rate)
        assert taken.allowed == (tokens >= 1)
        tokens -= taken.allowed
        assert taken.left == math.floor(tokens)
        missing = 1 - (tokens - math.floor(tokens))
        assert taken.next_s == pytest.approx(float(missing * rate.per_s / rate.count))


@examples
@given(rate=rates, waits=pauses)
async def test_who_waits_as_told_is_let_in(lab: Lab, rate: Rate, waits: list[int]) -> None:
    """After a refusal and its seconds, rounded up as Retry-After has them, there is a token."""
    lab.fresh()
    for wait in waits:
        lab.pass_time(wait)
        (taken,) = await lab.take(rate)
        if not taken.allowed:
            lab.pass_time(math.ceil(taken.next_s) * 1_000_000)
            assert (await lab.take(rate))[0].allowed


@pytest.mark.redis
async def test_processes_share_one_bucket_by_the_clock_of_redis(redis_url: str) -> None:
    """Two connections take from one bucket together, whatever their machines' clocks say."""
    rate, prefix = Rate(1, 86_400, 5), uuid.uuid4().hex
    one, other = RedisBuckets(redis_url, prefix=prefix), RedisBuckets(redis_url, prefix=prefix)
    taken = [await buckets.take("user:ada", rate) for buckets in (one, other) * 4]
    await one.close()
    await other.close()
    assert sum(each.allowed for each in taken) == 5
    assert 86_300 < taken[-1].next_s <= 86_400


async def test_memory_is_bounded() -> None:
    """With more callers than there is room for, the one goes that was silent longest."""
    buckets = MemoryBuckets(ManualClock(), most=3)
    once = Rate(1, 60, 1)
    for name in ("ann", "bob", "cid", "ann", "dan"):
        await buckets.take(name, once)
    assert len(buckets) == 3
    assert not (await buckets.take("ann", once)).allowed
    assert (await buckets.take("bob", once)).allowed
