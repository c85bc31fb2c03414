"""The line to the agents: those at ``EDGE_BASE_URL``, or our own in this very process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import httpx2
from pydantic import SecretStr

from orchestrator.agents.remote import AgentClient, Allowance, Signals
from orchestrator.core.errors import SettingsError
from orchestrator.core.ids import new_id
from orchestrator.features.days.agents.routes import agents_app, agents_router
from orchestrator.features.days.asking import ENDPOINTS
from orchestrator.features.days.repository import SignalTable

if TYPE_CHECKING:
    from fastapi import APIRouter

    from orchestrator.core.settings import Settings
    from orchestrator.features.days.agents.service import AgentService
    from orchestrator.web.feature import Resources

IN_PROCESS: Final = "http://agents.localhost"


class AgentConnection:
    """Client and signals; close it by leaving. ``router`` serves our own agents to those who have none.

    Raises:
        SettingsError: the agents are elsewhere, and there is no token for them.
    """

    def __init__(self, resources: Resources, own: AgentService) -> None:
        self.router: APIRouter = agents_router(own)
        base_url = resources.settings.days.edge_base_url
        allowance = Allowance(resources.buckets, resources.settings.limits.agent_calls)
        in_process = httpx2.ASGITransport(agents_app(own), raise_app_exceptions=False)
        self.client = AgentClient(
            base_url or IN_PROCESS,
            token_for_agents(resources.settings),
            clock=resources.clock,
            metrics=resources.metrics,
            allowance=allowance if base_url else None,  # our own need no protection from us
            transport=None if base_url else in_process,
        )
        self._cache = SignalTable(resources.database)
        self.signals = Signals(
            self.client,
            self._cache,
            ENDPOINTS,
            clock=resources.clock,
            metrics=resources.metrics,
        )

    async def __aenter__(self) -> Self:
        """Nothing is reached before an agent is asked."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End what is still asked, and close the connections."""
        await self.signals.close()
        await self.client.aclose()
        await self._cache.close()


def token_for_agents(settings: Settings) -> SecretStr:
    """What tells the agents that it is us.

    Raises:
        SettingsError: the agents are elsewhere, and there is no token for them.
    """
    given = settings.auth.edge_service_jwt or settings.auth.supabase_service_role_key
    if given is not None:
        return given
    if settings.days.edge_base_url is not None:
        raise SettingsError(
            "days.edge_base_url (EDGE_BASE_URL) says where the agents are, and there is no token for them. "
            "Set auth.edge_service_jwt (EDGE_SERVICE_JWT) to one that they take, or leave the address out."
        )
    return SecretStr(new_id())  # nobody looks at it within the process
