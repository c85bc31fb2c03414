"""alex, research: what a model knows of the topic. Without a model research is off: an answer too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from orchestrator.features.days.agents.signals import AlexSignal
from orchestrator.features.days.agents.wording import DATA, Wording, line, lines, plain

if TYPE_CHECKING:
    from orchestrator.features.days.intent import Intent

LONGEST_SUMMARY_CHARS = 1_500
MOST_IDEAS, MOST_MISCONCEPTIONS, MOST_SEARCHES = 5, 3, 4
OFF = AlexSignal(research="off")


class AlexAnswer(BaseModel):
    """What is known of a topic."""

    summary: str
    key_ideas: Annotated[list[str], Field(min_length=1)]
    misconceptions: list[str]
    look_up: list[str]


def wording(intent: Intent) -> Wording[AlexAnswer, AlexSignal]:
    """Ask what the learner should know of the topic before going on."""

    def apply(answer: AlexAnswer) -> AlexSignal:
        return AlexSignal(
            research="on",
            summary=line(answer.summary, LONGEST_SUMMARY_CHARS),
            key_ideas=lines(answer.key_ideas, MOST_IDEAS),
            misconceptions=[line(each) for each in answer.misconceptions if plain(each)][
                :MOST_MISCONCEPTIONS
            ],
            look_up=[line(each) for each in answer.look_up if plain(each)][:MOST_SEARCHES],
        )

    return Wording(
        system=(
            f"You brief learners on a topic. {DATA} Sum up in three to five sentences what matters most at "
            "this depth and for this goal, name up to five key ideas, up to three common misconceptions, and "
            "up to four searches that lead to good sources. Say only what is well established. Give no "
            "addresses, quotations or numbers of which you are not sure."
        ),
        data={"topic": intent.topic, "depth": intent.depth, "end_goal": intent.end_goal},
        shape=AlexAnswer,
        apply=apply,
    )
