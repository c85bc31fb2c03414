"""The audit trail on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field


def _written_out(moment: object) -> object:
    """Let no bare number pass for a moment: pydantic takes it for seconds since 1970."""
    if isinstance(moment, str) and "T" not in moment.upper():
        raise ValueError("give it as RFC 3339, such as 2026-11-21T07:30:00Z")
    return moment


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]


class AuditEntry(BaseModel):
    """Something that was done."""

    id: str = Field(description="Its id; later entries have greater ones.")
    at: datetime = Field(description="When.")
    action: str = Field(description="What: `run.cancel`, `key.create`, `sign_in.refused`, …")
    who: str = Field(description="Who: `user:…`, `key:…`, `service`, `operator`, `system`, `nobody`.")
    person: str | None = Field(description="The user in whose name; null where there was none.")
    subject: str = Field(description="To what: the id of a run, a key, a session; or why it was refused.")
    source: str = Field(description="From where: an address; empty for what the service did by itself.")
    times: int = Field(description="How often; more than once for what was refused again and again.")


class AuditPage(BaseModel):
    """Entries, newest first."""

    items: list[AuditEntry] = Field(description="The entries.")
    next: str | None = Field(description="Give it as `before` for the page after this one; null on the last.")


class AuditFilter(BaseModel):
    """Which entries are wanted; what is left out does not matter."""

    action: str | None = Field(None, max_length=64, description="This action, or all that begin so: `run.`")
    who: str | None = Field(None, max_length=300, description="By this caller: `user:ada`, `operator`.")
    subject: str | None = Field(None, max_length=300, description="To this one.")
    since: Moment | None = Field(None, description="From this moment on.")
    until: Moment | None = Field(None, description="Before this moment.")
    before: str | None = Field(None, pattern=r"^[0-9a-f-]{36}$", description="`next` of the page before.")
    limit: int = Field(100, ge=1, le=1_000, description="How many at most.")
