"""Requests and answers, exactly as they are on the wire.

Fields that a request does not have are ignored, as clients of the documented service expect; the field
``meta`` of an intent is the place for what is their own.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Annotated, Final, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from orchestrator.features.days.intent import DAYS_PER_WEEK, LONGEST_DAY_MIN, SHORTEST_DAY_MIN, Depth
from orchestrator.features.days.position import LAST_WEEK
from orchestrator.features.days.tables import (
    LONGEST_GOAL_CHARS,
    LONGEST_NOTES_CHARS,
    LONGEST_TOPIC_CHARS,
    LONGEST_TRACK_CHARS,
)
from orchestrator.web.fields import Line, Text, Time, Whole, at_most, line_schema, text_schema

MOST_META_BYTES: Final = 16 * 1_024
LONGEST_SESSION_MIN: Final = 480
DEFAULT_CONFIDENCE: Final = 5
MOST_CONFIDENT: Final = 10
LONGEST_ID_CHARS: Final = 200


def _known_zone(name: str) -> str:
    if name not in _zones():
        raise ValueError(f"{name[:64]!r} is no time zone; give an IANA name such as America/New_York or UTC")
    return name


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _bounded(meta: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        size = len(json.dumps(meta, ensure_ascii=False, allow_nan=False).encode())
    except (ValueError, RecursionError):
        raise ValueError("it holds what is no JSON: NaN, half a character, or too deep a nesting") from None
    if size > MOST_META_BYTES:
        raise ValueError(f"it takes {size:,} bytes as JSON; at most {MOST_META_BYTES:,} are taken")
    return meta


def _none_if_blank(notes: object) -> object:
    """An empty field of a form says nothing."""
    return None if isinstance(notes, str) and not notes.strip() else notes


class Request(BaseModel):
    """A request: of these types, and of no others that could be read as them."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class IntentSync(Request):
    """What somebody wants to learn. What is optional keeps its value when left out for the same topic."""

    topic: Annotated[
        str, at_most(LONGEST_TOPIC_CHARS), Line, Field(json_schema_extra=line_schema(LONGEST_TOPIC_CHARS))
    ] = Field(description="What to learn, on one line.", examples=["Machine Learning"])
    depth: Depth = Field(description="How deep.")
    end_goal: Annotated[
        str, at_most(LONGEST_GOAL_CHARS), Text, Field(json_schema_extra=text_schema(LONGEST_GOAL_CHARS))
    ] = Field(description="What for.", examples=["Build production ML models"])
    time_per_day_min: Annotated[
        int, Field(ge=SHORTEST_DAY_MIN, le=LONGEST_DAY_MIN, description="Minutes a day."), Whole
    ]
    track_label: (
        Annotated[
            str, at_most(LONGEST_TRACK_CHARS), Line, Field(json_schema_extra=line_schema(LONGEST_TRACK_CHARS))
        ]
        | None
    ) = None
    user_tz: Annotated[str, AfterValidator(_known_zone)] = Field(
        "UTC", description="An IANA time zone.", examples=["America/New_York"]
    )
    meta: Annotated[dict[str, JsonValue], AfterValidator(_bounded)] = Field(
        default_factory=dict, description=f"Anything else, as JSON of up to {MOST_META_BYTES:,} bytes."
    )


class DayRun(Request):
    """Which day to plan."""

    week: Annotated[int, Field(ge=1, le=LAST_WEEK), Whole] = 1
    day: Annotated[int, Field(ge=1, le=DAYS_PER_WEEK), Whole] = 1
    force_refresh: bool = Field(
        default=False, description="Ask all agents anew, and write a new plan, whatever is kept."
    )


class DayDone(Request):
    """How a day went."""

    session_id: str = Field(max_length=LONGEST_ID_CHARS)
    completion_time_min: Annotated[
        int, Field(ge=1, le=LONGEST_SESSION_MIN, description="Minutes that it took."), Whole
    ]
    confidence: Annotated[int, Field(ge=1, le=MOST_CONFIDENT), Whole] = DEFAULT_CONFIDENCE
    notes: Annotated[
        Annotated[
            str, at_most(LONGEST_NOTES_CHARS), Text, Field(json_schema_extra=text_schema(LONGEST_NOTES_CHARS))
        ]
        | None,
        BeforeValidator(_none_if_blank),
    ] = None


class IntentSynced(BaseModel):
    """The active intent."""

    intent_id: str
    active: Literal[True] = True
    topic: str
    depth: Depth
    end_goal: str
    time_per_day_min: int
    user_tz: str
    created_at: Time


class ActiveIntent(BaseModel):
    """The active intent, as status shows it."""

    id: str
    topic: str
    depth: Depth
    end_goal: str
    time_per_day_min: int
    user_tz: str
    created_at: Time


class PlanSummary(BaseModel):
    """A plan in short."""

    title: str
    description: str
    steps: list[str]


class TimeBox(BaseModel):
    """A step of a plan, and the minutes for it."""

    step: str
    minutes: int


class Quality(BaseModel):
    """How good an agent's signal is."""

    available: bool = False
    fresh: bool = Field(default=False, description="Confirmed within the agent's freshness window.")


class Freshness(Quality):
    """The same, with when the agent last confirmed it."""

    last_updated: Time | None = None


class DegradedAgent(BaseModel):
    """An agent that did not do its part, and why: TIMEOUT, RATE_LIMIT, BAD_SCHEMA or AGENT_ERROR."""

    agent: str
    code: str


class OfAgents(BaseModel):
    """Something for each agent."""

    clo: Quality
    alex: Quality
    ta: Quality
    socratic: Quality


class SignalFreshness(BaseModel):
    """How fresh the signal of each agent is now."""

    clo: Freshness
    alex: Freshness
    ta: Freshness
    socratic: Freshness


class DayPlanned(BaseModel):
    """The plan of a day, and how its making went."""

    session_id: str
    plan_md: str
    plan_json_summary: PlanSummary
    time_boxes: list[TimeBox] = Field(description="The steps with their minutes, which fit the day's time.")
    degraded_mode: bool
    degraded_agents: list[DegradedAgent] = Field(
        default_factory=list,
        description="Who failed, where the session is degraded.",
        exclude_if=lambda agents: not agents,
    )
    cache_hits: int
    cache_misses: int
    signal_quality: OfAgents


class Completion(BaseModel):
    """How a day went."""

    completion_time_min: int
    confidence: int
    notes: str | None
    completed_at: Time


class CompletionSummary(BaseModel):
    """How the day of that session went."""

    session_id: str
    completion_time_min: int
    confidence: int
    notes: str | None
    completed_at: Time


class DayCompleted(BaseModel):
    """A day is done; the first completion of a session stands, whatever a later one says."""

    ok: Literal[True] = True
    next_day_hint: str
    completion_summary: CompletionSummary


class LatestSession(BaseModel):
    """The session that was made last."""

    id: str
    week: int
    day: int
    topic: str
    plan_title: str
    degraded_mode: bool
    created_at: Time
    completion: Completion | None


class NextRun(BaseModel):
    """Which plan is prepared next, and when."""

    week: int
    day: int
    estimated_time: Time
    timezone: str


class LearningStats(BaseModel):
    """Numbers over all sessions."""

    total_sessions: int = 0
    completed_sessions: int = 0
    total_time_min: int = 0
    average_confidence: float = Field(0.0, description="To one decimal; 0 before the first completion.")
    current_streak_days: int = Field(0, description="Days in a row, in the learner's time zone.")


class LearningStatus(BaseModel):
    """Where somebody stands."""

    user_id: str
    active_intent: ActiveIntent | None
    latest_session: LatestSession | None
    signal_freshness: SignalFreshness
    next_scheduled_run: NextRun | None
    learning_stats: LearningStats
