"""Carrying a run's history over into its event log, from where this process left off."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType as Kind
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest
from temporalio.service import RPCError

from orchestrator.core.errors import NotFoundError, UnavailableError
from orchestrator.core.patience import growing_pauses
from orchestrator.durable.runs import LAST_EVENTS
from orchestrator.durable.temporal.event_log import Told, key_of, step_of
from orchestrator.durable.temporal.failures import explained_of_run
from orchestrator.durable.temporal.history import HistoryReader
from orchestrator.durable.temporal.standing import describe
from orchestrator.durable.temporal.travelling import open_payloads

if TYPE_CHECKING:
    from collections.abc import Iterable

    from temporalio.api.history.v1 import HistoryEvent
    from temporalio.client import Client

    from orchestrator.core.redaction import Redactor
    from orchestrator.durable.temporal.event_log import EventLog

# How many entries of a history are carried over together.
PAGE = 250

log = logging.getLogger(__name__)


class Projection:
    """Reads one run's history, and those that it goes on in, and appends to ``log`` what they tell.

    Any number may do so at the same time, in any processes: the log takes each event once, and as each of
    them goes in the order of the history, whoever comes first to some event has all before it in the log.

    Args:
        client: of the cluster.
        run_id: whose history.
        first: the run's first history.
        log: where it goes.
        kept_s: for how many seconds the log is kept when the run has ended.
        redactor: what hides secrets from watchers.
    """

    def __init__(  # from `Watching` alone
        self, client: Client, run_id: str, first: str, log: EventLog, kept_s: float, redactor: Redactor
    ) -> None:
        self.log = log
        self._client = client
        self._run_id = run_id
        self._first = first
        self._kept_s = kept_s
        self._redactor = redactor
        self._history = ""
        self._before = ""
        self._token = b""
        self._reader = HistoryReader(self._redactor)
        self._waiting: list[Told] = []
        self._following = ""
        self._is_silent = False
        self._is_new = True
        self._waits = True
        self._told: set[str] = set()
        self._turn = asyncio.Lock()
        self.last_offset: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """The offset of the run's last event, once that is in the log."""

    async def go_on_for_ever(self) -> None:
        """Carry over what comes until the run has ended; it waits for server and streams that are away.

        Raises:
            NotFoundError: the run was deleted. UnreadableError: it cannot be read with the keys at hand.
        """
        pauses = growing_pauses()
        while not self.last_offset.done():
            try:
                async with self._turn:
                    await self._go_on()
                pauses = growing_pauses()
            except UnavailableError as error:
                log.info("the events of run %s wait: %s", self._run_id, error)
                await asyncio.sleep(next(pauses))

    async def until_now(self) -> None:
        """Carry over what there is now, and wait for nothing more.

        Raises:
            NotFoundError: the run was deleted. UnavailableError: server or streams are away.
        """
        self._waits = False
        async with self._turn:
            await self._go_on()
            while self._token or self._is_new:
                await self._go_on()

    async def until_history(self, history: str) -> int:
        """Carry over until a history that there is has begun in the log, and give the offset of its start.

        Raises:
            NotFoundError: the run was deleted. UnavailableError: server or streams are away.
        """
        while not (offset := await self.log.begins_at(history)) and not self.last_offset.done():
            async with self._turn:
                if self._history == history and not self._is_new:
                    return await self.log.begins_at(history)
                await self._go_on()
        return offset

    async def until_begun(self, history: str, operation: str) -> None:
        """Carry over until that step's start is in the log, or the run's end.

        Raises:
            NotFoundError: the run was deleted. UnavailableError: server or streams are away.
        """
        step = step_of(key_of(history, operation, ""))
        while step not in self._told and not self.last_offset.done():
            async with self._turn:
                if step not in self._told:
                    await self._go_on()

    async def _go_on(self) -> None:
        """Carry one page over; it waits until there is something, and does nothing once all is in the log."""
        if self.last_offset.done():  # somebody else carried it over, who had the turn before
            return
        if not self._waiting:
            await self._read_on()
        if self._is_new and self._reader.goes_on:
            await self._go_on_in_life()
        if self._waiting:
            await self._append()
        if self._following:
            self._before, self._history = self._history, self._following
            self._following, self._token = "", b""
            self._reader = HistoryReader(self._redactor, knows_before=True)
            self._is_new = True
        if self._is_silent and self._waits:
            raise UnavailableError(f"the server tells nothing of run {self._run_id} while it is paused there")

    async def _read_on(self) -> None:
        if not self._history:
            known = await self.log.present_history()
            self._history = known or await self._oldest_history()
            self._reader = HistoryReader(self._redactor, knows_before=bool(known))
        events, token = await self._page()
        for event in events:
            await open_payloads(event, self._client.data_converter)
        self._token = token
        self._waiting = list(self._read(events))
        self._following = _following(events)
        has_ended = bool(self._waiting) and self._waiting[-1].event.type in LAST_EVENTS
        self._is_silent = not (token or self._following or has_ended)

    async def _go_on_in_life(self) -> None:
        """Have the log know a history of the same life as the one before: both begin where that life does."""
        if self._before:
            await self.log.begin_history(self._history, await self.log.begins_at(self._before))
        self._is_new = False

    async def _append(self) -> None:
        """Append what was read; should that fail or be cancelled, it is appended the next time."""
        offsets = await self.log.append(self._waiting)
        if self._is_new:
            await self.log.begin_history(self._history, offsets[0])
            self._is_new = False
        if self._waiting[-1].event.type in LAST_EVENTS:
            await self.log.expire(self._kept_s)
            self.last_offset.set_result(offsets[-1])
        self._told.update(step_of(told.key) for told in self._waiting)
        self._waiting = []

    def _read(self, events: Iterable[HistoryEvent]) -> Iterable[Told]:
        for entry in events:
            for number, event in enumerate(self._reader.read(entry)):
                yield Told(key_of(self._history, event.operation, f"{entry.event_id}.{number}"), event)

    async def _oldest_history(self) -> str:
        """The first history, or the present one where the server has forgotten that."""
        try:
            await describe(self._client, self._run_id, self._first)
        except NotFoundError:
            description = await describe(self._client, self._run_id)
            return description.workflow_execution_info.execution.run_id
        return self._first

    async def _page(self) -> tuple[list[HistoryEvent], bytes]:
        request = GetWorkflowExecutionHistoryRequest(
            namespace=self._client.namespace,
            execution=WorkflowExecution(workflow_id=self._run_id, run_id=self._history),
            maximum_page_size=PAGE,
            next_page_token=self._token,
            wait_new_event=self._waits,
        )
        try:
            page = await self._client.workflow_service.get_workflow_execution_history(request, retry=True)
        except RPCError as error:
            raise explained_of_run(self._run_id, error) from error
        return list(page.history.events), page.next_page_token


def _following(events: list[HistoryEvent]) -> str:
    """The history in which the run goes on, if the last of these events says so."""
    if not events or events[-1].event_type != Kind.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
        return ""
    return events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
