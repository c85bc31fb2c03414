"""A day's plan from the signals that there are: the one rule by which all plans are put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.agents.offline.markdown import bulleted, escaped
from orchestrator.features.days.agents import clo, socratic, ta
from orchestrator.features.days.agents.curriculum import STANDARDS
from orchestrator.features.days.agents.signals import RULES, DailyPlan, PlanJson
from orchestrator.features.days.agents.timeboxes import fitted, frame
from orchestrator.features.days.intent import DAYS_PER_WEEK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.features.days.agents.signals import AlexSignal, CloSignal, SocraticSignal, TaSignal
    from orchestrator.features.days.intent import Intent

CLOSING = "Write down in three lines what you learned, and how sure you are of it from 1 to 10"
# Whoever answers for an agent, the steps stay fewer than the minutes of the shortest day.
MOST_TASKS, MOST_REVIEWS = 8, 3
BREAK = "Take a break away from the screen"


@dataclass(frozen=True, slots=True)
class Signals:
    """The four signals; None where one is missing."""

    clo: CloSignal | None = None
    alex: AlexSignal | None = None
    ta: TaSignal | None = None
    socratic: SocraticSignal | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do, and the minutes for it."""

    task: str
    minutes: int

    @property
    def text(self) -> str:
        """As a plan shows it."""
        return f"{self.task} ({self.minutes} min)"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a plan says, before it is written down."""

    title: str
    description: str
    outcomes: tuple[str, ...]
    steps: tuple[Step, ...]
    generator: str = RULES


def composed(intent: Intent, week: int, day: int, signals: Signals) -> Contents:
    """Put a plan together by rules. Where a signal is missing, its place is filled from the curriculum alone.

    The steps' minutes are at most ``intent.time_per_day_min`` together.
    """
    about = signals.clo or clo.signal(intent, week, day)
    return Contents(about.title, about.focus, tuple(about.outcomes), steps(intent, week, day, signals))


def steps(intent: Intent, week: int, day: int, signals: Signals) -> tuple[Step, ...]:
    """Reviews first, since recalling warms up; practice with breaks; questions; a look back."""
    allowed = frame(intent.time_per_day_min)
    reviewed = reviews(signals)
    practice = (
        signals.ta.practice[:MOST_TASKS]
        if signals.ta and signals.ta.practice
        else ta.practice(intent, week, day, allowed.practice(len(reviewed)))
    )
    asked = [each.question for each in signals.socratic.questions] if signals.socratic else []
    asked = asked or socratic.general_questions(intent, DAYS_PER_WEEK * (week - 1) + day - 1)
    done = [Step(each.task, each.minutes) for each in practice]
    planned = [
        *reviewed,
        *_with_breaks(done, allowed.breaks, allowed.break_),
        *(Step(_answer(each), allowed.question) for each in asked[: allowed.most_questions]),
        Step(CLOSING, allowed.closing),
    ]
    return timed(planned, intent.time_per_day_min)


def reviews(signals: Signals) -> list[Step]:
    """The reviews that are due, as steps."""
    due = signals.ta.reviews[:MOST_REVIEWS] if signals.ta else []
    return [
        Step(
            f"Recall “{each.title}” (week {each.week}, day {each.day}) without looking, then check",
            each.minutes,
        )
        for each in due
    ]


def timed(planned: Sequence[Step], minutes: int) -> tuple[Step, ...]:
    """The same steps, shortened where together they would take more than ``minutes``."""
    given = fitted([step.minutes for step in planned], minutes)
    return tuple(Step(step.task, share) for step, share in zip(planned, given, strict=True))


def written(
    intent: Intent, week: int, day: int, contents: Contents, research: AlexSignal | None = None
) -> DailyPlan:
    """The plan as the instructor answers it. Whatever came from people or models is shown, never obeyed."""
    texts = [step.text for step in contents.steps]
    total = sum(step.minutes for step in contents.steps)
    standard = STANDARDS[intent.depth]
    parts = [
        "# Daily Learning Plan",
        f"## Today's Focus: {escaped(contents.title)}",
        f"Week {week}, day {day} of {DAYS_PER_WEEK}. {total} minutes. Your goal: {escaped(intent.end_goal)}",
        escaped(contents.description),
        "### What you can do afterwards",
        bulleted([escaped(outcome) for outcome in contents.outcomes]),
        f"How deep: {intent.depth}, {standard}.",
        "### Steps",
        "\n".join(f"{number}. {escaped(text)}" for number, text in enumerate(texts, start=1)),
        *_researched(research),
        f"Planned by {_author(contents.generator)}.",
    ]
    return DailyPlan(
        generator=contents.generator,
        plan_md="\n\n".join(parts) + "\n",
        plan_json=PlanJson(title=contents.title, description=contents.description, steps=texts),
        research_summary=research.summary if research else None,
    )


def _with_breaks(practice: list[Step], breaks: int, minutes: int) -> list[Step]:
    """Practice with breaks spread over it, never before the first or after the last task."""
    after = {round(number * len(practice) / (breaks + 1)) for number in range(1, breaks + 1)}
    spread: list[Step] = []
    for place, step in enumerate(practice):
        if place in after and spread:
            spread.append(Step(BREAK, minutes))
        spread.append(step)
    return spread


def _answer(question: str) -> str:
    return f"Answer in writing, without looking: {question}"


def _researched(research: AlexSignal | None) -> list[str]:
    if research is None or research.summary is None:
        return []
    known = bulleted([escaped(idea) for idea in research.key_ideas])
    mistaken = bulleted([escaped(each) for each in research.misconceptions])
    searches = "; ".join(escaped(search) for search in research.look_up)
    return [
        "### Research",
        escaped(research.summary),
        *([known] if known else []),
        *(["Often believed, and wrong:", mistaken] if mistaken else []),
        *([f"Look up: {searches}."] if searches else []),
        f"This is what {escaped(research.generator)} knows of it; check it before you rely on it.",
    ]


def _author(generator: str) -> str:
    return "rules, without a language model" if generator == RULES else escaped(generator)
