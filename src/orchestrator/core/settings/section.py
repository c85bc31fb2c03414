"""What every group of settings is built of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Port = Annotated[int, Field(ge=0, le=65_535)]
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^/\s]+")]


def lower(value: object) -> object:
    """Text in lower case, for a choice that may be written either way; anything else as it is."""
    return value.lower() if isinstance(value, str) else value


class Section(BaseModel):
    """A group of settings; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class LaterSection(BaseModel):
    """Settings of a part that is not there yet: read, reported, without effect."""

    model_config = ConfigDict(extra="allow", frozen=True)
