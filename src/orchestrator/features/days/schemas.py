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


Week = Annotated[int, Field(description="The week, from 1.")]
Day = Annotated[int, Field(description=f"The day of the week, from 1 to {DAYS_PER_WEEK}.")]
SessionId = Annotated[str, Field(description="The id of the day's session.")]
PlanTitle = Annotated[str, Field(description="What the day is about.")]
IsDegraded = Annotated[
    bool, Field(description="Whether the plan was made without what some agent should have said.")
]
Asked = Annotated[str, Field(description="What to learn, as it was asked for.")]
DepthAsked = Annotated[Depth, Field(description="How deep.")]
GoalAsked = Annotated[str, Field(description="What for.")]
MinutesADay = Annotated[int, Field(description="Minutes a day.")]
Zone = Annotated[str, Field(description="The learner's time zone, an IANA name.")]
IntentBegan = Annotated[Time, Field(description="When it began.")]
MinutesSpent = Annotated[int, Field(description="Minutes that it took.")]
Confidence = Annotated[int, Field(description=f"How sure the learner is of it, from 1 to {MOST_CONFIDENT}.")]
Notes = Annotated[str | None, Field(description="What the learner noted.")]
CompletedAt = Annotated[Time, Field(description="When it was said to be done.")]


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
    ) = Field(None, description="What you call it, on one line.")
    user_tz: Annotated[str, AfterValidator(_known_zone)] = Field(
        "UTC", description="An IANA time zone.", examples=["America/New_York"]
    )
    meta: Annotated[dict[str, JsonValue], AfterValidator(_bounded)] = Field(
        default_factory=dict, description=f"Anything else, as JSON of up to {MOST_META_BYTES:,} bytes."
    )


class DayRun(Request):
    """Which day to plan."""

    week: Annotated[int, Field(ge=1, le=LAST_WEEK, description="The week, from 1."), Whole] = 1
    day: Annotated[int, Field(ge=1, le=DAYS_PER_WEEK, description="The day of the week."), Whole] = 1
    force_refresh: bool = Field(
        default=False, description="Ask all agents anew, and write a new plan, whatever is kept."
    )


class DayDone(Request):
    """How a day went."""

    session_id: str = Field(max_length=LONGEST_ID_CHARS, description="As `day.run` gave it.")
    completion_time_min: Annotated[
        int, Field(ge=1, le=LONGEST_SESSION_MIN, description="Minutes that it took."), Whole
    ]
    confidence: Annotated[
        int, Field(ge=1, le=MOST_CONFIDENT, description="How sure you are of what you learnt."), Whole
    ] = DEFAULT_CONFIDENCE
    notes: Annotated[
        Annotated[
            str, at_most(LONGEST_NOTES_CHARS), Text, Field(json_schema_extra=text_schema(LONGEST_NOTES_CHARS))
        ]
        | None,
        BeforeValidator(_none_if_blank),
    ] = Field(None, description="What went well, and what did not; the next plans go by it.")


class Told(BaseModel):
    """An answer, which has all of its fields."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class IntentSynced(Told):
    """The active intent."""

    intent_id: str = Field(description="Its id, the same for as long as the topic is.")
    active: Literal[True] = Field(default=True, description="One intent is active at a time: this one.")
    topic: Asked
    depth: DepthAsked
    end_goal: GoalAsked
    time_per_day_min: MinutesADay
    user_tz: Zone
    created_at: IntentBegan


class ActiveIntent(BaseModel):
    """The active intent, as status shows it."""

    id: str = Field(description="Its id.")
    topic: Asked
    depth: DepthAsked
    end_goal: GoalAsked
    time_per_day_min: MinutesADay
    user_tz: Zone
    created_at: IntentBegan


class PlanSummary(BaseModel):
    """A plan in short."""

    title: PlanTitle
    description: str = Field(description="The same in a sentence.")
    steps: list[str] = Field(description="What to do, in order.")


class TimeBox(BaseModel):
    """A step of a plan, and the minutes for it."""

    step: str = Field(description="What to do.")
    minutes: int = Field(description="For how long.")


class Quality(Told):
    """How good an agent's signal is."""

    available: bool = Field(default=False, description="Whether there is one at all.")
    fresh: bool = Field(default=False, description="Confirmed within the agent's freshness window.")


class Freshness(Quality):
    """The same, with when the agent last confirmed it."""

    last_updated: Time | None = Field(None, description="When; null if it never did.")


class DegradedAgent(BaseModel):
    """An agent that did not do its part, and why."""

    agent: str = Field(description="clo, alex, ta, socratic or instructor.")
    code: str = Field(description="TIMEOUT, RATE_LIMIT, BAD_SCHEMA or AGENT_ERROR.")


class OfAgents(BaseModel):
    """Something for each agent."""

    clo: Quality = Field(description="Curriculum.")
    alex: Quality = Field(description="Research.")
    ta: Quality = Field(description="Practice and reviews.")
    socratic: Quality = Field(description="Questions.")


class SignalFreshness(BaseModel):
    """How fresh the signal of each agent is now."""

    clo: Freshness = Field(description="Curriculum.")
    alex: Freshness = Field(description="Research.")
    ta: Freshness = Field(description="Practice and reviews.")
    socratic: Freshness = Field(description="Questions.")


class DayPlanned(BaseModel):
    """The plan of a day, and how its making went."""

    session_id: SessionId
    plan_md: str = Field(description="The plan, as Markdown.")
    plan_json_summary: PlanSummary = Field(description="The same in short.")
    time_boxes: list[TimeBox] = Field(description="The steps with their minutes, which fit the day's time.")
    degraded_mode: IsDegraded
    degraded_agents: list[DegradedAgent] = Field(
        default_factory=list,
        description="Who failed, where the session is degraded.",
        exclude_if=lambda agents: not agents,
    )
    cache_hits: int = Field(description="How many of the four signals came from what was kept.")
    cache_misses: int = Field(description="How many had to be asked for.")
    signal_quality: OfAgents = Field(description="What the plan was made from.")


class Completion(BaseModel):
    """How a day went."""

    completion_time_min: MinutesSpent
    confidence: Confidence
    notes: Notes
    completed_at: CompletedAt


class CompletionSummary(BaseModel):
    """How the day of that session went."""

    session_id: SessionId
    completion_time_min: MinutesSpent
    confidence: Confidence
    notes: Notes
    completed_at: CompletedAt


class DayCompleted(Told):
    """A day is done; the first completion of a session stands, whatever a later one says."""

    ok: Literal[True] = Field(default=True, description="It is kept.")
    next_day_hint: str = Field(description="What to turn to next, from how it went.")
    completion_summary: CompletionSummary = Field(description="What was kept.")


class LatestSession(BaseModel):
    """The session that was made last."""

    id: SessionId
    week: Week
    day: Day
    topic: Asked
    plan_title: PlanTitle
    degraded_mode: IsDegraded
    created_at: Time = Field(description="When it was made.")
    completion: Completion | None = Field(description="How the day went; null until it is done.")


class NextRun(BaseModel):
    """Which plan is prepared next, and when."""

    week: Week
    day: Day
    estimated_time: Time = Field(description="When it is prepared.")
    timezone: Zone


class LearningStats(Told):
    """Numbers over all sessions."""

    total_sessions: int = Field(0, description="Days that were planned.")
    completed_sessions: int = Field(0, description="Days that were done.")
    total_time_min: int = Field(0, description="Minutes that these took.")
    average_confidence: float = Field(0.0, description="To one decimal; 0 before the first completion.")
    current_streak_days: int = Field(0, description="Days in a row, in the learner's time zone.")


class LearningStatus(BaseModel):
    """Where somebody stands."""

    user_id: str = Field(description="Who it is about.")
    active_intent: ActiveIntent | None = Field(description="What is learnt; null before the first intent.")
    latest_session: LatestSession | None = Field(description="The last day; null before the first one.")
    signal_freshness: SignalFreshness = Field(description="What agents said, and how fresh it is.")
    next_scheduled_run: NextRun | None = Field(
        description="The next plan; null where none is prepared before something is done."
    )
    learning_stats: LearningStats = Field(description="Numbers over all days.")
