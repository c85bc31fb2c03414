"""Reading what an instructor answers: a plan whose steps fit the day's time, or none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from orchestrator.features.days.day import Plan
from orchestrator.features.days.tables import LONGEST_TITLE_CHARS

if TYPE_CHECKING:
    from pydantic import JsonValue

MOST_STEPS: Final = 60
LONGEST_STEP_CHARS: Final = 1_000
LONGEST_PLAN_CHARS: Final = 200_000
# How a step ends that says its minutes: "Review basics (15 min)", "Review basics - 15 minutes".
_MINUTES: Final = re.compile(r"\b(\d{1,4})\s*min(?:ute)?s?\b\.?\W*$", re.IGNORECASE)

StepText = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_STEP_CHARS)]


class BadPlanError(ValueError):
    """What came is no plan for the time that there is; the message says why, in our own words."""


class _Step(BaseModel):
    """A step that says its minutes apart."""

    model_config = ConfigDict(strict=True)

    title: StepText
    minutes: int | None = Field(None, ge=1)


class _PlanJson(BaseModel):
    model_config = ConfigDict(strict=True)

    title: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_TITLE_CHARS)]
    description: str = Field(max_length=LONGEST_PLAN_CHARS)
    steps: list[StepText | _Step] = Field(min_length=1, max_length=MOST_STEPS)


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True)

    plan_md: str = Field(min_length=1, max_length=LONGEST_PLAN_CHARS)
    plan_json: _PlanJson
    research_summary: str | None = Field(None, max_length=LONGEST_PLAN_CHARS)


def read_plan(data: JsonValue, time_min: int) -> Plan:
    """The plan in an instructor's ``data``, for a day of ``time_min`` minutes.

    Steps say their minutes at their end or apart; those that say none share what is left of the time.

    Raises:
        BadPlanError: it is no plan, or its steps take longer than the day has.
    """
    try:
        answer = _Answer.model_validate(data)
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(map(str, fault["loc"][:2])) for fault in error.errors()}))
        raise BadPlanError(f"wrong or missing: {fields}") from None
    steps = [each if isinstance(each, str) else each.title for each in answer.plan_json.steps]
    stated = [_stated(each) for each in answer.plan_json.steps]
    return Plan(
        title=answer.plan_json.title,
        description=answer.plan_json.description,
        steps=steps,
        minutes=_boxed(stated, time_min),
        markdown=answer.plan_md,
        research_summary=answer.research_summary,
    )


def _stated(step: str | _Step) -> int | None:
    """The minutes that a step says it takes."""
    if isinstance(step, _Step) and step.minutes is not None:
        return step.minutes
    said = _MINUTES.search(step if isinstance(step, str) else step.title)
    return (int(said[1]) or None) if said else None


def _boxed(stated: list[int | None], time_min: int) -> list[int]:
    """Minutes for every step, together no more than there are.

    Raises:
        BadPlanError: there are not enough.
    """
    silent = stated.count(None)
    left = time_min - sum(minutes for minutes in stated if minutes is not None)
    if left < silent:
        raise BadPlanError(f"its steps take longer than the {time_min} minutes that there are")
    share, longer = divmod(left, silent) if silent else (0, 0)
    shares = iter([share + 1] * longer + [share] * (silent - longer))
    return [next(shares) if minutes is None else minutes for minutes in stated]
