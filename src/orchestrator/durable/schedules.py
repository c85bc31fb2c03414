"""Schedules as the outside sees them: what they start, when, and how far they have come."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from orchestrator.core.clock import rfc3339, utc
from orchestrator.core.errors import InvalidInputError
from orchestrator.durable.runs import NORMAL_PRIORITY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

# How old a time may be that passed while no service ran, and is still started.
CATCH_UP_S: Final = 60.0
# A busy service comes to a time some moments after it; that is not late.
SHORTEST_CATCH_UP_S: Final = 10.0
# The tag by which the runs of a schedule are found.
SCHEDULE_TAG: Final = "schedule"


class ScheduleStatus(StrEnum):
    """Whether a schedule starts runs: it does, was told not to, or cannot and says why."""

    ACTIVE = "active"
    PAUSED = "paused"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class ScheduleInfo:
    """What is known of a schedule.

    ``workflow`` is its type name. ``catch_up`` is in seconds. ``next_at`` is when it starts a run next, None
    if it starts none. ``last_run`` is the id of the run that it started last, ``last_at`` the time for which
    it did. ``skipped`` counts the times at which the run before was still open. ``missed_at`` is the first
    of the times that were missed last, since no service ran. ``reason`` says why it is stuck.
    """

    id: str
    workflow: str
    cron: str
    zone: str
    catch_up: float
    status: ScheduleStatus
    created_at: datetime
    next_at: datetime | None = None
    last_run: str = ""
    last_at: datetime | None = None
    skipped: int = 0
    missed_at: datetime | None = None
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    priority: int = NORMAL_PRIORITY
    reason: str = ""


def stated_run_id(schedule_id: str, at: float) -> str:
    """The id of the run that is due at ``at``: always the same, so that there is one run for it."""
    return f"{schedule_id}@{rfc3339(utc(at))}"


def checked_schedule_id(schedule_id: str) -> str:
    """``schedule_id`` itself, if it names something.

    Raises:
        InvalidInputError: it is empty.
    """
    if not schedule_id:
        raise InvalidInputError("the id of the schedule is empty; give it a name, such as morning-report")
    return schedule_id


def checked_catch_up(seconds: float) -> float:
    """``seconds`` itself, if it can be kept.

    Raises:
        InvalidInputError: it is too short, or no number.
    """
    if not math.isfinite(seconds) or seconds < SHORTEST_CATCH_UP_S:
        raise InvalidInputError(
            f"catch_up is {seconds}: give at least {SHORTEST_CATCH_UP_S:.0f} seconds, as a busy service "
            "may be late by some"
        )
    return float(seconds)
