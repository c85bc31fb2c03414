"""socratic, who asks: from earlier notes and days of low confidence, and in general where there are none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BaseModel, Field

from orchestrator.agents.offline.markdown import sentence_case
from orchestrator.features.days.agents.curriculum import topic_name
from orchestrator.features.days.agents.signals import Question, SocraticSignal
from orchestrator.features.days.agents.wording import DATA, Wording, lines, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import JsonValue

    from orchestrator.features.days.agents.history import DayDone
    from orchestrator.features.days.intent import Intent

Why = Literal["notes", "low_confidence", "general"]

QUESTIONS = 4  # as many as the longest day has time for, and one to choose from
RECENT_DAYS = 5
HIGHEST_LOW_CONFIDENCE = 6  # 7 is not yet high, and no longer low
SHORTEST_NOTES_CHARS = 12  # "ok" and "went well" leave nothing to ask
LONGEST_QUOTE_CHARS = 160
LONGEST_TROUBLE_CHARS = 60
LONGEST_NOTES_CHARS = 1_000

_GENERAL: Final = (
    "What is {topic} about, in one sentence that somebody new to it understands?",
    "Which part of {topic} could you explain to a twelve-year-old, and how?",
    "Which two things in {topic} are easily confused, and what is the difference?",
    "Where did you last meet {topic}, and what did you not notice then?",
    "What are the main parts of {topic}, and what would be missing without each?",
    "What did you believe about {topic} that you no longer believe?",
    "Which example of {topic} would you show somebody first, and why that one?",
    "What would you ask an expert on {topic} if you had a single question?",
    "Which part of {topic} do you put off, and what would be the smallest way into it?",
    "What can you do by now, on {topic}, that you could not do at first?",
)
# What was hard, as English notes say it, up to where they turn to something else.
_TROUBLE: Final = re.compile(
    r"\b(?:(?:struggl\w+|stuck|trouble|difficult\w*) with|stuck (?:on|at)|confused (?:about|by)"
    r"|(?:unsure|not sure|unclear) about"
    r"|(?:struggl\w+ to|could not|did not|do not|couldn't|didn't|don't) (?:understand|see|get))"
    r" (?P<what>[^.;,!?]+?)(?= (?:but|and|though|although|yet|because|so|when|while)\b|[.;,!?]|$)",
    re.IGNORECASE,
)


class SocraticAnswer(BaseModel):
    """Questions to a learner."""

    questions: Annotated[list[str], Field(min_length=1)]


def signal(intent: Intent, done: Sequence[DayDone]) -> SocraticSignal:
    """Questions by rules: about the latest notes, then the least sure days, then the topic as a whole."""
    latest = list(done)[: -RECENT_DAYS - 1 : -1]
    noted = [each for each in latest if len(plain(each.notes)) >= SHORTEST_NOTES_CHARS]
    unsure = sorted(
        (each for each in latest if each not in noted and each.confidence <= HIGHEST_LOW_CONFIDENCE),
        key=lambda each: each.confidence,
    )
    # What was noted on several days is asked about once: on the latest.
    once = {_subject_of(each): each for each in reversed(noted)}
    asked_of = sorted(once.values(), key=lambda each: each.done_at, reverse=True)[: QUESTIONS - 1]
    own = [*map(_of_notes, asked_of), *map(_of_confidence, unsure)]
    general = [Question(question=asked, why="general") for asked in general_questions(intent, len(done))]
    return SocraticSignal(questions=[*own, *general][:QUESTIONS])


def general_questions(intent: Intent, turn: int) -> list[str]:
    """Questions that fit any topic, beginning with another one at each turn."""
    name = topic_name(intent.topic)
    asked = [_GENERAL[(turn + place) % len(_GENERAL)] for place in range(QUESTIONS)]
    return [each.format(topic=name) for each in asked]


def wording(
    intent: Intent, done: Sequence[DayDone], rules: SocraticSignal
) -> Wording[SocraticAnswer, SocraticSignal]:
    """Ask for questions on the topic itself, where the notes show that something is missing."""
    latest = list(done)[: -RECENT_DAYS - 1 : -1]
    has_notes = any(plain(each.notes) for each in latest)
    why: Why = "notes" if has_notes else "low_confidence" if latest else "general"
    days: list[JsonValue] = [
        {
            "title": each.title,
            "confidence_of_10": each.confidence,
            "notes": each.notes[:LONGEST_NOTES_CHARS],
        }
        for each in latest
    ]

    def apply(answer: SocraticAnswer) -> SocraticSignal:
        asked = [Question(question=each, why=why) for each in lines(answer.questions, QUESTIONS)]
        return rules.model_copy(update={"questions": asked})

    return Wording(
        system=(
            f"You ask as Socrates did. {DATA} 'latest_days' are what the learner did last, the latest first. "
            "Ask two to four questions, the most useful first, that lead to what the notes show is not "
            "understood, or, without notes, to what is easily misunderstood in this topic at this depth. "
            "Give no answers."
        ),
        data={
            "topic": intent.topic,
            "depth": intent.depth,
            "end_goal": intent.end_goal,
            "latest_days": days,
            "by_rules": rules.model_dump(mode="json"),
        },
        shape=SocraticAnswer,
        apply=apply,
    )


def _of_notes(done: DayDone) -> Question:
    """Go back to what was hard where the notes name it, else to what they say."""
    notes = plain(done.notes[:LONGEST_NOTES_CHARS])
    if what := _trouble(notes):
        asked = (
            f"On “{done.title}” you noted trouble with “{what}”: how would you explain it now, and where "
            "does it still get vague?"
        )
    else:
        asked = f"On “{done.title}” you noted: “{_quote(notes)}” What would you add or correct today?"
    return Question(question=asked, why="notes")


def _subject_of(done: DayDone) -> str:
    """What the notes are about: what was hard, else all they say."""
    notes = plain(done.notes[:LONGEST_NOTES_CHARS])
    return (_trouble(notes) or notes).casefold()


def _trouble(notes: str) -> str:
    """What was hard, where the notes say so; else nothing."""
    found = _TROUBLE.search(notes.replace("’", "'"))  # noqa: RUF001 - as phones write don't
    what = found["what"] if found else ""
    return what if 1 < len(what) <= LONGEST_TROUBLE_CHARS else ""


def _of_confidence(done: DayDone) -> Question:
    asked = (
        f"You gave “{done.title}” a confidence of {done.confidence} of 10: what is missing, a word, a step "
        "or a reason?"
    )
    return Question(question=asked, why="low_confidence")


def _quote(notes: str) -> str:
    text = sentence_case(notes)
    if len(text) > LONGEST_QUOTE_CHARS:
        return f"{text[:LONGEST_QUOTE_CHARS].rsplit(' ', 1)[0].rstrip(' ,;:.')}…"
    return f"{text}." if text[-1].isalnum() else text
