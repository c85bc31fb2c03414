"""A day's run, with the power cut at every write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator import step, step_info
from orchestrator.features.days.day import AGENTS, DayRequest, Made, Plan, Question, Seen, Stored, Written
from orchestrator.features.days.workflow import day
from support.days_room import INTENT, START

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

NOW = START.timestamp()
REQUEST = DayRequest(
    owner="ada",
    intent_id="intent-1",
    topic=str(INTENT["topic"]),
    depth="informed",
    end_goal=str(INTENT["end_goal"]),
    time_per_day_min=60,
    user_tz="America/New_York",
    track_label=None,
    meta={},
    week=1,
    day=3,
    signals_by=NOW + 7,
    plan_by=NOW + 11,
)
PLAN = Plan(title="T", description="D", steps=["Read"], minutes=[60], markdown="# T")


class World:
    """What outlives a crash: the sessions that are stored, and what the agents were asked under which key."""

    def __init__(self) -> None:
        self.stored: dict[str, Made] = {}
        self.keys: dict[str, set[str]] = {}


class FakeDaySteps:
    """The steps by their names, on that world: storing is once per run, as the repository has it."""

    def __init__(self, world: World) -> None:
        self._world = world

    @step(name="look-up-signal")
    async def look_up(self, question: Question) -> Seen:
        """Answer always the same."""
        self._world.keys.setdefault(question.agent, set()).add(step_info().idempotency_key)
        return Seen(agent=question.agent, available=True, fresh=True, miss=True, data=question.agent)

    @step(name="write-plan")
    async def write(self, day: DayRequest, seen: list[Seen]) -> Written:
        """Write always the same."""
        assert [each.agent for each in seen] == list(AGENTS)
        assert day == REQUEST
        self._world.keys.setdefault("instructor", set()).add(step_info().idempotency_key)
        return Written(plan=PLAN)

    @step(name="store-day")
    async def store(self, made: Made) -> Stored:
        """Keep it under the run's id."""
        self._world.stored[made.run_id] = made
        return Stored(session_id=f"session of {made.run_id}", answer={})


async def test_a_day_survives_a_crash_at_any_write(
    orchestrator_crash_everywhere: Callable[..., Awaitable[Any]],
) -> None:
    """One session, whatever happens, and every agent is asked under one key."""
    report = await orchestrator_crash_everywhere(
        day,
        REQUEST,
        steps=lambda world: [FakeDaySteps(world)],
        world=World,
        effects=lambda world: (
            {run: made.model_dump() for run, made in world.stored.items()},
            {agent: len(keys) for agent, keys in world.keys.items()},
        ),
    )
    assert report.result is not None
    assert report.crashes > len(AGENTS)
