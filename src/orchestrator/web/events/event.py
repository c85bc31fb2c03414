"""An event: what happened, to whose thing, when."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, Self

import structlog
from pydantic import BaseModel, JsonValue, ValidationError

from orchestrator.core.ids import new_id
from orchestrator.db.tables import LONGEST_OWNER_CHARS

if TYPE_CHECKING:
    from orchestrator.streams import Entry

STREAM: Final = "wisely.events"
"""The stream of everybody's events, and the topic by which clients subscribe to theirs."""

LONGEST_TYPE_CHARS: Final = 64
LONGEST_ID_CHARS: Final = 128
MOST_DATA_BYTES: Final = 32 * 1_024  # events say what happened; who wants to know more asks the API

_TYPE: Final = re.compile(rf"[a-z][a-z0-9_.]{{0,{LONGEST_TYPE_CHARS - 1}}}")
_ID: Final = re.compile(rf"[A-Za-z0-9_.:-]{{1,{LONGEST_ID_CHARS}}}")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that is about to have happened.

    ``data`` is JSON without personal data: ids, numbers and states, never names, notes or tokens. Give an
    ``id`` of your own where the same event may be told twice, as by a step that is tried again: it is then
    delivered once.

    Raises:
        ValueError: a type or id of other characters than these, no owner, or more data than an event takes.
    """

    type: str  # such as instructor_plan_created
    owner: str  # whose it is: they alone are told
    data: Mapping[str, JsonValue]
    id: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        if not _TYPE.fullmatch(self.type):
            raise ValueError(f"{self.type!r} is no event type; use up to 64 of a-z, 0-9, _ and .")
        if not _ID.fullmatch(self.id):
            raise ValueError(f"{self.id!r} is no event id; use up to 128 of A-Z, a-z, 0-9, _, ., : and -")
        if not 1 <= len(self.owner) <= LONGEST_OWNER_CHARS:
            raise ValueError(f"an event needs an owner of 1 to {LONGEST_OWNER_CHARS} characters")
        if len(compact_json(self.data)) > MOST_DATA_BYTES:
            raise ValueError(f"an event's data takes {MOST_DATA_BYTES:,} bytes at most; name ids instead")


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it is in the stream. ``offset`` is its place there, from 1."""

    offset: int
    id: str
    type: str
    owner: str
    at: datetime
    data: Mapping[str, JsonValue]
    traceparent: str | None = None  # of the request it came of, by W3C Trace Context

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Read an entry of the stream."""
        written = Written.model_validate_json(entry.data)
        return cls(
            entry.offset,
            entry.key,
            entry.type,
            written.owner,
            written.at,
            written.data,
            written.traceparent,
        )


def readable(entry: Entry) -> Event | None:
    """The event of an entry; None, and a line in the log, where somebody else wrote one that is none."""
    try:
        return Event.of(entry)
    except ValidationError:
        log.warning("no event", stream=STREAM, offset=entry.offset)
        return None


class Written(BaseModel):
    """What an entry of the stream holds besides its type and its key, which is the event's id."""

    owner: str
    at: datetime
    data: Mapping[str, JsonValue]
    traceparent: str | None = None


def compact_json(value: object) -> bytes:
    """JSON in UTF-8 without spaces.

    Raises:
        ValueError, TypeError: it is no JSON, such as NaN, a date, or half a surrogate pair.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
