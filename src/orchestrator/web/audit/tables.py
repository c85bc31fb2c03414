"""The audit trail as it is kept. Triggers of its migration refuse changes, on both databases."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.db import Base, UtcTime

UUID_CHARS = 36
LONGEST_WHO_CHARS = 300
LONGEST_ACTION_CHARS = 64
LONGEST_SUBJECT_CHARS = 300
LONGEST_SOURCE_CHARS = 64


class AuditRow(Base):
    """Something that was done. It belongs to the service, whoever did it, so only the system sees it."""

    __tablename__ = "audit_entries"

    id: Mapped[str] = mapped_column(String(UUID_CHARS), primary_key=True)  # sorts by time
    at: Mapped[datetime] = mapped_column(UtcTime)
    action: Mapped[str] = mapped_column(String(LONGEST_ACTION_CHARS))
    who: Mapped[str] = mapped_column(String(LONGEST_WHO_CHARS))
    person: Mapped[str] = mapped_column(String(LONGEST_WHO_CHARS), index=True)  # in whose name, if any
    subject: Mapped[str] = mapped_column(String(LONGEST_SUBJECT_CHARS))
    source: Mapped[str] = mapped_column(String(LONGEST_SOURCE_CHARS))
    times: Mapped[int]
    kept_until: Mapped[datetime | None] = mapped_column(UtcTime, index=True)  # None is for ever
