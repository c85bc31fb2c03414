"""Moments and durations as people say them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator.core.clock import SystemClock, utc

if TYPE_CHECKING:
    from datetime import datetime

MS_PER_S = 1_000
S_PER_MIN = 60
S_PER_H = 3_600
S_PER_D = 86_400
_UNITS = ((S_PER_D, "d", S_PER_H, "h"), (S_PER_H, "h", S_PER_MIN, "min"))
_SECONDS = {"s": 1, "m": S_PER_MIN, "h": S_PER_H, "d": S_PER_D}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])", re.ASCII)
_SPAN = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)


def duration(milliseconds: float) -> str:
    """``340 ms``, ``2.5 s``, ``3 min 20 s``."""
    if milliseconds < MS_PER_S:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / MS_PER_S
    if seconds < S_PER_MIN:
        return f"{seconds:.1f} s"
    return f"{seconds // S_PER_MIN:.0f} min {seconds % S_PER_MIN:.0f} s"


def span(seconds: float) -> str:
    """``40 s``, ``5 min``, ``2 h 5 min``, ``3 d 4 h``: how long something has lasted, roughly."""
    for unit, name, finer, finer_name in _UNITS:
        if seconds >= unit:
            rest = seconds % unit // finer
            return f"{seconds // unit:.0f} {name}" + (f" {rest:.0f} {finer_name}" if rest else "")
    if seconds >= S_PER_MIN:
        return f"{seconds // S_PER_MIN:.0f} min"
    return f"{max(seconds, 0):.0f} s"


def seconds_of(text: str) -> float:
    """The seconds of ``90s``, ``30m``, ``1h``, ``2d``, or several of them, such as ``1h30m``.

    Raises:
        ValueError: it is no such text.
    """
    if not _SPAN.fullmatch(text):
        raise ValueError(f"{text!r} is no time such as 90s, 30m, 1h, 2d or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def moment(at: datetime) -> str:
    """Day and time in the time zone of whoever reads it."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def short_moment(at: datetime) -> str:
    """The time of a moment of today, the day of an earlier one."""
    local, now = at.astimezone(), utc(SystemClock().time()).astimezone()
    return f"{local:%H:%M:%S}" if local.date() == now.date() else f"{local:%Y-%m-%d}"
