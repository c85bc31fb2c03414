"""The rule of a token bucket, in whole numbers: a hundred thousand small refills add up to what they should.

A level is in parts of a token. One token has as many parts as the rate has microseconds, so that each
microsecond brings ``rate.count`` parts, and nothing is ever rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestrator.core.rates import Taken

if TYPE_CHECKING:
    from orchestrator.core.rates import Rate

MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Bucket:
    """How much there was at a moment, in microseconds since 1970."""

    level: int
    at: int


def take(bucket: Bucket | None, rate: Rate, now: int) -> tuple[Bucket, Taken]:
    """Take a token out of ``bucket``, or a full one where there is none yet; gives what is left of it.

    A clock that was set back brings nothing, and takes nothing away.
    """
    level = _level(bucket, rate, now)
    allowed = level >= token(rate)
    if allowed:
        level -= token(rate)
    return Bucket(level, now), told(rate, level, allowed=allowed)


def look(bucket: Bucket | None, rate: Rate, now: int) -> Taken:
    """What taking a token would come to; the bucket stays as it is."""
    level = _level(bucket, rate, now)
    return told(rate, level, allowed=level >= token(rate))


def told(rate: Rate, level: int, *, allowed: bool) -> Taken:
    """The outcome in tokens and seconds, of a bucket that holds ``level`` now."""
    left, begun = divmod(level, token(rate))
    return Taken(allowed, left, (token(rate) - begun) / rate.count / MICROSECONDS)


def token(rate: Rate) -> int:
    """The parts of one token."""
    return rate.per_s * MICROSECONDS


def full(rate: Rate) -> int:
    """The parts in a full bucket."""
    return rate.burst * token(rate)


def _level(bucket: Bucket | None, rate: Rate, now: int) -> int:
    if bucket is None:
        return full(rate)
    passed = max(0, now - bucket.at)
    return min(full(rate), bucket.level + passed * rate.count)
