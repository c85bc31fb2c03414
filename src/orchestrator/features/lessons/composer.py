"""Who writes a lesson: the port that a model and the offline composer fill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from orchestrator.features.lessons.lesson import (
        Draft,
        LessonRequest,
        Material,
        Outline,
        PicturePlan,
        Section,
        SectionBrief,
        Tokens,
        TopicAnalysis,
    )

Tell = Callable[[str, int], None]
"""Shows those who watch a piece of text, and how many percent of this part are done."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a composer knows of the lesson it works on.

    ``step_key`` is the same on every attempt at the same step: what it calls can tell a repetition by it.
    """

    request: LessonRequest
    materials: tuple[Material, ...]
    step_key: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture as JPEG bytes, the words to put under it, and what making it took."""

    jpeg: bytes
    caption: str
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class Summary:
    """The lesson in a few sentences, and what writing them took."""

    text: str
    tokens: Tokens


class Composer(Protocol):
    """Writes the parts of a lesson.

    What it raises are the house's errors: the step tries again where that may help.
    """

    @property
    def generator(self) -> str:
        """The label for what it writes."""
        ...

    async def analyze(self, task: Task, tell: Tell) -> TopicAnalysis:
        """Find out what the topic is about, and for whom."""
        ...

    async def outline(self, task: Task, analysis: TopicAnalysis, tell: Tell) -> Outline:
        """Plan the lesson and its pictures."""
        ...

    async def write(self, task: Task, brief: SectionBrief, tell: Tell) -> Section:
        """Write one section."""
        ...

    async def illustrate(self, task: Task, plan: PicturePlan) -> Drawn | None:
        """Make the picture that is wanted; None to have its concept map drawn instead."""
        ...

    async def summarize(self, task: Task, draft: Draft, tell: Tell) -> Summary:
        """Say in a few sentences what the lesson teaches."""
        ...
