"""Daily learning: where its agents are, and how long they may take."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orchestrator.core.settings.model import TokenCount
from orchestrator.core.settings.section import HttpUrl, Section

# A person waits for the answer, and the service answers every request within a minute.
DeadlineSeconds = Annotated[float, Field(gt=0, le=60)]


class DaySettings(Section):
    """Agents and deadlines of daily plans."""

    edge_base_url: HttpUrl | None = Field(
        None,
        description="an address like https://your-project.supabase.co; without one our own agents answer",
    )
    research: bool | None = Field(
        None,
        description="true or false: whether agents do research, which takes longer; if left out, they do "
        "where there is a model",
    )
    learner_daily_tokens: TokenCount = Field(
        200_000,
        description="the most tokens that our own agents may use on one learner in a UTC day, 1 or more",
    )
    deadline_s: DeadlineSeconds = Field(
        12.0, description="seconds in which a plan without research is there, more than 0 and up to 60"
    )
    research_deadline_s: DeadlineSeconds = Field(
        30.0, description="seconds in which a plan with research is there, more than 0 and up to 60"
    )
