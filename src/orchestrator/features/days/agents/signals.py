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


class Signal(BaseModel):
    """What all signals say."""

    model_config = ConfigDict(frozen=True)

    generator: Generator = RULES
    fallback: Fallback = None


class CloSignal(Signal):
    """Curriculum: what the day is about, and what one can do afterwards."""

    week: int
    day: int
    title: str
    focus: str
    standard: str = Field(description="How well, by the depth of the intent.")
    outcomes: list[str]


class Practice(BaseModel):
    """Something to do, with the minutes for it."""

    model_config = ConfigDict(frozen=True)

    task: str = Field(min_length=1)
    minutes: int = Field(ge=1)


class DueReview(BaseModel):
    """A day to look at again, by spaced repetition."""

    model_config = ConfigDict(frozen=True)

    title: str
    week: int
    day: int
    due_on: date
    recall_percent: int = Field(description="The chance that it is still known, from 0 to 100.")
    minutes: int = Field(ge=1)


class TaSignal(Signal):
    """Practice, sized to the time, and reviews that are due."""

    reviews: list[DueReview]
    practice: list[Practice]


class Question(BaseModel):
    """A question to answer without looking, and why it is asked."""

    model_config = ConfigDict(frozen=True)

    question: str
    why: Literal["notes", "low_confidence", "general"]


class SocraticSignal(Signal):
    """Questions, from earlier notes and days of low confidence where there are any."""

    questions: list[Question]


class AlexSignal(Signal):
    """Research: what a model knows of the topic. Without a model it is off, and that is an answer too."""

    research: Literal["on", "off"]
    summary: str | None = None
    key_ideas: list[str] = []
    misconceptions: list[str] = []
    look_up: list[str] = Field([], description="What to search for; a model's addresses cannot be trusted.")


class PlanJson(BaseModel):
    """A plan in short. Each step ends with its minutes."""

    model_config = ConfigDict(frozen=True)

    title: str
    description: str
    steps: list[str]


class DailyPlan(Signal):
    """What the instructor answers."""

    plan_md: str
    plan_json: PlanJson
    research_summary: str | None = None
    ignored_signals: list[str] = Field([], description="Signals that could not be read: clo, alex, …")
