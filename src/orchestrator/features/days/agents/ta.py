"""ta, the teaching assistant: practice sized to the minutes there are, and reviews by spaced repetition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from orchestrator.features.days.agents.curriculum import position, worded
from orchestrator.features.days.agents.signals import DueReview, Practice, TaSignal
from orchestrator.features.days.agents.spaced_repetition import reviews_due
from orchestrator.features.days.agents.timeboxes import frame, shares
from orchestrator.features.days.agents.units import Task
from orchestrator.features.days.agents.wording import DATA, UselessError, Wording, about, task_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from orchestrator.features.days.agents.history import DayDone
    from orchestrator.features.days.intent import Intent

STRETCH_FROM_MIN = 75  # with so much practice on one day there is one task more
STRETCH_WEIGHT = 3
MOST_TASKS = 5


class TaskAnswer(BaseModel):
    """Something to do, and how many minutes it takes."""

    task: str
    minutes: int


class TaAnswer(BaseModel):
    """The practice of a day."""

    practice: Annotated[list[TaskAnswer], Field(min_length=1)]


def signal(intent: Intent, week: int, day: int, done: Iterable[DayDone], today: date) -> TaSignal:
    """The day's practice and reviews, by rules. The day itself is not among its reviews."""
    allowed = frame(intent.time_per_day_min)
    before = [each for each in done if (each.week, each.day) != (week, day)]
    reviews = [
        DueReview(
            title=due.title,
            week=due.week,
            day=due.day,
            due_on=due.due_on,
            recall_percent=due.recall_percent,
            minutes=allowed.review,
        )
        for due in reviews_due(before, today, intent.user_tz, allowed.most_reviews)
    ]
    return TaSignal(reviews=reviews, practice=practice(intent, week, day, allowed.practice(len(reviews))))


def practice(intent: Intent, week: int, day: int, minutes: int) -> list[Practice]:
    """The tasks of the day's unit, which together take exactly ``minutes``."""
    place = position(intent.depth, week, day)
    extra = (Task(place.stage.stretch, STRETCH_WEIGHT),) if minutes >= STRETCH_FROM_MIN else ()
    tasks = [*place.unit.tasks, *extra]
    given = shares(minutes, [task.weight for task in tasks])
    return [
        Practice(task=worded(task.text, intent), minutes=share)
        for task, share in zip(tasks, given, strict=True)
    ]


def wording(intent: Intent, week: int, day: int, rules: TaSignal) -> Wording[TaAnswer, TaSignal]:
    """Ask for tasks of the topic itself in the place of those that fit any topic; the reviews stay."""
    minutes = sum(each.minutes for each in rules.practice)

    def apply(answer: TaAnswer) -> TaSignal:
        tasks = [each for each in answer.practice if task_line(each.task) and each.minutes > 0][:MOST_TASKS]
        if not tasks:
            raise UselessError("no tasks with minutes")
        given = shares(minutes, [task.minutes for task in tasks])
        made = [
            Practice(task=task_line(task.task), minutes=share)
            for task, share in zip(tasks, given, strict=True)
        ]
        return rules.model_copy(update={"practice": made})

    return Wording(
        system=(
            f"You are a teaching assistant. {DATA} 'by_rules' has practice that fits any topic. Replace it "
            f"by two to five tasks on this topic, at this depth, that take {minutes} minutes together, need "
            "no teacher, and can be checked by the learner."
        ),
        data={**about(intent, week, day), "by_rules": rules.model_dump(mode="json")},
        shape=TaAnswer,
        apply=apply,
    )
