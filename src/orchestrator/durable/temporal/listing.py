"""Runs, newest first, out of a server that finds them in no such order.

On PostgreSQL, MySQL and SQLite a Temporal server lists ended runs by the time of their end, and takes no
other order. So windows of time are read, from now backwards, each sorted here; how wide they are follows
from how many runs the server counts in them.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest

from orchestrator.core.errors import NotFoundError
from orchestrator.durable.names import RESERVED
from orchestrator.durable.runs import Status
from orchestrator.durable.temporal import search
from orchestrator.durable.temporal.standing import describe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence

    from temporalio.api.workflow.v1 import WorkflowExecutionInfo
    from temporalio.client import Client

    from orchestrator.durable.runs import RunInfo

FIRST_WINDOW: Final = timedelta(minutes=1)
SHORTEST_WINDOW: Final = timedelta(milliseconds=1)
# A window of fewer runs makes the next one wider; one of more is made narrower before it is read.
FEW: Final = 100
MANY: Final = 1_000
GROWTH: Final = 4
# Runs that are described side by side.
DESCRIBED_AT_ONCE: Final = 16
# A server's clock may be ahead of ours, and its times finer than those that it finds runs by.
AHEAD: Final = timedelta(days=1)
FINEST: Final = timedelta(milliseconds=1)

# Where a server would have a run of each status; what open runs do it does not know.
_OPEN: Final = ("Running", "Paused")
_STORED: Final = {
    Status.COMPLETED: ("Completed",),
    Status.FAILED: ("Failed",),
    Status.CANCELLED: ("Canceled",),
    Status.TERMINATED: ("Terminated",),
    Status.TIMED_OUT: ("TimedOut",),
}


class Listing:
    """One request for a list of an engine's runs.

    Args:
        client: of the cluster.
        task_queue: where the engine's runs work.
        inform: the facts of a run by its id; a NotFoundError when it is gone.
        status: any of these, or any at all.
        workflow: type name.
        owner: whose.
        tags: all of these.
    """

    def __init__(  # the port's filters, one each
        self,
        client: Client,
        task_queue: str,
        inform: Callable[[str], Awaitable[RunInfo]],
        *,
        status: Sequence[Status] = (),
        workflow: str | None = None,
        owner: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self._client = client
        self._inform = inform
        self._status = status
        self._owner = owner
        self._tags = dict(tags or {})
        self._query = " AND ".join(_conditions(task_queue, status, workflow, owner, self._tags))

    async def page(self, limit: int, before: str | None) -> list[RunInfo]:
        """At most ``limit`` runs that are older than the run ``before``.

        Raises:
            NotFoundError: there is no run ``before``.
        """
        last = (
            None if before is None else _place((await describe(self._client, before)).workflow_execution_info)
        )
        found: list[RunInfo] = []
        waiting: list[WorkflowExecutionInfo] = []
        if limit < 1:
            return found
        async for run in self._newest_first(last):
            waiting.append(run)
            if len(waiting) >= min(limit, DESCRIBED_AT_ONCE):
                found += await self._fitting(waiting)
                waiting.clear()
            if len(found) >= limit:
                break
        found += await self._fitting(waiting)
        return found[:limit]

    async def _place_of(self, run_id: str) -> tuple[datetime, str]:
        return _place((await describe(self._client, run_id)).workflow_execution_info)

    async def _newest_first(self, last: tuple[datetime, str] | None) -> AsyncIterator[WorkflowExecutionInfo]:
        async for window in self._windows(datetime.now(UTC) + AHEAD if last is None else last[0] + FINEST):
            for run in sorted(window, key=_place, reverse=True):
                if last is None or _place(run) < last:
                    yield run

    async def _windows(self, until: datetime) -> AsyncIterator[list[WorkflowExecutionInfo]]:
        """All runs that began up to ``until``, in windows of time from there backwards."""
        width = FIRST_WINDOW
        while left := await self._count(_upto(until)):
            if left <= MANY:
                yield await self._read(_upto(until))
                return
            since = until - width
            within = await self._count(f"{_upto(until)} AND StartTime > '{since.isoformat()}'")
            if within > MANY and width > SHORTEST_WINDOW:
                width = max(width / GROWTH, SHORTEST_WINDOW)
                continue
            if within:
                yield await self._read(f"{_upto(until)} AND StartTime > '{since.isoformat()}'")
            until = since
            width = width * GROWTH if within < FEW else width

    async def _count(self, when: str) -> int:
        return (await self._client.count_workflows(f"{self._query} AND {when}")).count

    async def _read(self, when: str) -> list[WorkflowExecutionInfo]:
        found: list[WorkflowExecutionInfo] = []
        token = b""
        while True:
            request = ListWorkflowExecutionsRequest(
                namespace=self._client.namespace, query=f"{self._query} AND {when}", next_page_token=token
            )
            page = await self._client.workflow_service.list_workflow_executions(request, retry=True)
            found += page.executions
            token = page.next_page_token
            if not token:
                return found

    async def _fitting(self, runs: Iterable[WorkflowExecutionInfo]) -> list[RunInfo]:
        """Those that are what was asked for at this moment: a server's index lags, and knows less."""
        infos = await asyncio.gather(*(self._info(run) for run in runs))
        return [info for info in infos if info is not None and self._fits(info)]

    async def _info(self, run: WorkflowExecutionInfo) -> RunInfo | None:
        try:
            return await self._inform(run.execution.workflow_id)
        except NotFoundError:
            return None

    def _fits(self, info: RunInfo) -> bool:
        return (
            (not self._status or info.status in self._status)
            and self._owner in {None, info.owner}
            and self._tags.items() <= dict(info.tags).items()
        )


def _conditions(
    task_queue: str,
    status: Sequence[Status],
    workflow: str | None,
    owner: str | None,
    tags: Mapping[str, str],
) -> Iterable[str]:
    yield f"TaskQueue = {_quoted(task_queue)}"
    yield f"WorkflowType NOT STARTS_WITH '{RESERVED}'"
    yield "ExecutionStatus != 'ContinuedAsNew'"
    if status:
        stored = {name for one in status for name in _STORED.get(one, _OPEN)}
        yield f"ExecutionStatus IN ({', '.join(map(_quoted, sorted(stored)))})"
    if workflow is not None:
        yield f"WorkflowType = {_quoted(workflow)}"
    if owner is not None:
        yield f"{search.NAME} = {_quoted(search.owner_keyword(owner))}"
    for key, value in tags.items():
        yield f"{search.NAME} = {_quoted(search.tag_keyword(key, value))}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _upto(until: datetime) -> str:
    return f"StartTime <= '{until.isoformat()}'"


def _place(run: WorkflowExecutionInfo) -> tuple[datetime, str]:
    """Where a run is in the list: by when it began, as fine as a server's index has it, then by its id."""
    return run.start_time.ToDatetime(UTC), run.execution.workflow_id
