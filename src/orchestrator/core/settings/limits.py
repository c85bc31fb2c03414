"""How often callers may ask."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orchestrator.core.rates import Rate
from orchestrator.core.settings.section import Section

# web/limits counts in millionths of a token-second; with these, an hour's burst stays far below Lua's 2**53.
LARGEST_BURST = 10_000
MINUTE_S = 60
HOUR_S = 3_600
PerPeriod = Annotated[int, Field(ge=1, le=1_000_000)]
Burst = Annotated[int, Field(ge=1, le=LARGEST_BURST)]


class LimitSettings(Section):
    """How often callers may ask, and how often the service asks agents."""

    requests_per_minute: PerPeriod = Field(
        60, description="how many requests a minute one user may send in the long run, from 1 to 1000000"
    )
    burst: Burst = Field(20, description="how many of them at once after a pause, from 1 to 10000")
    day_runs_per_hour: PerPeriod = Field(
        10, description="how many daily plans one user may ask for in an hour, from 1 to 1000000"
    )
    refused_sign_ins_per_minute: PerPeriod = Field(
        120, description="how many sign-ins a minute one address may have refused, from 1 to 1000000"
    )
    agent_calls_per_minute: PerPeriod = Field(
        12_000, description="how many calls a minute one agent gets in the long run, from 1 to 1000000"
    )
    agent_burst: Burst = Field(1_000, description="how many of them at once after a pause, from 1 to 10000")

    @property
    def requests(self) -> Rate:
        """Of one user, or of one address where there is no user."""
        return Rate(self.requests_per_minute, MINUTE_S, self.burst)

    @property
    def day_runs(self) -> Rate:
        """Of one user."""
        return Rate(self.day_runs_per_hour, HOUR_S, min(self.day_runs_per_hour, LARGEST_BURST))

    @property
    def refused_sign_ins(self) -> Rate:
        """Of one address."""
        burst = min(self.refused_sign_ins_per_minute, LARGEST_BURST)
        return Rate(self.refused_sign_ins_per_minute, MINUTE_S, burst)

    @property
    def agent_calls(self) -> Rate:
        """To one agent, whoever they are for."""
        return Rate(self.agent_calls_per_minute, MINUTE_S, self.agent_burst)
