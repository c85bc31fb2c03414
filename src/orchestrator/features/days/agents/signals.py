"""What our agents answer: the ``data`` of each signal, and the instructor's plan, exactly as on the wire."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

RULES: Final = "rules"

Generator = Annotated[str, Field(description="Who wrote it: the model's name, or `rules`.")]
Fallback = Annotated[
    str | None, Field(description="Why rules wrote it although there is a model: the error's code.")
]


Week = Annotated[int, Field(description="The week, from 1.")]
Day = Annotated[int, Field(description="The day of the week.")]


class Signal(BaseModel):
    """What all signals say."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)

    generator: Generator = RULES
    fallback: Fallback = None


class CloSignal(Signal):
    """Curriculum: what the day is about, and what one can do afterwards."""

    week: Week
    day: Day
    title: str = Field(description="What the day is about.")
    focus: str = Field(description="What to turn to on it.")
    standard: str = Field(description="How well, by the depth of the intent.")
    outcomes: list[str] = Field(description="What one can do afterwards.")


class Practice(BaseModel):
    """Something to do, with the minutes for it."""

    model_config = ConfigDict(frozen=True)

    task: str = Field(min_length=1, description="What to do.")
    minutes: int = Field(ge=1, description="For how long.")


class DueReview(BaseModel):
    """A day to look at again, by spaced repetition."""

    model_config = ConfigDict(frozen=True)

    title: str = Field(description="What that day was about.")
    week: Week
    day: Day
    due_on: date = Field(description="From when on it should be looked at again.")
    recall_percent: int = Field(description="The chance that it is still known, from 0 to 100.")
    minutes: int = Field(ge=1, description="For how long.")


class TaSignal(Signal):
    """Practice, sized to the time, and reviews that are due."""

    reviews: list[DueReview] = Field(description="What is due, the most forgotten first.")
    practice: list[Practice] = Field(description="What to do, in order.")


class Question(BaseModel):
    """A question to answer without looking, and why it is asked."""

    model_config = ConfigDict(frozen=True)

    question: str = Field(description="The question.")
    why: Literal["notes", "low_confidence", "general"] = Field(description="What it comes from.")


class SocraticSignal(Signal):
    """Questions, from earlier notes and days of low confidence where there are any."""

    questions: list[Question] = Field(description="In order.")


class AlexSignal(Signal):
    """Research: what a model knows of the topic. Without a model it is off, and that is an answer too."""

    research: Literal["on", "off"] = Field(description="Whether a model was asked.")
    summary: str | None = Field(None, description="The topic in a few sentences.")
    key_ideas: list[str] = Field([], description="What it rests on.")
    misconceptions: list[str] = Field([], description="What many get wrong.")
    look_up: list[str] = Field([], description="What to search for; a model's addresses cannot be trusted.")


class PlanJson(BaseModel):
    """A plan in short. Each step ends with its minutes."""

    model_config = ConfigDict(frozen=True)

    title: str = Field(description="What the day is about.")
    description: str = Field(description="The same in a sentence.")
    steps: list[str] = Field(description="What to do, in order.")


class DailyPlan(Signal):
    """What the instructor answers."""

    plan_md: str = Field(description="The plan, as Markdown.")
    plan_json: PlanJson = Field(description="The same in short.")
    research_summary: str | None = Field(None, description="What research adds; null where there is none.")
    ignored_signals: list[str] = Field([], description="Signals that could not be read: clo, alex, …")
