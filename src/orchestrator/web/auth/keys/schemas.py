"""API keys on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.db.tables import LONGEST_OWNER_CHARS

Scope = Annotated[str, Field(min_length=1, max_length=40)]


class NewApiKey(BaseModel):
    """A key that is wanted."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, description="What it is for, as people will read it.")
    scopes: list[Scope] = Field(
        min_length=1,
        max_length=20,
        description="The parts of the service that it opens, by their tags here; or `service`, or `admin`.",
    )
    user: str | None = Field(
        None,
        min_length=1,
        max_length=LONGEST_OWNER_CHARS,
        description="The user whom it acts as; left out for `service` and `admin`.",
    )
    expires_in_days: int | None = Field(
        None, ge=1, le=3_650, description="After so many days it opens nothing; never if left out."
    )


class ApiKey(BaseModel):
    """A key, without what opens the service."""

    id: str = Field(description="Its id, which stands in the key too.")
    name: str = Field(description="What it is for.")
    scopes: list[str] = Field(description="What it opens.")
    user: str | None = Field(description="The user whom it acts as; null for `service` and `admin`.")
    created_at: datetime = Field(description="When it was made.")
    created_by: str = Field(description="Who made it.")
    expires_at: datetime | None = Field(description="From when on it opens nothing; null for never.")
    last_used_at: datetime | None = Field(description="When it was used last, to the hour; null for never.")
    revoked_at: datetime | None = Field(description="When it was revoked; null if it was not.")


class MadeApiKey(ApiKey):
    """A new key, this once with what opens the service."""

    key: str = Field(description="What is sent as `X-API-Key`. It is shown now and never again.")


class ApiKeys(BaseModel):
    """All keys."""

    items: list[ApiKey] = Field(description="The keys, newest first, revoked ones included.")
