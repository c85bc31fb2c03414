"""Requests and answers, exactly as they are on the wire."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from orchestrator.features.lessons.lesson import Lesson, Tokens
from orchestrator.features.lessons.tables import LONGEST_TOPIC_CHARS
from orchestrator.web.fields import LeftOut, Line, Text, Time, at_most, line_schema, text_schema

MOST_MATERIALS: Final = 20
LONGEST_TITLE_CHARS: Final = 200
LONGEST_MATERIAL_CHARS: Final = 500_000
LONGEST_MATERIALS_CHARS: Final = 1_000_000


def _with_text(given: object) -> object:
    return {"text": given} if isinstance(given, str) else given


Nanoseconds = Annotated[int, Field(ge=0, description="Nanoseconds.")]


class Strict(BaseModel):
    """A request: of exactly these fields and types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NewMaterial(Strict):
    """A text or Markdown that the lesson is to be built from."""

    title: (
        Annotated[
            str,
            at_most(LONGEST_TITLE_CHARS),
            Line,
            Field(json_schema_extra=line_schema(LONGEST_TITLE_CHARS)),
        ]
        | None
    ) = LeftOut(description="What to call it among the sources; its first heading if left out.")
    text: Annotated[
        str,
        at_most(LONGEST_MATERIAL_CHARS),
        Text,
        Field(json_schema_extra=text_schema(LONGEST_MATERIAL_CHARS)),
    ] = Field(description="Plain text or Markdown.")


TextAlone = Annotated[str, Field(json_schema_extra=text_schema(LONGEST_MATERIAL_CHARS))]


class NewMetadata(Strict):
    """What comes with a topic."""

    materials: list[
        Annotated[NewMaterial, BeforeValidator(_with_text, json_schema_input_type=TextAlone | NewMaterial)]
    ] = Field(default_factory=list, max_length=MOST_MATERIALS)

    @model_validator(mode="after")
    def _not_too_much(self) -> Self:
        total = sum(len(material.text) for material in self.materials)
        if total > LONGEST_MATERIALS_CHARS:
            raise ValueError(
                f"the materials have {total:,} characters; at most {LONGEST_MATERIALS_CHARS:,} are taken"
            )
        return self


class NewSession(Strict):
    """A topic to make a lesson of."""

    topic: Annotated[
        str,
        at_most(LONGEST_TOPIC_CHARS),
        Line,
        Field(json_schema_extra=line_schema(LONGEST_TOPIC_CHARS)),
    ] = Field(description="What to learn about, on one line.", examples=["machine learning"])
    metadata: NewMetadata | None = None


class SessionCreated(BaseModel):
    """The id of a new session."""

    id: str


class StreamToken(BaseModel):
    """What lets a browser read a session's stream and pictures."""

    token: str = Field(description="For the query: `?token=…`.")
    expires_at: Time


class SessionResult(BaseModel):
    """A finished lesson."""

    lesson: str = Field(description="Markdown; its pictures are relative links to `images/…`.")
    images: dict[str, str] = Field(description="The pictures' addresses by name.")
    summary: str
    duration: Nanoseconds
    completed_at: Time
    generator: str = Field(description="Who wrote it: the model's name, or `offline`.")
    usage: Tokens = Field(description="Tokens of all steps, and their cost where prices are set.")

    @classmethod
    def of(cls, lesson: Lesson, session_id: str, took: timedelta, completed_at: datetime) -> Self:
        """What a run gave, as clients get it. ``took`` is the time in which the session ran."""
        return cls(
            lesson=lesson.lesson,
            images={name.partition(".")[0]: image_address(session_id, name) for name in lesson.images},
            summary=lesson.summary,
            duration=nanoseconds(took),
            completed_at=completed_at,
            generator=lesson.generator,
            usage=lesson.usage,
        )


class SessionStep(BaseModel):
    """One of the five steps of a session."""

    id: str = Field(examples=["step-1"])
    name: str = Field(examples=["analyze-topic"])
    status: str
    started_at: Time | None = LeftOut()
    completed_at: Time | None = LeftOut()
    duration: Nanoseconds | None = LeftOut()
    output: str | None = LeftOut()
    error: str | None = LeftOut()


class Session(BaseModel):
    """A session; what it does not have yet is left out."""

    id: str
    topic: str
    status: str
    created_at: Time
    updated_at: Time
    result: SessionResult | None = LeftOut()
    steps: list[SessionStep] | None = LeftOut()
    metadata: NewMetadata | None = LeftOut()


class SessionPage(BaseModel):
    """Some sessions, newest first, without their steps and results."""

    items: list[Session]
    total: int
    limit: int
    next: str | None = LeftOut(description="Give it as `before` to get the next page.")


def image_address(session_id: str, name: str) -> str:
    """Where a picture is served."""
    return f"/api/sessions/{session_id}/images/{name}"


def nanoseconds(duration: timedelta) -> int:
    """A duration in nanoseconds, never below 0."""
    return max(0, duration // timedelta(microseconds=1)) * 1_000
