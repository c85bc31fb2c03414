"""API keys as they are kept: everything but the key."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.db import SECRET, Base, Owned, UtcTime

SHA256_CHARS = 64
LONGEST_CALLER_CHARS = 300


class ApiKeyRow(Owned, Base):
    """A key of the user whom it acts as; the owner of a service's or an admin's is empty."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    sha256: Mapped[str] = mapped_column(String(SHA256_CHARS), info=SECRET)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    created_by: Mapped[str] = mapped_column(String(LONGEST_CALLER_CHARS))
    expires_at: Mapped[datetime | None] = mapped_column(UtcTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcTime)
