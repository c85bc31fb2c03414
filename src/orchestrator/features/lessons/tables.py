"""The table of lessons: what was asked for. All else is told by the runs."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import JsonValue
from sqlalchemy import JSON, Enum, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.db import Base, Owned, UtcTime

UUID_CHARS = 36
LONGEST_TOPIC_CHARS = 500
STATUS_CHARS = 16


class Intent(StrEnum):
    """What was promised of a session and may not have happened yet: the sweep at start does it then."""

    NONE = "none"
    LAUNCH = "launch"
    DELETE = "delete"


# Kept as its value in plain text, which every database has.
_INTENT = Enum(
    Intent, native_enum=False, length=16, values_callable=lambda kinds: [kind.value for kind in kinds]
)


class SessionRow(Owned, Base):
    """A session: its topic, what the learner brought, and how many runs it has had.

    Status, steps, times and result are those of its runs. They are kept here once the last of them,
    ``kept_run``, has ended, since runs leave the journal some time after their end.
    """

    __tablename__ = "lesson_sessions"

    id: Mapped[str] = mapped_column(String(UUID_CHARS), primary_key=True)
    topic: Mapped[str] = mapped_column(String(LONGEST_TOPIC_CHARS))
    # Up to a megabyte, so it is read only where it is asked for by name.
    brought: Mapped[dict[str, JsonValue]] = mapped_column(
        "metadata", JSON, deferred=True, deferred_raiseload=True
    )
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    runs: Mapped[int] = mapped_column(default=0)
    intent: Mapped[Intent] = mapped_column(_INTENT, default=Intent.NONE, index=True)
    kept_run: Mapped[int] = mapped_column(default=0, server_default="0")
    ended_as: Mapped[str | None] = mapped_column(String(STATUS_CHARS))
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)
    # As large as its lesson, so it is read only where it is asked for by name.
    kept: Mapped[dict[str, JsonValue] | None] = mapped_column(JSON, deferred=True, deferred_raiseload=True)

    __table_args__ = (Index("ix_lesson_sessions_owner_id", "owner", "id"),)
