"""Requests and answers, exactly as they are on the wire."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

from orchestrator.core.clock import rfc3339
from orchestrator.features.lessons.lesson import Lesson, Tokens
from orchestrator.features.lessons.tables import LONGEST_TOPIC_CHARS

if TYPE_CHECKING:
    from pydantic.config import JsonDict

MOST_MATERIALS: Final = 20
LONGEST_TITLE_CHARS: Final = 200
LONGEST_MATERIAL_CHARS: Final = 500_000
LONGEST_MATERIALS_CHARS: Final = 1_000_000

# C0 and C1 controls, line and paragraph separators, bidirectional overrides, halves of surrogate pairs.
_NOT_ON_A_LINE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NOT_IN_A_TEXT: Final = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff]")
# The same in the words of JSON Schema, where surrogates cannot occur.
_LINE: Final = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]*$"
_TEXT: Final = r"^[^\u0000-\u0008\u000b\u000e-\u001f\u007f]*$"
# Letters, numbers, punctuation and symbols, by the first letter of their Unicode category (UAX 44, 5.7.1).
_VISIBLE_CATEGORIES: Final = frozenset("LNPS")
# Of these categories and blank all the same: Hangul fillers, the empty Braille cell, the null note head.
_BLANKS: Final = "\u115f\u1160\u3164\uffa0\u2800\U0001d159"
_VISIBLE: Final = rf"(?![{_BLANKS}])[\p{{L}}\p{{N}}\p{{P}}\p{{S}}]"


def _one_line(text: str) -> str:
    if _NOT_ON_A_LINE.search(text):
        raise ValueError("it holds control characters or line breaks; give one line of plain text")
    if _is_blank(text):
        raise ValueError("it is blank; say in a few words what to learn about")
    return text.strip()


def _readable(text: str) -> str:
    if _NOT_IN_A_TEXT.search(text):
        raise ValueError("it holds control characters, as binary files do; give plain text or Markdown")
    if _is_blank(text):
        raise ValueError("it is blank; give a text, or leave the material out")
    return text


def _is_blank(text: str) -> bool:
    """Whether nothing of it can be seen: spaces, invisible characters, marks that combine with nothing."""
    return not any(
        unicodedata.category(character)[0] in _VISIBLE_CATEGORIES and character not in _BLANKS
        for character in text
    )


def _at_most(limit: int) -> AfterValidator:
    def check(text: str) -> str:
        if len(text) > limit:
            raise ValueError(f"it has {len(text):,} characters; at most {limit:,} are taken")
        return text

    return AfterValidator(check)


def _with_text(given: object) -> object:
    return {"text": given} if isinstance(given, str) else given


def _described(pattern: str, longest: int) -> JsonDict:
    """For the API's description: length, the characters it may hold, and that one of them must be visible."""
    return {"minLength": 1, "maxLength": longest, "pattern": pattern, "allOf": [{"pattern": _VISIBLE}]}


def LeftOut(description: str | None = None) -> Any:  # noqa: ANN401, N802  # stands where Field stands
    """What is not shown while it is None. A null that says something, such as an unknown price, stays."""
    return Field(None, description=description, exclude_if=lambda value: value is None)


Line = AfterValidator(_one_line)
Text = AfterValidator(_readable)
Time = Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]
"""RFC 3339 in UTC."""
Nanoseconds = Annotated[int, Field(ge=0, description="Nanoseconds.")]


class Strict(BaseModel):
    """A request: of exactly these fields and types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NewMaterial(Strict):
    """A text or Markdown that the lesson is to be built from."""

    title: (
        Annotated[
            str,
            _at_most(LONGEST_TITLE_CHARS),
            Line,
            Field(json_schema_extra=_described(_LINE, LONGEST_TITLE_CHARS)),
        ]
        | None
    ) = LeftOut(description="What to call it among the sources; its first heading if left out.")
    text: Annotated[
        str,
        _at_most(LONGEST_MATERIAL_CHARS),
        Text,
        Field(json_schema_extra=_described(_TEXT, LONGEST_MATERIAL_CHARS)),
    ] = Field(description="Plain text or Markdown.")


TextAlone = Annotated[str, Field(json_schema_extra=_described(_TEXT, LONGEST_MATERIAL_CHARS))]


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
        _at_most(LONGEST_TOPIC_CHARS),
        Line,
        Field(json_schema_extra=_described(_LINE, LONGEST_TOPIC_CHARS)),
    ] = Field(description="What to learn about, on one line.", examples=["machine learning"])
    metadata: NewMetadata | None = None


class SessionCreated(BaseModel):
    """The id of a new session."""

    id: str


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
