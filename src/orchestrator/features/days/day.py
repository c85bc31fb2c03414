"""What the steps of a day's plan hand on to each other; all of it can be written down as JSON."""

from __future__ import annotations

import hashlib
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, JsonValue
from pydantic_core import to_json

from orchestrator.features.days.intent import Depth

CLO: Final = "clo"
ALEX: Final = "alex"
TA: Final = "ta"
SOCRATIC: Final = "socratic"
INSTRUCTOR: Final = "instructor"
AGENTS: Final = (CLO, ALEX, TA, SOCRATIC)

HOUR_S: Final = 3_600
FRESH_FOR_S: Final = {CLO: 168 * HOUR_S, ALEX: 336 * HOUR_S, TA: 72 * HOUR_S, SOCRATIC: 168 * HOUR_S}
"""For how long what an agent said is fresh."""

PLANNED: Final = "instructor"
FALLBACK: Final = "fallback"


class Shape(BaseModel):
    """A value that steps take or give."""

    model_config = ConfigDict(frozen=True)


class Kept(Shape):
    """The plan that a day has: what it was made of, by whom, and whether its day is done."""

    digest: str
    by: str
    is_done: bool

    def holds(self, digest: str) -> bool:
        """Whether it is still the one: nothing that it is made of changed, or its day is done.

        What stands in for an instructor's plan holds for no later run.
        """
        return self.is_done or (self.digest == digest and self.by != FALLBACK)


class DayRequest(Shape):
    """Which day to plan, for whom and to what end, and by when.

    Times are in seconds since 1970. They are set when the day is asked for and not looked at again, so a run
    that was interrupted keeps its deadline: signals come by ``signals_by``, the plan by ``plan_by``. ``kept``
    is the plan that the day had by then.
    """

    owner: str
    intent_id: str
    topic: str
    depth: Depth
    end_goal: str
    time_per_day_min: int
    user_tz: str
    track_label: str | None
    meta: dict[str, JsonValue]
    week: int
    day: int
    force_refresh: bool = False
    by_schedule: bool = False
    signals_by: float
    plan_by: float
    kept: Kept | None = None

    def is_kept(self, digest: str) -> bool:
        """Whether the plan that the day had is the one for what the agents say now."""
        return not self.force_refresh and self.kept is not None and self.kept.holds(digest)


class Question(Shape):
    """What an agent is asked for a day."""

    agent: str
    day: DayRequest


class Seen(Shape):
    """What an agent said, or that it said nothing; ``error_code`` is why it was asked in vain.

    ``updated_at`` is in seconds since 1970.
    """

    agent: str
    available: bool
    fresh: bool
    hit: bool = False
    miss: bool = False
    data: JsonValue = None
    updated_at: float | None = None
    error_code: str | None = None


class Plan(Shape):
    """A plan: its text, and its steps with the minutes for each, which fit the day's time."""

    title: str
    description: str
    steps: list[str]
    minutes: list[int]
    markdown: str
    research_summary: str | None = None


class Written(Shape):
    """A new plan and who wrote it, or none where the one that is kept still holds.

    ``error_code`` is why the instructor wrote none.
    """

    plan: Plan | None
    by: Literal["instructor", "fallback"] = PLANNED
    error_code: str | None = None


class Made(Shape):
    """All that came of a run, as it is stored. ``run_id`` makes storing it twice one."""

    run_id: str
    day: DayRequest
    seen: list[Seen]
    written: Written

    @property
    def digest(self) -> str:
        """Stands for all that the plan is made of."""
        return digest(self.day, self.seen)

    @property
    def degraded_agents(self) -> dict[str, str]:
        """Who did not do their part, with the code that says why."""
        failed = {seen.agent: seen.error_code or "AGENT_ERROR" for seen in self.seen if not seen.available}
        if self.written.error_code is not None:
            failed[INSTRUCTOR] = self.written.error_code
        return failed


class Stored(Shape):
    """The session as the run left it; ``answer`` is what ``day.run`` says of it."""

    session_id: str
    answer: dict[str, JsonValue]


def digest(day: DayRequest, seen: list[Seen]) -> str:
    """The same for the same intent and the same words of the agents, and for no others."""
    intent = [day.topic, day.depth, day.end_goal, day.time_per_day_min, day.track_label, day.meta]
    signals = [[each.agent, each.available, each.data] for each in sorted(seen, key=lambda each: each.agent)]
    return hashlib.sha256(to_json([intent, signals])).hexdigest()
