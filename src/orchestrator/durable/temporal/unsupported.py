# ruff: noqa: ARG002, D102, PLR0913  # refusals take the port's arguments, use none, and are documented there
"""What the port offers and this adapter does not yet: refused in words, never silently nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from orchestrator.core.errors import TerminalError
from orchestrator.durable.runs import NORMAL_PRIORITY
from orchestrator.durable.schedules import CATCH_UP_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.durable.workflows import Workflow


class NotYetOnTemporalError(TerminalError):
    """The Temporal engine does not offer this yet."""

    status = 501
    default_code = "not_yet_on_temporal"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not offered on Temporal yet; the embedded engine has it")


class LaterOfEngine:
    """What `TemporalEngine` lacks."""

    async def schedule(  # the port's options
        self,
        workflow: Workflow[Any, Any],
        input: Any = None,
        *,
        id: str,
        cron: str,
        zone: str = "UTC",
        catch_up: float = CATCH_UP_S,
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        priority: int = NORMAL_PRIORITY,
    ) -> NoReturn:
        raise NotYetOnTemporalError("schedule()")

    async def get_schedule(self, id: str) -> NoReturn:
        raise NotYetOnTemporalError("get_schedule()")

    async def schedules(self) -> NoReturn:
        raise NotYetOnTemporalError("schedules()")
