"""What our agents are asked, exactly as on the wire."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from orchestrator.db.tables import LONGEST_OWNER_CHARS
from orchestrator.features.days.intent import (
    DAYS_PER_WEEK,
    LONGEST_DAY_MIN,
    SHORTEST_DAY_MIN,
    Depth,
    Intent,
)
from orchestrator.features.days.position import LAST_WEEK
from orchestrator.features.days.tables import LONGEST_GOAL_CHARS, LONGEST_TOPIC_CHARS, LONGEST_ZONE_CHARS
from orchestrator.web.fields import Line, Text, Whole, at_most, line_schema, text_schema

# Whatever a token may call somebody: any text without control characters.
UserId = Annotated[str, Field(min_length=1, max_length=LONGEST_OWNER_CHARS, pattern=r"^[^\u0000-\u001f]+$")]
Topic = Annotated[
    str, at_most(LONGEST_TOPIC_CHARS), Line, Field(json_schema_extra=line_schema(LONGEST_TOPIC_CHARS))
]
Goal = Annotated[
    str, at_most(LONGEST_GOAL_CHARS), Text, Field(json_schema_extra=text_schema(LONGEST_GOAL_CHARS))
]
Week = Annotated[int, Field(ge=1, le=LAST_WEEK, description="The week, from 1."), Whole]
Day = Annotated[int, Field(ge=1, le=DAYS_PER_WEEK, description="The day of the week, from 1 to 5."), Whole]
Said = Annotated[dict[str, JsonValue] | None, Field(description="The agent's data; null if it said nothing.")]
Count = Annotated[int, Field(ge=0), Whole]


class _Given(BaseModel):
    """A part of the instructor's request. Its names are in capitals; members unknown to us are let go."""

    model_config = ConfigDict(frozen=True, strict=True, alias_generator=str.upper, validate_by_name=True)


class SignalsGiven(_Given):
    """What the agents said; null where one said nothing."""

    clo: Said = None
    alex: Said = None
    ta: Said = None
    socratic: Said = None


class CacheStats(BaseModel):
    """How many of the signals came from the cache."""

    model_config = ConfigDict(frozen=True, strict=True)

    hits: Count = Field(0, description="Signals that were kept.")
    misses: Count = Field(0, description="Signals that were asked for.")


class DailyRequest(_Given):
    """A day to be planned, with the signals that there are."""

    user_id: UserId = Field(description="Whose day it is.")
    user_tz: str = Field("UTC", max_length=LONGEST_ZONE_CHARS, description="An IANA time zone.")
    topic: Topic = Field(description="What to learn.")
    depth: Depth = Field(description="How deep.")
    end_goal: Goal = Field(description="What for.")
    time_per_day_min: Annotated[
        int, Field(ge=SHORTEST_DAY_MIN, le=LONGEST_DAY_MIN, description="Minutes a day."), Whole
    ]
    week: Week
    day: Day
    clarifier_topic_spec: JsonValue = Field(None, description="Taken, and not needed.")
    signals: SignalsGiven = Field(SignalsGiven(), description="What the agents said.")
    signal_quality: dict[str, JsonValue] = Field({}, description="How good that is; not needed.")
    cache_stats: CacheStats = Field(CacheStats(), description="Where it came from; not needed.")

    @classmethod
    def of(cls, user: str, intent: Intent, week: int, day: int, signals: SignalsGiven) -> Self:
        """The request for this day of that intent."""
        return cls(
            user_id=user,
            user_tz=intent.user_tz,
            topic=intent.topic,
            depth=intent.depth,
            end_goal=intent.end_goal,
            time_per_day_min=intent.time_per_day_min,
            week=week,
            day=day,
            signals=signals,
        )

    @property
    def intent(self) -> Intent:
        """What the learner wants."""
        return Intent(self.topic, self.depth, self.end_goal, self.time_per_day_min, self.user_tz)
