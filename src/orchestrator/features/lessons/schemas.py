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
    ] = Field(
        default_factory=list,
        max_length=MOST_MATERIALS,
        description="The texts to build the lesson from: each an object, or the text alone.",
    )

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
    metadata: NewMetadata | None = Field(None, description="Your own materials.")


class Metadata(BaseModel):
    """What came with a topic."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    materials: list[NewMaterial] = Field(
        default_factory=list, description="The texts that the lesson is built from."
    )


class SessionCreated(BaseModel):
    """The id of a new session."""

    id: str = Field(description="The session's id.")


class StreamToken(BaseModel):
    """What lets a browser read a session's stream and pictures."""

    token: str = Field(description="For the query: `?token=…`.")
    expires_at: Time = Field(description="Until when it is good.")


class SessionResult(BaseModel):
    """A finished lesson."""

    lesson: str = Field(description="Markdown; its pictures are relative links to `images/…`.")
    images: dict[str, str] = Field(description="The pictures' addresses by name.")
    summary: str = Field(description="The lesson in a few sentences.")
    duration: Nanoseconds
    completed_at: Time = Field(description="When it was done.")
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

    id: str = Field(description="Its place.", examples=["step-1"])
    name: str = Field(description="What it does.", examples=["analyze-topic"])
    status: str = Field(description="Where it stands: pending, running, completed, failed and so on.")
    started_at: Time | None = LeftOut(description="When it began.")
    completed_at: Time | None = LeftOut(description="When it ended.")
    duration: Nanoseconds | None = LeftOut(description="Nanoseconds between these.")
    output: str | None = LeftOut(description="What came of it, in a few words.")
    error: str | None = LeftOut(description="What went wrong.")


class Session(BaseModel):
    """A session; what it does not have yet is left out."""

    id: str = Field(description="Its id.")
    topic: str = Field(description="What the lesson is about.")
    status: str = Field(description="Where it stands: pending, running, completed, failed and so on.")
    created_at: Time = Field(description="When it was made.")
    updated_at: Time = Field(description="When it changed last.")
    result: SessionResult | None = LeftOut(description="The lesson.")
    steps: list[SessionStep] | None = LeftOut(description="All five steps, in order.")
    metadata: Metadata | None = LeftOut(description="What came with the topic.")


class SessionPage(BaseModel):
    """Some sessions, newest first, without their steps and results."""

    items: list[Session] = Field(description="The sessions of this page.")
    total: int = Field(description="How many there are in all.")
    limit: int = Field(description="How many a page has at most.")
    next: str | None = LeftOut(description="Give it as `before` to get the next page.")


def image_address(session_id: str, name: str) -> str:
    """Where a picture is served."""
    return f"/api/sessions/{session_id}/images/{name}"


def nanoseconds(duration: timedelta) -> int:
    """A duration in nanoseconds, never below 0."""
    return max(0, duration // timedelta(microseconds=1)) * 1_000
