"""Moments and durations as people say them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core.clock import SystemClock, utc

if TYPE_CHECKING:
    from datetime import datetime

MS_PER_S = 1_000
S_PER_MIN = 60


def duration(milliseconds: float) -> str:
    """``340 ms``, ``2.5 s``, ``3 min 20 s``."""
    if milliseconds < MS_PER_S:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / MS_PER_S
    if seconds < S_PER_MIN:
        return f"{seconds:.1f} s"
    return f"{seconds // S_PER_MIN:.0f} min {seconds % S_PER_MIN:.0f} s"


def moment(at: datetime) -> str:
    """Day and time in the time zone of whoever reads it."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def short_moment(at: datetime) -> str:
    """The time of a moment of today, the day of an earlier one."""
    local, now = at.astimezone(), utc(SystemClock().time()).astimezone()
    return f"{local:%H:%M:%S}" if local.date() == now.date() else f"{local:%Y-%m-%d}"
