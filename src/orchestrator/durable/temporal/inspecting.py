"""The part of the engine that tells operators of open runs: how many, who works on them, does code fit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.service import RPCError

from orchestrator.core.errors import NotFoundError
from orchestrator.durable.checking import RunCheck, diff
from orchestrator.durable.registry import NotRegisteredError
from orchestrator.durable.temporal.stuck import operations_of, rehearsed
from orchestrator.durable.temporal.task_queue import ids_of_open_runs, is_worked_on, open_runs

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

    from temporalio.client import Client

    from orchestrator.durable.errors import MismatchError
    from orchestrator.durable.registry import Registry
    from orchestrator.durable.runs import RunInfo
    from orchestrator.durable.temporal.runs import TemporalRun
    from orchestrator.durable.temporal.terms import Terms


class Inspecting(ABC):
    """Looks at the runs of the engine's task queue. An engine inherits it."""

    _registry: Registry
    _task_queue: str
    _terms: Terms
    _active = 0

    @abstractmethod
    async def get(self, id: str) -> TemporalRun[Any]:
        """The run of that id."""

    @abstractmethod
    def _connected(self) -> Client:
        """The client, while the engine is open."""

    @property
    def active(self) -> int:
        """How many runs of this task queue have not ended, in all processes; some seconds old."""
        return self._active

    async def has_workers(self) -> bool:
        """Whether some process works on the runs of this task queue, or did a moment ago.

        Raises:
            UnavailableError: the cluster does not answer.
        """
        return await is_worked_on(self._connected(), self._task_queue)

    async def check_runs(self) -> AsyncIterator[RunCheck]:
        """Replay every open run's present history against this engine's workflows; nothing is changed.

        Whatever step the code asks for counts as given: another process may have it.

        Raises:
            UnavailableError: the cluster does not answer.
        """
        for run_id in await ids_of_open_runs(self._connected(), self._task_queue):
            with suppress(NotFoundError):  # deleted meanwhile
                info = await (await self.get(run_id)).describe()
                if not info.status.closed:
                    yield await self._check(info)

    async def _count(self, client: Client, _closing: asyncio.Event) -> None:
        """Know how many runs are open, for metrics; a count that fails leaves the one before."""
        with suppress(RPCError):
            self._active = await open_runs(client, self._task_queue)

    async def _check(self, info: RunInfo) -> RunCheck:
        execution = WorkflowExecution(workflow_id=info.id)
        try:
            workflow = self._registry.workflow(info.workflow)
        except NotRegisteredError as unknown:
            return RunCheck(info.id, info.workflow, info.status, fits=False, reason=unknown.message)
        error = await rehearsed(self._connected(), workflow, self._terms, execution)
        if error is None:
            return RunCheck(info.id, info.workflow, info.status, fits=True)
        return RunCheck(
            info.id,
            info.workflow,
            info.status,
            fits=False,
            reason=self._terms.rules.redactor.text(error.message),
            expected=error.expected,
            came=error.came,
            diff=tuple(_diff(await operations_of(self._connected(), execution), error)),
        )


def _diff(recorded: list[str], error: MismatchError) -> list[str]:
    """The recorded operations up to the one that differs are those that the code asked for as well."""
    agreed = recorded[: recorded.index(error.expected)] if error.expected in recorded else recorded
    return diff(recorded, [*agreed, *error.came], error)
