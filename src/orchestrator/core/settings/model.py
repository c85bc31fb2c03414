"""The model, and what it may cost."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from orchestrator.core.settings.section import HttpUrl, Seconds, Section

TokenCount = Annotated[int, Field(ge=1)]
PricePerMillion = Annotated[float, Field(ge=0)]


class ModelSettings(Section):
    """The model: any OpenAI-compatible endpoint; the offline composer when neither key nor address is set."""

    api_key: SecretStr | None = Field(None, description="the provider's key")
    base_url: HttpUrl | None = Field(None, description="an address like http://localhost:11434/v1")
    name: str = Field("gpt-5-mini", min_length=1, description="the model's name, as the provider spells it")
    image_model: str | None = Field(None, min_length=1, description="the name of a model that draws pictures")
    temperature: float | None = Field(None, ge=0, le=2, description="a number from 0 to 2")
    price_input_per_million: PricePerMillion | None = Field(
        None, description="the price in US dollars of a million tokens read, 0 or more"
    )
    price_output_per_million: PricePerMillion | None = Field(
        None, description="the price in US dollars of a million tokens written, 0 or more"
    )
    timeout_s: Seconds = Field(
        120.0, description="seconds that one call of the model may take, more than 0 and up to 86400"
    )

    @property
    def is_configured(self) -> bool:
        """Whether there is a model to call; keyless endpoints need only their address."""
        return self.api_key is not None or self.base_url is not None


class LessonSettings(Section):
    """What lessons may spend."""

    session_budget_tokens: TokenCount = Field(
        200_000, description="the most tokens that one session may use, 1 or more"
    )
    daily_cap_tokens: TokenCount = Field(
        5_000_000,
        description="the most tokens that all lessons and daily plans may use in one UTC day, 1 or more",
    )
