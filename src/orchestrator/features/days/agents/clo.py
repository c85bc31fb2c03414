"""clo, the curriculum: what a day is about and what one can do afterwards, by place, depth and end goal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from orchestrator.features.days.agents.curriculum import lesson
from orchestrator.features.days.agents.signals import CloSignal
from orchestrator.features.days.agents.wording import DATA, Wording, about, line, lines

if TYPE_CHECKING:
    from orchestrator.features.days.intent import Intent

MOST_OUTCOMES = 4
LONGEST_TITLE_CHARS = 100


class CloAnswer(BaseModel):
    """A day of the curriculum."""

    title: str
    focus: str
    outcomes: Annotated[list[str], Field(min_length=1)]


def signal(intent: Intent, week: int, day: int) -> CloSignal:
    """The day's place in the curriculum, by rules."""
    found = lesson(intent, week, day)
    return CloSignal(
        week=week,
        day=day,
        title=found.title,
        focus=found.aim,
        standard=found.standard,
        outcomes=list(found.outcomes),
    )


def wording(intent: Intent, rules: CloSignal) -> Wording[CloAnswer, CloSignal]:
    """Ask for the same day with the topic's own contents."""

    def apply(answer: CloAnswer) -> CloSignal:
        return rules.model_copy(
            update={
                "title": line(answer.title, LONGEST_TITLE_CHARS),
                "focus": line(answer.focus),
                "outcomes": lines(answer.outcomes, MOST_OUTCOMES),
            }
        )

    return Wording(
        system=(
            f"You plan curricula. {DATA} 'by_rules' is a day of a curriculum that fits any topic. Say what "
            "it means for this topic, at this depth and towards this goal: a title of two to six words that "
            "names the contents, what to focus on in one sentence, and two to four outcomes that begin with "
            "a verb."
        ),
        data={**about(intent, rules.week, rules.day), "by_rules": rules.model_dump(mode="json")},
        shape=CloAnswer,
        apply=apply,
    )
