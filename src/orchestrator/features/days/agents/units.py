"""What weeks and days of a curriculum are made of.

Texts hold ``{topic}`` for the topic and ``{goal}`` for "your goal" with the learner's end goal in quotes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Task:
    """Something to do, and how much of the time it takes beside the day's other tasks."""

    text: str
    weight: int


@dataclass(frozen=True, slots=True)
class Unit:
    """One day: its title, its aim in one sentence, what one can do afterwards, and how to get there."""

    title: str
    aim: str
    outcomes: tuple[str, ...]
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """One week. ``stretch`` is for those who have much time on a day."""

    name: str
    units: tuple[Unit, Unit, Unit, Unit, Unit]
    stretch: str


def looking_back(on: str, aim: str, question: str) -> Unit:
    """The fifth day of a week."""
    return Unit(
        title=f"looking back on {on}",
        aim=aim,
        outcomes=(
            "Recall the week's main points without notes",
            "Explain the most important of them to somebody else",
            "Say which one needs another look",
        ),
        tasks=(
            Task("Write down on one page, without looking, all that you remember of this week", 3),
            Task("Compare the page with your notes, and add in another colour what was missing", 2),
            Task(question, 3),
        ),
    )
