"""The agents of daily plans: whether they can be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2

from orchestrator.app.doctor.report import PROBE_TIMEOUT_S, Check
from orchestrator.core.errors import SettingsError
from orchestrator.features.days.connection import token_for_agents

if TYPE_CHECKING:
    from orchestrator.core.settings import Settings

NAME = "agents"


def agents(settings: Settings) -> Check:
    """Whether they answer.

    Agents that are away break nothing: plans are made by rules until they are back. Any answer of their
    host is good, since an address without a path need not be one of theirs; the token is not sent.
    """
    address = settings.days.edge_base_url
    if address is None:
        return Check(NAME, "ok", "our own, within the service")
    try:
        token_for_agents(settings)
    except SettingsError as error:
        return Check(NAME, "broken", error.message)
    try:
        httpx2.get(str(address), timeout=PROBE_TIMEOUT_S)
    except httpx2.HTTPError as error:
        mend = "Start them, or correct days.edge_base_url (EDGE_BASE_URL). Rules plan days meanwhile."
        return Check(NAME, "warning", f"{address} cannot be reached: {error}", mend)
    return Check(NAME, "ok", f"asked at {address}")
