"""The outbox: events that were written down with what they tell of, and are not in the stream yet."""

from __future__ import annotations

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import JSON, BigInteger, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.db import Base, Owned, UtcTime
from orchestrator.web.events.event import LONGEST_ID_CHARS, LONGEST_TYPE_CHARS

TRACEPARENT_CHARS = 55


class OutboxRow(Owned, Base):
    """An event on its way. ``number`` is the order in which events came; none is used twice."""

    __tablename__ = "outbox"
    __table_args__ = ({"sqlite_autoincrement": True},)

    number: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    id: Mapped[str] = mapped_column(String(LONGEST_ID_CHARS))
    type: Mapped[str] = mapped_column(String(LONGEST_TYPE_CHARS))
    data: Mapped[dict[str, JsonValue]] = mapped_column(JSON)
    at: Mapped[datetime] = mapped_column(UtcTime)
    traceparent: Mapped[str | None] = mapped_column(String(TRACEPARENT_CHARS))
