"""Where in a curriculum a day stands: which unit it is, by depth, week and day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestrator.agents.offline.markdown import sentence_case
from orchestrator.agents.offline.study_guide import subject
from orchestrator.features.days.agents.expert_stages import LIMITS, SOURCES, TEACHING
from orchestrator.features.days.agents.stages import FOUNDATIONS, HOW_IT_WORKS, PROJECT, USING_IT
from orchestrator.features.days.intent import DAYS_PER_WEEK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.features.days.agents.units import Stage, Unit
    from orchestrator.features.days.intent import Depth, Intent

LONGEST_NAME_CHARS = 80
LONGEST_GOAL_CHARS = 80  # a longer one stands at the top of the plan, and not in its sentences

OTHER_MATERIAL = " Take other material than the last time."

# Week by week. Whoever is through goes on with the last two in turn: projects are how a goal is reached.
WEEKS: Final[Mapping[Depth, tuple[Stage, ...]]] = {
    "surface": (FOUNDATIONS, USING_IT, PROJECT),
    "informed": (FOUNDATIONS, HOW_IT_WORKS, USING_IT, PROJECT),
    "expert": (FOUNDATIONS, HOW_IT_WORKS, USING_IT, PROJECT, SOURCES, TEACHING, LIMITS, PROJECT),
}
STANDARDS: Final[Mapping[Depth, str]] = {
    "surface": "well enough to follow when others talk about it",
    "informed": "well enough to use it in a case of your own",
    "expert": "well enough to stand up to a specialist's questions",
}


@dataclass(frozen=True, slots=True)
class Position:
    """A day's place: its stage and unit, and how often this stage was there by now, this time included."""

    stage: Stage
    unit: Unit
    round: int


@dataclass(frozen=True, slots=True)
class Lesson:
    """A unit in the words of one learner's topic and goal."""

    title: str
    aim: str
    standard: str
    outcomes: tuple[str, ...]


def position(depth: Depth, week: int, day: int) -> Position:
    """The place of the day; weeks and days count from 1, and a week has five days.

    Raises:
        ValueError: there is no such week or day.
    """
    if week < 1 or not 1 <= day <= DAYS_PER_WEEK:
        raise ValueError(f"there is no week {week} day {day}: weeks begin at 1, days go from 1 to 5")
    stage = _stage(depth, week)
    return Position(stage, stage.units[day - 1], _round(depth, week))


def lesson(intent: Intent, week: int, day: int) -> Lesson:
    """What the day is about, for this learner."""
    place = position(intent.depth, week, day)
    again = f" (round {place.round})" if place.round > 1 else ""
    return Lesson(
        title=titled(intent.topic, f"{place.unit.title}{again}"),
        aim=worded(place.unit.aim, intent) + (OTHER_MATERIAL if place.round > 1 else ""),
        standard=STANDARDS[intent.depth],
        outcomes=tuple(worded(outcome, intent) for outcome in place.unit.outcomes),
    )


def titled(topic: str, title: str) -> str:
    """A title with the topic before it: "Machine Learning: core vocabulary"."""
    name = _shortened(sentence_case(subject(topic).strip("“”")), LONGEST_NAME_CHARS).rstrip(" :")
    return f"{name} {sentence_case(title)}" if name.endswith(("?", "!", "…")) else f"{name}: {title}"


def worded(text: str, intent: Intent) -> str:
    """``text`` with the learner's topic and goal in it, and nothing else of theirs read."""
    return sentence_case(text.format(topic=topic_name(intent.topic), goal=_goal_name(intent.end_goal)))


def topic_name(topic: str) -> str:
    """The topic as it reads inside a sentence."""
    name = subject(topic)
    return (
        name if len(name) <= LONGEST_NAME_CHARS else f"“{_shortened(name.strip('“”'), LONGEST_NAME_CHARS)}”"
    )


def _goal_name(end_goal: str) -> str:
    """The goal as it reads inside a sentence."""
    goal = " ".join(end_goal.split()).rstrip(".")
    return f"your goal “{goal}”" if 0 < len(goal) <= LONGEST_GOAL_CHARS else "your goal"


def _stage(depth: Depth, week: int) -> Stage:
    weeks = WEEKS[depth]
    if week <= len(weeks):
        return weeks[week - 1]
    return weeks[-2:][(week - len(weeks) - 1) % 2]


def _round(depth: Depth, week: int) -> int:
    """How often the stage of this week was there up to this week."""
    weeks = WEEKS[depth]
    stage = _stage(depth, week)
    before = weeks[:week].count(stage)
    beyond = max(0, week - len(weeks))
    if not beyond:
        return before
    # Of the last two in turn, the first has the weeks 1, 3, 5 … after the end, the second 2, 4, 6 ….
    return before + (beyond + 1) // 2 if stage is weeks[-2] else before + beyond // 2


def _shortened(text: str, chars: int) -> str:
    if len(text) <= chars:
        return text
    cut = text[: chars - 1].rsplit(" ", 1)[0] if " " in text[: chars - 1] else text[: chars - 1]
    return f"{cut.rstrip(' ,;:.')}…"
