"""The tables of days: what people want to learn, the plans of their days, and what agents said."""

from __future__ import annotations

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import JSON, Float, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.db import Base, Owned, UtcTime
from orchestrator.db.tables import LONGEST_OWNER_CHARS

UUID_CHARS = 36
LONGEST_TOPIC_CHARS = 500
LONGEST_GOAL_CHARS = 2_000
LONGEST_TRACK_CHARS = 200
LONGEST_NOTES_CHARS = 10_000
LONGEST_TITLE_CHARS = 500
LONGEST_ZONE_CHARS = 64
LONGEST_DEPTH_CHARS = 16
LONGEST_RUN_CHARS = 128
LONGEST_AGENT_CHARS = 16
LONGEST_ETAG_CHARS = 512
DIGEST_CHARS = 64

_IS_ACTIVE = text("active")


class IntentRow(Owned, Base):
    """What somebody wants to learn. One of a person's intents is active, and says when its next day is due.

    ``next_week`` and ``next_day`` are the day that comes next; ``next_run_at`` is when its plan is prepared,
    the morning after ``ready_at``. Both are null while there is nothing to prepare. ``active_at`` is when
    the person last did something.
    """

    __tablename__ = "day_intents"

    id: Mapped[str] = mapped_column(String(UUID_CHARS), primary_key=True)
    topic: Mapped[str] = mapped_column(String(LONGEST_TOPIC_CHARS))
    depth: Mapped[str] = mapped_column(String(LONGEST_DEPTH_CHARS))
    end_goal: Mapped[str] = mapped_column(String(LONGEST_GOAL_CHARS))
    time_per_day_min: Mapped[int]
    track_label: Mapped[str | None] = mapped_column(String(LONGEST_TRACK_CHARS))
    user_tz: Mapped[str] = mapped_column(String(LONGEST_ZONE_CHARS))
    meta: Mapped[dict[str, JsonValue]] = mapped_column(JSON)
    active: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    active_at: Mapped[datetime] = mapped_column(UtcTime)
    next_week: Mapped[int]
    next_day: Mapped[int]
    ready_at: Mapped[datetime | None] = mapped_column(UtcTime)
    next_run_at: Mapped[datetime | None] = mapped_column(UtcTime, index=True)

    __table_args__ = (
        # Whatever comes at once, one of a person's intents is active.
        Index(
            "uq_day_intents_active_owner",
            "owner",
            unique=True,
            sqlite_where=_IS_ACTIVE,
            postgresql_where=_IS_ACTIVE,
        ),
        Index("ix_day_intents_owner_id", "owner", "id"),
    )


class DaySessionRow(Owned, Base):
    """The plan of one day, how its making went, and how the day went once it is done.

    ``run_id`` is the run that looked at it last, ``signals_digest`` stands for all that the plan was made of.
    Of a completed day ``streak_days`` counts the days in a row up to it, in ``completed_tz``.
    """

    __tablename__ = "day_sessions"

    id: Mapped[str] = mapped_column(String(UUID_CHARS), primary_key=True)
    intent_id: Mapped[str] = mapped_column(String(UUID_CHARS))
    topic: Mapped[str] = mapped_column(String(LONGEST_TOPIC_CHARS))
    week: Mapped[int]
    day: Mapped[int]
    planned_min: Mapped[int]
    plan_title: Mapped[str] = mapped_column(String(LONGEST_TITLE_CHARS))
    # Read only where they are asked for by name: nobody else needs the texts.
    plan_md: Mapped[str] = mapped_column(Text, deferred=True, deferred_raiseload=True)
    plan: Mapped[dict[str, JsonValue]] = mapped_column(JSON, deferred=True, deferred_raiseload=True)
    written_by: Mapped[str] = mapped_column(String(LONGEST_DEPTH_CHARS))
    signals_digest: Mapped[str] = mapped_column(String(DIGEST_CHARS))
    signal_quality: Mapped[dict[str, JsonValue]] = mapped_column(JSON)
    degraded_mode: Mapped[bool]
    degraded_agents: Mapped[list[JsonValue]] = mapped_column(JSON)
    cache_hits: Mapped[int]
    cache_misses: Mapped[int]
    run_id: Mapped[str] = mapped_column(String(LONGEST_RUN_CHARS))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    completed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    completed_tz: Mapped[str | None] = mapped_column(String(LONGEST_ZONE_CHARS))
    completion_time_min: Mapped[int | None]
    confidence: Mapped[int | None]
    notes: Mapped[str | None] = mapped_column(String(LONGEST_NOTES_CHARS))
    streak_days: Mapped[int | None]

    __table_args__ = (
        UniqueConstraint("intent_id", "week", "day", name="uq_day_sessions_place"),
        Index("ix_day_sessions_owner_id", "owner", "id"),
        Index("ix_day_sessions_owner_completed_at", "owner", "completed_at"),
    )


class SignalRow(Owned, Base):
    """What an agent said last to one question of one person. ``key`` is a digest of the question.

    Times are in seconds since 1970: ``fetched_at`` is when it came, ``confirmed_at`` when it last held.
    """

    __tablename__ = "day_signals"

    owner: Mapped[str] = mapped_column(String(LONGEST_OWNER_CHARS), primary_key=True)
    agent: Mapped[str] = mapped_column(String(LONGEST_AGENT_CHARS), primary_key=True)
    key: Mapped[str] = mapped_column(String(DIGEST_CHARS), primary_key=True)
    data: Mapped[JsonValue] = mapped_column(JSON, nullable=False)
    etag: Mapped[str | None] = mapped_column(String(LONGEST_ETAG_CHARS))
    fetched_at: Mapped[float] = mapped_column(Float(53))
    confirmed_at: Mapped[float] = mapped_column(Float(53))
