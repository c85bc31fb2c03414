"""Planning a day: signals, cache, plan, and what happens where agents fail."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from orchestrator.core.errors import ConflictError
from orchestrator.db import SYSTEM
from orchestrator.durable.runs import Status as RunStatus
from orchestrator.features.days.day import AGENTS, INSTRUCTOR
from orchestrator.features.days.schemas import DegradedAgent
from orchestrator.features.days.tables import SignalRow
from support.days_room import INTENT, LIMIT_S, OWNER, PLAN, DaysRoom, ScriptedAgents

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.features.days.schemas import DayPlanned

ALL_WELL = {agent: {"available": True, "fresh": True} for agent in AGENTS}


def quality(planned: DayPlanned) -> dict[str, Any]:
    """The quality of each signal."""
    return planned.signal_quality.model_dump()


async def test_a_day_is_planned_from_four_signals(any_room: DaysRoom) -> None:
    """The instructor's plan, its steps with minutes that fit, and a true account of the signals."""
    await any_room.sync()
    planned = await any_room.run(1, 3)
    assert planned.plan_md == PLAN["plan_md"]
    assert planned.plan_json_summary.model_dump() == PLAN["plan_json"]
    assert [box.step for box in planned.time_boxes] == PLAN["plan_json"]["steps"]
    assert sum(box.minutes for box in planned.time_boxes) == 60
    assert (planned.cache_hits, planned.cache_misses, planned.degraded_mode) == (0, 4, False)
    assert quality(planned) == ALL_WELL
    assert "degraded_agents" not in planned.model_dump()


async def test_agents_are_asked_as_their_contract_says(room: DaysRoom) -> None:
    """Clo and ta about the day, alex and socratic about the topic, the instructor about all of it."""
    await room.sync(track_label="ML track")
    await room.run(2, 4)
    of_topic = {"user_id": OWNER, "topic": INTENT["topic"]}
    for agent in AGENTS:
        request = room.agents.last_asked(agent)
        assert request.method == "GET"
        assert request.url.path == f"/functions/v1/agent-proxy/{agent}/signals"
        asked = of_topic | ({"week": "2", "day": "4"} if agent in {"clo", "ta"} else {})
        assert dict(request.url.params) == asked
    request = room.agents.last_asked(INSTRUCTOR)
    assert (request.method, request.url.path) == ("POST", "/functions/v1/agent-proxy/instructor/daily")
    assert request.headers["Authorization"] == "Bearer service-token"
    assert request.headers["X-Idempotency-Key"]
    assert {request.headers["X-User-ID"] for _, request in room.agents.asked} == {OWNER}
    assert json.loads(request.content) == {
        "USER_ID": OWNER,
        "USER_TZ": "America/New_York",
        "TOPIC": "Machine Learning",
        "DEPTH": "informed",
        "END_GOAL": "Build production ML models",
        "TIME_PER_DAY_MIN": 60,
        "WEEK": 2,
        "DAY": 4,
        "CLARIFIER_TOPIC_SPEC": {"track_label": "ML track", "meta": INTENT["meta"]},
        "SIGNALS": {agent.upper(): {"from": agent} for agent in AGENTS},
        "SIGNAL_QUALITY": ALL_WELL,
        "CACHE_STATS": {"hits": 0, "misses": 4},
    }


async def test_a_repeat_hits_the_cache_and_keeps_session_and_plan(any_room: DaysRoom) -> None:
    """Four hits, the same id, and nobody is asked to write again."""
    await any_room.sync()
    first = await any_room.run()
    again = await any_room.run()
    assert (again.cache_hits, again.cache_misses) == (4, 0)
    assert again.session_id == first.session_id
    assert again.plan_md == first.plan_md
    assert len(any_room.agents.asked) == len(AGENTS) + 1


async def test_another_day_uses_what_is_known_of_the_topic(room: DaysRoom) -> None:
    """Alex and socratic speak of the topic, clo and ta of a day."""
    await room.sync()
    first, second = await room.run(1, 1), await room.run(1, 2)
    assert (second.cache_hits, second.cache_misses) == (2, 2)
    assert second.session_id != first.session_id


async def test_a_new_plan_is_written_only_when_a_signal_has_changed(room: DaysRoom) -> None:
    """After its window a signal is asked for again: 304 is a hit, and other words lead to another plan."""
    await room.sync()
    first = await room.run()
    room.clock.jump(timedelta(hours=73).total_seconds())
    confirmed = await room.run()
    assert (confirmed.cache_hits, confirmed.cache_misses) == (4, 0)
    assert room.agents.times_asked("ta") == 2
    assert room.agents.times_asked(INSTRUCTOR) == 1

    room.clock.jump(timedelta(hours=73).total_seconds())
    room.agents.said["ta"] = {"from": "ta", "practice": "more"}
    room.agents.said[INSTRUCTOR] = PLAN | {"plan_md": "# Another plan"}
    changed = await room.run()
    assert (changed.cache_hits, changed.cache_misses) == (3, 1)
    assert changed.session_id == first.session_id
    assert changed.plan_md == "# Another plan"


async def test_a_changed_intent_leads_to_another_plan(room: DaysRoom) -> None:
    """With less time a day, steps that took an hour do not fit any more."""
    await room.sync()
    first = await room.run()
    await room.sync(time_per_day_min=30)
    again = await room.run()
    assert again.session_id == first.session_id
    assert room.agents.times_asked(INSTRUCTOR) == 2
    assert sum(box.minutes for box in again.time_boxes) == 30


async def test_force_refresh_goes_past_the_cache(room: DaysRoom) -> None:
    """All agents are asked without an ETag, and the plan is written anew, in the same session."""
    await room.sync()
    first = await room.run()
    room.agents.said[INSTRUCTOR] = PLAN | {"plan_md": "# Another plan"}
    forced = await room.run(force=True)
    assert (forced.cache_hits, forced.cache_misses) == (0, 4)
    assert forced.session_id == first.session_id
    assert forced.plan_md == "# Another plan"
    assert "If-None-Match" not in room.agents.last_asked("clo").headers


async def test_the_plan_of_a_done_day_stays(room: DaysRoom) -> None:
    """It says what was done; only force_refresh writes another."""
    await room.sync()
    planned = await room.run()
    await room.done(planned.session_id)
    room.clock.jump(timedelta(hours=400).total_seconds())
    room.agents.said |= {agent: {"changed": True} for agent in AGENTS}
    room.agents.said[INSTRUCTOR] = PLAN | {"plan_md": "# Another plan"}
    again = await room.run()
    assert (again.cache_misses, again.plan_md) == (4, planned.plan_md)
    assert (await room.run(force=True)).plan_md == "# Another plan"


async def test_nobody_plans_without_an_intent(room: DaysRoom) -> None:
    """Others' intents are none."""
    await room.sync(owner="bob")
    with pytest.raises(ConflictError) as refused:
        await room.run()
    assert refused.value.code == "NO_ACTIVE_INTENT"


async def test_a_missing_signal_degrades_and_says_who_and_why(room: DaysRoom) -> None:
    """The plan is the instructor's all the same, from the other three."""
    await room.sync()
    room.agents.refuses["ta"] = 404
    planned = await room.run()
    assert planned.degraded_mode
    assert planned.degraded_agents == [DegradedAgent(agent="ta", code="AGENT_ERROR")]
    assert quality(planned) == ALL_WELL | {"ta": {"available": False, "fresh": False}}
    assert (planned.cache_hits, planned.cache_misses) == (0, 3)
    assert planned.plan_md == PLAN["plan_md"]
    assert json.loads(room.agents.last_asked(INSTRUCTOR).content)["SIGNALS"]["TA"] is None


async def test_a_stale_signal_stands_in_for_an_agent_that_is_down(room: DaysRoom) -> None:
    """It is available and not fresh; the session is not degraded, and the plan holds."""
    await room.sync()
    await room.run()
    room.clock.jump(timedelta(hours=73).total_seconds())
    room.agents.refuses["ta"] = 404
    planned = await room.run()
    assert quality(planned) == ALL_WELL | {"ta": {"available": True, "fresh": False}}
    assert (planned.cache_hits, planned.degraded_mode) == (4, False)
    assert room.agents.times_asked(INSTRUCTOR) == 1


async def test_without_any_agent_there_is_a_plan_by_rules(room: DaysRoom) -> None:
    """Everybody failed: the learner goes on, and a repeat tries the instructor again."""
    await room.sync()
    room.agents.refuses = dict.fromkeys([*AGENTS, INSTRUCTOR], 404)
    planned = await room.run()
    assert planned.degraded_mode
    assert {each.agent for each in planned.degraded_agents} == {*AGENTS, INSTRUCTOR}
    assert planned.plan_md.startswith("# Daily Learning Plan")
    assert 0 < sum(box.minutes for box in planned.time_boxes) <= 60
    room.agents.refuses = {}
    again = await room.run()
    assert (again.session_id, again.plan_md) == (planned.session_id, PLAN["plan_md"])
    assert not again.degraded_mode


@pytest.mark.parametrize(
    "said",
    [
        None,
        {"plan_md": "# Plan"},
        {**PLAN, "plan_json": {**PLAN["plan_json"], "steps": []}},
        {**PLAN, "plan_json": {**PLAN["plan_json"], "steps": ["Read (40 min)", "Write (40 min)"]}},
        {**PLAN, "plan_json": {**PLAN["plan_json"], "steps": [{"title": "Read", "minutes": 61}]}},
    ],
)
async def test_an_instructors_plan_that_does_not_fit_is_refused(room: DaysRoom, said: object) -> None:
    """Not a plan, or longer than the day: BAD_SCHEMA, and the plan by rules in its place."""
    await room.sync()
    room.agents.said[INSTRUCTOR] = said
    planned = await room.run()
    assert planned.degraded_agents == [DegradedAgent(agent=INSTRUCTOR, code="BAD_SCHEMA")]
    assert sum(box.minutes for box in planned.time_boxes) <= 60


async def test_an_agent_that_hangs_costs_its_signal_and_no_more(room: DaysRoom) -> None:
    """At its share of the twelve seconds the run goes on without it."""
    await room.sync()
    room.agents.hang.add("socratic")
    planning = asyncio.create_task(room.run())
    await room.hangs("socratic", others=3)
    room.clock.jump(0.6 * LIMIT_S)
    planned = await planning
    assert planned.degraded_agents == [DegradedAgent(agent="socratic", code="TIMEOUT")]
    assert planned.plan_md == PLAN["plan_md"]


async def test_an_instructor_who_hangs_is_replaced_in_time(room: DaysRoom) -> None:
    """By the plan from the signals that came."""
    await room.sync()
    room.agents.hang.add(INSTRUCTOR)
    planning = asyncio.create_task(room.run())
    await room.hangs(INSTRUCTOR, others=4)
    room.clock.jump(0.9 * LIMIT_S)
    planned = await planning
    assert planned.degraded_agents == [DegradedAgent(agent=INSTRUCTOR, code="TIMEOUT")]
    assert quality(planned) == ALL_WELL


async def test_there_is_an_answer_even_if_the_run_stands_still(room: DaysRoom) -> None:
    """A run that nobody works on: the plan by rules at the deadline; what comes later is the next answer."""
    await room.sync()
    room.agents.hang.add("clo")
    planning = asyncio.create_task(room.run())
    await room.hangs("clo", others=3)
    [info] = await room.engine.list(status=[RunStatus.RUNNING], limit=1)
    run = await room.engine.get(info.id)
    await run.pause()
    room.clock.jump(0.95 * LIMIT_S)
    planned = await planning
    assert {each.code for each in planned.degraded_agents} == {"TIMEOUT"}
    assert len(planned.degraded_agents) == len(AGENTS) + 1
    await run.resume()
    await run.result()
    await room.give_up_hanging()
    again = await room.run()
    assert again.session_id == planned.session_id
    assert again.plan_md == PLAN["plan_md"]


async def test_a_failed_run_costs_nobody_the_answer(room: DaysRoom) -> None:
    """Whatever it was: a cancelled run is answered by the plan by rules too."""
    await room.sync()
    room.agents.hang.add("clo")
    planning = asyncio.create_task(room.run())
    await room.hangs("clo", others=3)
    [info] = await room.engine.list(status=[RunStatus.RUNNING], limit=1)
    await (await room.engine.get(info.id)).cancel()
    planned = await planning
    assert {each.code for each in planned.degraded_agents} == {"AGENT_ERROR"}


async def test_two_at_once_are_one_session(any_room: DaysRoom) -> None:
    """Five runs of one day side by side: one id, and one plan."""
    await any_room.sync()
    planned = await asyncio.gather(*[any_room.run(1, 2) for _ in range(5)])
    assert len({each.session_id for each in planned}) == 1
    assert (await any_room.status()).learning_stats.total_sessions == 1


async def test_a_deadline_is_kept_through_a_restart(tmp_path: Path) -> None:
    """A run that was interrupted goes on by the deadline that it began with, not by a new one."""
    agents = ScriptedAgents()
    agents.hang.add("ta")
    async with DaysRoom(tmp_path, agents=agents) as room:
        await room.sync()
        planning = asyncio.create_task(room.run())
        await room.hangs("ta", others=3)
        clock = room.clock
        planning.cancel()
        await asyncio.wait([planning])
    clock.jump(0.7 * LIMIT_S)
    async with DaysRoom(tmp_path, agents=agents, clock=clock) as room:
        [info] = await room.engine.list(limit=1)
        await (await room.engine.get(info.id)).result()
        status = await room.status()
    assert status.latest_session is not None
    assert status.latest_session.degraded_mode
    assert not status.signal_freshness.ta.available


async def test_events_tell_what_happened(room: DaysRoom) -> None:
    """Each with ids, topic, place, state and times, and nothing of notes, goals or what agents said."""
    intent = await room.sync(end_goal="SECRET goal", meta={"about": "SECRET meta"})
    room.agents.said["clo"] = {"from": "SECRET words"}
    room.agents.hang.add("socratic")
    planning = asyncio.create_task(room.run())
    await room.hangs("socratic", others=3)
    room.clock.jump(0.6 * LIMIT_S)
    planned = await planning
    await room.give_up_hanging()
    await room.run()
    room.clock.jump(timedelta(hours=400).total_seconds())
    room.agents.refuses = {"ta": 404, INSTRUCTOR: 404}
    room.agents.said["clo"] = {"from": "other SECRET words"}
    await room.run()
    await room.done(planned.session_id, notes="SECRET notes")
    told = await room.told()

    of_session = {
        "user_id": OWNER,
        "session_id": planned.session_id,
        "intent_id": intent.intent_id,
        "topic": "Machine Learning",
        "week": 1,
        "day": 1,
    }
    assert [kind for kind, _ in told] == [
        "intent_created",
        "orchestrator_agent_timeout",
        "instructor_plan_created",
        "instructor_plan_created",
        "orchestrator_signal_stale",
        "orchestrator_plan_failed",
        "instructor_plan_created",
        "instructor_plan_completed",
    ]
    assert told[0][1].keys() == {"user_id", "intent_id", "topic", "created_at"}
    for kind, data in told[1:]:
        assert data.items() >= of_session.items(), kind
        assert isinstance(data["degraded_mode"], bool)
    timeout, created, stale, failed = told[1][1], told[2][1], told[4][1], told[5][1]
    assert (timeout["agent"], timeout["degraded_mode"]) == ("socratic", True)
    assert (stale["agent"], failed["code"]) == ("ta", "AGENT_ERROR")
    assert created["created_at"].endswith("Z")
    assert told[-1][1]["completed_at"].endswith("Z")
    assert "SECRET" not in json.dumps(told)


async def test_signals_that_nobody_would_use_any_more_go(any_room: DaysRoom) -> None:
    """With the next new one of the same agent; others keep theirs, however old."""
    await any_room.sync()
    await any_room.sync(owner="bob")
    await any_room.run(1, 1)
    await any_room.run(owner="bob")
    any_room.clock.jump(timedelta(days=61).total_seconds())
    await any_room.run(1, 2)
    async with any_room.database.session(SYSTEM) as session:
        kept = await session.rows(
            select(SignalRow.owner, SignalRow.agent, func.count()).group_by(SignalRow.owner, SignalRow.agent)
        )
    assert {(owner, agent): count for owner, agent, count in kept} == {
        (owner, agent): 1 for owner in (OWNER, "bob") for agent in AGENTS
    }
