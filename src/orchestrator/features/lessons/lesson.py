"""What the steps of a lesson hand on to each other, and what comes of them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from orchestrator.agents import offline
from orchestrator.agents.offline import ConceptMap

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.agents.model import Usage

ANALYZE: Final = "analyze-topic"
OUTLINE: Final = "generate-outline"
CONTENT: Final = "create-content"
IMAGES: Final = "generate-images"
FINALIZE: Final = "finalize-lesson"

STEPS: Final = (ANALYZE, OUTLINE, CONTENT, IMAGES, FINALIZE)
"""The steps as clients see them, in their order: the first is ``step-1``."""

PARTS: Final = "parts"
"""The name under which `Parts` are published."""


class Value(BaseModel):
    """Something recorded: it does not change."""

    model_config = ConfigDict(frozen=True)


class Parts(Value):
    """Published before a step of several parts: how many there will be."""

    step: str
    count: int


class Progress(Value):
    """What a part of a step shows while it is at work: some text, and how many percent of it are done."""

    delta: str
    progress: int


class LessonRequest(Value):
    """What a run is started with. What the learner brought stays in the session's row."""

    session_id: str
    owner: str
    topic: str


class Material(Value):
    """A text or Markdown that the learner brought."""

    title: str
    text: str


# As a JSON number, which clients expect; its shortest form reads back as the same decimal.
_AS_NUMBER: Final = PlainSerializer(float, return_type=float, when_used="json")


class Tokens(Value):
    """What model calls took. ``cost_usd`` is None when no price is known for one of them."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    prompt_tokens: int = Field(0, description="Tokens that went in.")
    completion_tokens: int = Field(0, description="Tokens that came out.")
    cost_usd: Annotated[Decimal, _AS_NUMBER] | None = Field(
        Decimal(0), description="US dollars; null if unknown."
    )
    estimated: bool = Field(default=False, description="Whether a provider gave no counts for some of it.")

    @classmethod
    def of(cls, usage: Usage) -> Self:
        """What one call took."""
        return cls(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cost_usd=usage.cost_usd,
            estimated=usage.estimated,
        )

    @classmethod
    def total(cls, all_tokens: Iterable[Tokens]) -> Self:
        """What several calls took together; a price that is unknown once is unknown."""
        taken = list(all_tokens)
        costs = [tokens.cost_usd for tokens in taken]
        return cls(
            prompt_tokens=sum(tokens.prompt_tokens for tokens in taken),
            completion_tokens=sum(tokens.completion_tokens for tokens in taken),
            cost_usd=None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0)),
            estimated=any(tokens.estimated for tokens in taken),
        )


class Outcome(Value):
    """What every step gives: a line for people about what it did, and the tokens that it took."""

    output: str
    tokens: Tokens = Tokens()


class Concept(Value):
    """A term of the topic and what it means; the meaning is empty where nobody says."""

    term: str
    meaning: str = ""


class TopicAnalysis(Outcome):
    """What the topic is about.

    ``generator`` is who writes this lesson, ``read`` what the offline composer found in the materials.
    """

    generator: str
    focus: str
    level: str | None = None
    concepts: list[Concept] = Field(default_factory=list)
    map: ConceptMap | None = None
    read: offline.TopicAnalysis | None = None


class SectionPlan(Value):
    """A section to be written. ``place`` is where the offline composer finds it in the materials."""

    title: str
    aim: str = ""
    points: list[str] = Field(default_factory=list)
    words: int = 0
    place: offline.OutlineSection | None = None


class PicturePlan(Value):
    """A picture to be made: by an image model from ``wanted``, or else as a drawing of ``map``.

    ``section`` is the number of the section it belongs to, from 0; None for the whole lesson.
    """

    name: str
    caption: str
    map: ConceptMap
    wanted: str = ""
    section: int | None = None


class Outline(Outcome):
    """The plan of the lesson."""

    title: str
    objectives: list[str]
    sections: list[SectionPlan]
    pictures: list[PicturePlan]


class SectionBrief(Value):
    """All that is needed to write one section, ``number`` from 0."""

    request: LessonRequest
    analysis: TopicAnalysis
    outline: Outline
    number: int


class Section(Outcome):
    """A section, written: its Markdown, the heading included."""

    markdown: str


class PictureBrief(Value):
    """All that is needed to make one picture."""

    request: LessonRequest
    plan: PicturePlan


class PictureFile(Outcome):
    """A picture that lies in the blob store."""

    name: str
    caption: str
    section: int | None = None


class Draft(Value):
    """A lesson, but for its summary and the package."""

    request: LessonRequest
    analysis: TopicAnalysis
    outline: Outline
    sections: list[Section]
    pictures: list[PictureFile]


class Lesson(Outcome):
    """The whole: Markdown, summary, and the pictures' names. ``tokens`` are those of its last step alone."""

    lesson: str
    summary: str
    images: list[str]
    generator: str
    usage: Tokens
