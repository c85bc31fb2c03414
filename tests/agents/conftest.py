"""A provider to talk to, and a model that talks to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from orchestrator.agents.model import Prompt
from orchestrator.agents.openai_model import OpenAIModel
from orchestrator.core.settings import ModelSettings
from support.model_server import MODEL, ModelServer, model_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

KEY = "sk-very-secret"


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """A provider that answers as the test says."""
    with model_server() as running:
        yield running


@pytest.fixture
def settings(server: ModelServer) -> ModelSettings:
    """The settings of a model at that provider, with prices."""
    return ModelSettings(
        name=MODEL,
        base_url=server.base_url,
        api_key=SecretStr(KEY),
        image_model="test-painter",
        price_input_per_million=0.15,
        price_output_per_million=0.6,
    )


@pytest.fixture
async def model(settings: ModelSettings) -> AsyncIterator[OpenAIModel]:
    """The real client, pointed at that provider."""
    talking = OpenAIModel(settings)
    yield talking
    await talking.aclose()


@pytest.fixture
def prompt() -> Prompt:
    """A question with words that must not turn up in errors."""
    return Prompt("You teach.", "A private question", idempotency_key="run-1/step-2", max_tokens=500)
