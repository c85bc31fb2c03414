"""Webhooks, and what was sent to each."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import JsonValue
from sqlalchemy import JSON, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.db import SECRET, Base, Owned, UtcTime
from orchestrator.web.events.event import LONGEST_ID_CHARS, LONGEST_TYPE_CHARS
from orchestrator.web.outbound import LONGEST_URL_CHARS

UUID_CHARS = 36
LONGEST_REASON_CHARS = 300
STATE_CHARS = 16


class DeliveryState(StrEnum):
    """What became of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class WebhookRow(Owned, Base):
    """An address to send to. Secrets are sealed where encryption keys are set.

    ``types`` is empty where all events are wanted. ``worked_at`` is the last time that a delivery came
    through.
    """

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(String(UUID_CHARS), primary_key=True)
    url: Mapped[str] = mapped_column(String(LONGEST_URL_CHARS))
    types: Mapped[list[str]] = mapped_column(JSON)
    enabled: Mapped[bool]
    disabled_because: Mapped[str | None] = mapped_column(String(LONGEST_REASON_CHARS))
    secret: Mapped[bytes] = mapped_column(LargeBinary, info=SECRET)
    old_secret: Mapped[bytes | None] = mapped_column(LargeBinary, info=SECRET)
    old_secret_until: Mapped[datetime | None] = mapped_column(UtcTime)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    worked_at: Mapped[datetime | None] = mapped_column(UtcTime)

    __table_args__ = (Index("ix_webhooks_owner_id", "owner", "id"),)


class DeliveryRow(Owned, Base):
    """An event for one webhook, and how often it was tried: ``attempts`` has when, and what came of it."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[str] = mapped_column(String(UUID_CHARS), primary_key=True)
    webhook_id: Mapped[str] = mapped_column(String(UUID_CHARS))
    event_id: Mapped[str] = mapped_column(String(LONGEST_ID_CHARS))
    type: Mapped[str] = mapped_column(String(LONGEST_TYPE_CHARS))
    at: Mapped[datetime] = mapped_column(UtcTime)
    data: Mapped[dict[str, JsonValue]] = mapped_column(JSON)
    traceparent: Mapped[str | None] = mapped_column(String(55))
    state: Mapped[str] = mapped_column(String(STATE_CHARS))
    runs: Mapped[int]
    attempts: Mapped[list[dict[str, JsonValue]]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcTime, index=True)

    __table_args__ = (UniqueConstraint("webhook_id", "event_id"),)
