"""The instructor: a day's plan from the four signals, within the minutes there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import BaseModel, Field, JsonValue, ValidationError

from orchestrator.features.days.agents.clo import LONGEST_TITLE_CHARS, MOST_OUTCOMES
from orchestrator.features.days.agents.composition import (
    MOST_TASKS,
    Contents,
    Signals,
    Step,
    reviews,
    timed,
    written,
)
from orchestrator.features.days.agents.signals import AlexSignal, CloSignal, SocraticSignal, TaSignal
from orchestrator.features.days.agents.wording import (
    DATA,
    UselessError,
    Wording,
    about,
    line,
    lines,
    task_line,
)

if TYPE_CHECKING:
    from orchestrator.features.days.agents.requests import SignalsGiven
    from orchestrator.features.days.agents.signals import DailyPlan
    from orchestrator.features.days.intent import Intent

SignalT = TypeVar("SignalT", bound=BaseModel)


class StepAnswer(BaseModel):
    """Something to do, and how many minutes it takes."""

    task: str
    minutes: int


class PlanAnswer(BaseModel):
    """A day's plan."""

    title: str
    description: str
    outcomes: Annotated[list[str], Field(min_length=1)]
    steps: Annotated[list[StepAnswer], Field(min_length=1)]


def read(given: SignalsGiven) -> tuple[Signals, list[str]]:
    """The signals that came, and the names of those that are not as our agents write them.

    They may be another vendor's, kept from a time when agents lived elsewhere: the plan does without.
    """
    ignored: list[str] = []

    def one(name: str, data: dict[str, JsonValue] | None, shape: type[SignalT]) -> SignalT | None:
        try:
            return None if data is None else shape.model_validate(data)
        except ValidationError:
            ignored.append(name)
            return None

    signals = Signals(
        clo=one("clo", given.clo, CloSignal),
        alex=one("alex", given.alex, AlexSignal),
        ta=one("ta", given.ta, TaSignal),
        socratic=one("socratic", given.socratic, SocraticSignal),
    )
    return signals, ignored


def wording(
    intent: Intent, week: int, day: int, signals: Signals, rules: DailyPlan, generator: str
) -> Wording[PlanAnswer, DailyPlan]:
    """Ask for a plan in the place of that by rules. The reviews that are due stay, and the time is kept."""
    due = reviews(signals)
    minutes = intent.time_per_day_min - sum(step.minutes for step in due)

    def apply(answer: PlanAnswer) -> DailyPlan:
        asked = [step for step in answer.steps if task_line(step.task) and step.minutes > 0][:MOST_TASKS]
        if not asked:
            raise UselessError("no steps with minutes")
        steps = timed([Step(task_line(step.task), step.minutes) for step in asked], minutes)
        contents = Contents(
            title=line(answer.title, LONGEST_TITLE_CHARS),
            description=line(answer.description),
            outcomes=tuple(lines(answer.outcomes, MOST_OUTCOMES)),
            steps=(*due, *steps),
            generator=generator,
        )
        plan = written(intent, week, day, contents, signals.alex)
        return plan.model_copy(update={"ignored_signals": rules.ignored_signals})

    said = {"clo": signals.clo, "alex": signals.alex, "ta": signals.ta, "socratic": signals.socratic}
    came: dict[str, JsonValue] = {name: each.model_dump(mode="json") for name, each in said.items() if each}
    data = {
        **about(intent, week, day),
        "signals": came,
        "by_rules": rules.plan_json.model_dump(mode="json"),
    }
    return Wording(
        system=(
            f"You are an instructor who plans one day of learning. {DATA} Make one plan of the signals: a "
            "title of two to six words that names the contents, a description of one sentence, two to four "
            f"outcomes that begin with a verb, and three to eight steps that take {minutes} minutes "
            "together: practice on this topic, one or two of the questions, and at the end three lines of "
            "notes. Do not plan the reviews; they are planned already and come first. Put no minutes into "
            "the steps' texts."
        ),
        data=data,
        shape=PlanAnswer,
        apply=apply,
    )
