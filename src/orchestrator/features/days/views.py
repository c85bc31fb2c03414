"""Rows as people see them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from orchestrator.core.clock import utc
from orchestrator.features.days.day import AGENTS, FRESH_FOR_S, Plan
from orchestrator.features.days.hint import next_day_hint
from orchestrator.features.days.next_run import is_idle
from orchestrator.features.days.position import Position
from orchestrator.features.days.schemas import (
    ActiveIntent,
    Completion,
    CompletionSummary,
    DayCompleted,
    DayPlanned,
    DegradedAgent,
    Freshness,
    IntentSynced,
    LatestSession,
    LearningStats,
    LearningStatus,
    NextRun,
    OfAgents,
    PlanSummary,
    Quality,
    SignalFreshness,
    TimeBox,
)

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.features.days.repository import Overview
    from orchestrator.features.days.tables import DaySessionRow, IntentRow


def synced(row: IntentRow) -> IntentSynced:
    """An intent, as intent.sync answers it."""
    return IntentSynced(intent_id=row.id, **_wanted(row))


def planned(row: DaySessionRow) -> DayPlanned:
    """A session with its plan, as day.run answers it."""
    plan = Plan.model_validate({**row.plan, "markdown": row.plan_md})
    return DayPlanned(
        session_id=row.id,
        plan_md=plan.markdown,
        plan_json_summary=PlanSummary(title=plan.title, description=plan.description, steps=plan.steps),
        time_boxes=[
            TimeBox(step=step, minutes=minutes)
            for step, minutes in zip(plan.steps, plan.minutes, strict=True)
        ],
        degraded_mode=row.degraded_mode,
        degraded_agents=[DegradedAgent.model_validate(each) for each in row.degraded_agents],
        cache_hits=row.cache_hits,
        cache_misses=row.cache_misses,
        signal_quality=OfAgents(
            **{agent: Quality.model_validate(row.signal_quality.get(agent, {})) for agent in AGENTS}
        ),
    )


def completed(row: DaySessionRow) -> DayCompleted:
    """A completed session, as day.done answers it: always the same of the same session."""
    done = _completion(row)
    if done is None:
        raise ValueError(f"session {row.id} is not completed")
    hint = next_day_hint(
        Position(row.week, row.day),
        spent_min=done.completion_time_min,
        planned_min=row.planned_min,
        confidence=done.confidence,
    )
    return DayCompleted(
        next_day_hint=hint, completion_summary=CompletionSummary(session_id=row.id, **dict(done))
    )


def status(owner: str, overview: Overview, now: datetime) -> LearningStatus:
    """Where somebody stands at ``now``."""
    intent = overview.intent
    zone = intent.user_tz if intent else overview.streak.zone if overview.streak else "UTC"
    return LearningStatus(
        user_id=owner,
        active_intent=None if intent is None else ActiveIntent(id=intent.id, **_wanted(intent)),
        latest_session=None if overview.latest is None else _latest(overview.latest),
        signal_freshness=SignalFreshness(
            **{agent: _freshness(agent, overview.confirmed_at.get(agent), now) for agent in AGENTS}
        ),
        next_scheduled_run=None if intent is None else _next_run(intent, now),
        learning_stats=LearningStats(
            total_sessions=overview.totals.sessions,
            completed_sessions=overview.totals.completed,
            total_time_min=overview.totals.time_min,
            average_confidence=_to_one_decimal(overview.totals.average_confidence),
            current_streak_days=0 if overview.streak is None else overview.streak.current(now, zone),
        ),
    )


def _to_one_decimal(number: float) -> float:
    """Half a tenth goes up, as people round; ``round`` would take it to the even tenth."""
    return math.floor(number * 10 + 0.5) / 10


def _wanted(row: IntentRow) -> dict[str, Any]:
    return {
        "topic": row.topic,
        "depth": row.depth,
        "end_goal": row.end_goal,
        "time_per_day_min": row.time_per_day_min,
        "user_tz": row.user_tz,
        "created_at": row.created_at,
    }


def _latest(row: DaySessionRow) -> LatestSession:
    return LatestSession(
        id=row.id,
        week=row.week,
        day=row.day,
        topic=row.topic,
        plan_title=row.plan_title,
        degraded_mode=row.degraded_mode,
        created_at=row.created_at,
        completion=_completion(row),
    )


def _completion(row: DaySessionRow) -> Completion | None:
    if row.completed_at is None or row.completion_time_min is None or row.confidence is None:
        return None
    return Completion(
        completion_time_min=row.completion_time_min,
        confidence=row.confidence,
        notes=row.notes,
        completed_at=row.completed_at,
    )


def _freshness(agent: str, confirmed_at: float | None, now: datetime) -> Freshness:
    if confirmed_at is None:
        return Freshness()
    is_fresh = abs(now.timestamp() - confirmed_at) < FRESH_FOR_S[agent]
    return Freshness(available=True, fresh=is_fresh, last_updated=utc(confirmed_at))


def _next_run(intent: IntentRow, now: datetime) -> NextRun | None:
    """What the schedule will do; None where it will do nothing before somebody does something."""
    if intent.next_run_at is None or is_idle(intent.active_at, max(now, intent.next_run_at)):
        return None
    return NextRun(
        week=intent.next_week,
        day=intent.next_day,
        estimated_time=intent.next_run_at,
        timezone=intent.user_tz,
    )
