"""What was asked under a key, and what was answered."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.db import Base, Owned, UtcTime

SHA256_CHARS = 64
UUID_CHARS = 36


class IdempotencyRow(Owned, Base):
    """One key of one caller for one address: under way while it has no ``status``, answered afterwards."""

    __tablename__ = "idempotency_keys"

    id: Mapped[str] = mapped_column(String(SHA256_CHARS), primary_key=True)  # of caller, address and key
    fingerprint: Mapped[str] = mapped_column(String(SHA256_CHARS))  # of the query and the body
    attempt: Mapped[str] = mapped_column(String(UUID_CHARS))  # of those who try, the one whose answer counts
    leased_until: Mapped[datetime] = mapped_column(UtcTime)  # after it, who is still under way has crashed
    expires_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    status: Mapped[int | None]
    headers: Mapped[dict[str, str] | None] = mapped_column(JSON)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)  # None for an answer that is not kept
