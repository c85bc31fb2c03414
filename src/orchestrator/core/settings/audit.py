"""The audit trail."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from orchestrator.core.settings.section import Section


class AuditSettings(Section):
    """The audit trail: how long its entries are kept."""

    retention_days: int = Field(
        365,
        ge=0,
        le=36_500,
        description="days that entries are kept, up to 36500, or 0 for ever",
    )

    @property
    def retention(self) -> timedelta | None:
        """How long entries are kept; None is for ever."""
        return timedelta(days=self.retention_days) if self.retention_days else None
