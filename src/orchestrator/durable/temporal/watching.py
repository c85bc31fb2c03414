"""Who watches the runs of one engine: their event logs, and one projection for each run that is watched."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from temporalio.converter import WorkflowSerializationContext

from orchestrator.core.errors import NotFoundError, UnavailableError
from orchestrator.core.patience import growing_pauses
from orchestrator.durable.errors import EngineStoppedError
from orchestrator.durable.runs import LAST_EVENTS
from orchestrator.durable.temporal.event_log import EventLog, log_name
from orchestrator.durable.temporal.projection import Projection
from orchestrator.durable.temporal.standing import describe

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from temporalio.client import Client

    from orchestrator.core.redaction import Redactor
    from orchestrator.durable.attempt import StepInfo
    from orchestrator.durable.runs import Event
    from orchestrator.streams import Streams

# Of so many runs it is remembered how far this process has carried them over; others are read again.
MOST_REMEMBERED: Final = 1_000
# How long the end of an attempt waits for what it said to be stored: a server that restarts is back by then.
STORED_WITHIN_S: Final = 30.0
# The same when the attempt is cancelled, and while things are lost, or an outage would hold up every step.
STORED_AT_ONCE_S: Final = 1.0
# When its code has returned, a run ends within this time.
ENDS_WITHIN_S: Final = 60.0
# So many ended runs are carried over side by side.
MOST_SETTLED_AT_ONCE: Final = 8

Value = TypeVar("Value")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Carrying:
    """A projection that goes on for as long as somebody watches."""

    projection: Projection
    task: asyncio.Task[None]
    watchers: int = 0


class Watching:
    """The event logs of one open engine's runs.

    Args:
        client: of the cluster.
        streams: where the logs are.
        kept_s: for how many seconds a log is kept when its run has ended.
        redactor: what hides secrets from watchers.
    """

    def __init__(self, client: Client, streams: Streams, kept_s: float, redactor: Redactor) -> None:
        self._client = client
        self._streams = streams
        self._kept_s = kept_s
        self._redactor = redactor
        self._projections: OrderedDict[str, Projection] = OrderedDict()
        self._first_of: OrderedDict[str, str] = OrderedDict()
        self._carried: dict[str, _Carrying] = {}
        self._is_losing = False
        self._is_closed = False
        self._settling: set[asyncio.Task[None]] = set()
        self._settles = asyncio.Semaphore(MOST_SETTLED_AT_ONCE)

    async def close(self) -> None:
        """Carry nothing over any more; who watches, or begins to, is told so."""
        self._is_closed = True
        tasks = [*(carrying.task for carrying in self._carried.values()), *self._settling]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def events(self, run_id: str, after: int) -> AsyncIterator[Event]:
        """A run's events above ``after``, live, until its last one; from 0 those of its present history on.

        While server or streams are away it waits for them.

        Raises:
            NotFoundError: there is no such run. UnavailableError: the server does not answer at the start.
            EngineStoppedError: the engine was closed.
        """
        run = (await describe(self._client, run_id)).workflow_execution_info
        first, present = run.first_run_id, run.execution.run_id
        pauses = growing_pauses()
        while True:
            try:
                await self._forget_expired(first)
                with self._carrying(run_id, first) as carrying:
                    if after == 0 and present != first:
                        after = max(await carrying.projection.until_history(present) - 1, 0)
                    async with aclosing(_watch(carrying.projection, carrying.task, after)) as events:
                        async for event in events:
                            after = event.offset
                            pauses = growing_pauses()
                            yield event
            except UnavailableError as error:
                log.info("a watcher of run %s waits: %s", run_id, error)
                await asyncio.sleep(next(pauses))
            else:
                return

    async def so_far(self, run_id: str) -> list[Event]:
        """The events of a run that there are now; of its present history on.

        Raises:
            NotFoundError: there is no such run. UnavailableError: server or streams do not answer.
        """
        run = (await describe(self._client, run_id)).workflow_execution_info
        event_log = self._log(run_id, run.first_run_id)
        projection = Projection(
            self._client, run_id, run.first_run_id, event_log, self._kept_s, self._redactor
        )
        await projection.until_now()
        begins = await event_log.begins_at(run.execution.run_id)
        return [event async for event in event_log.so_far(max(begins - 1, 0))]

    async def of_step(self, run_id: str, history: str) -> Projection:
        """The projection of the run that has this history.

        Raises:
            NotFoundError: it was deleted. UnavailableError: the server does not answer.
        """
        if history not in self._first_of:
            description = await describe(self._client, run_id, history)
            _remember(self._first_of, history, description.workflow_execution_info.first_run_id)
        return self._projection(run_id, self._first_of[history])

    @property
    def stored_within_s(self) -> float:
        """How long the end of an attempt waits now for what it said to be stored."""
        return STORED_AT_ONCE_S if self._is_losing else STORED_WITHIN_S

    def tell_of_loss(self, info: StepInfo, lost: int) -> None:
        """A step has ended, and so many things that it said could not be stored; told once in a row."""
        if lost and not self._is_losing:
            log.warning(
                "%d events of step %s of run %s are lost: server or event streams did not take them in time; "
                "others that are lost before those are back are not mentioned",
                lost, info.step, info.run_id,
            )  # fmt: skip
        self._is_losing = bool(lost)

    def settle(self, run_id: str, first: str) -> None:
        """A run ends now: have its log end too, if there is one, so that it expires."""
        task = asyncio.create_task(self._settle(run_id, first))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def forget(self, run_id: str, first: str) -> None:
        """Delete a run's log.

        Raises:
            UnavailableError: streams are away.
        """
        self._projections.pop(first, None)
        await self._log(run_id, first).delete()

    async def _settle(self, run_id: str, first: str) -> None:
        try:
            async with self._settles, asyncio.timeout(ENDS_WITHIN_S):
                projection = self._projection(run_id, first)
                if await projection.log.present_history():
                    await projection.go_on_for_ever()
        except (NotFoundError, UnavailableError, TimeoutError) as error:
            log.info("the log of run %s ends when somebody watches it: %s", run_id, error)

    def _projection(self, run_id: str, first: str) -> Projection:
        projection = self._projections.get(first)
        if projection is None:
            event_log = self._log(run_id, first)
            projection = Projection(self._client, run_id, first, event_log, self._kept_s, self._redactor)
        _remember(self._projections, first, projection)
        return projection

    def _log(self, run_id: str, first: str) -> EventLog:
        context = WorkflowSerializationContext(namespace=self._client.namespace, workflow_id=run_id)
        converter = self._client.data_converter.with_context(context)
        return EventLog(self._streams, log_name(run_id, first), converter)

    async def _forget_expired(self, first: str) -> None:
        """Have a run carried over anew whose log was whole and has expired."""
        known = self._projections.get(first)
        if known is None or not known.last_offset.done():
            return
        if not await known.log.has(known.last_offset.result()):
            self._projections.pop(first, None)

    @contextmanager
    def _carrying(self, run_id: str, first: str) -> Iterator[_Carrying]:
        if self._is_closed:
            raise EngineStoppedError("the engine was closed while its run was watched")
        carrying = self._carried.get(first)
        if carrying is None:
            projection = self._projection(run_id, first)
            task = asyncio.create_task(projection.go_on_for_ever())
            # Who watches hears how it ends, if anybody does.
            task.add_done_callback(lambda task: task.cancelled() or task.exception())
            carrying = self._carried[first] = _Carrying(projection, task)
        carrying.watchers += 1
        try:
            yield carrying
        finally:
            carrying.watchers -= 1
            if not carrying.watchers:
                carrying.task.cancel()
                del self._carried[first]


async def _watch(
    projection: Projection, carrying: asyncio.Task[None], after: int
) -> AsyncGenerator[Event, None]:
    async with aclosing(projection.log.follow(after)) as events:
        while (event := await _next(events, projection, carrying, after)) is not None:
            after = event.offset
            yield event
            if event.type in LAST_EVENTS:
                return


async def _next(
    events: AsyncGenerator[Event, None], projection: Projection, carrying: asyncio.Task[None], after: int
) -> Event | None:
    """The next event; None when all were seen, or the log was deleted."""
    coming = asyncio.ensure_future(anext(events, None))
    try:
        await asyncio.wait({coming, carrying}, return_when=asyncio.FIRST_COMPLETED)
        if not coming.done():
            if carrying.cancelled():
                raise EngineStoppedError("the engine was closed while its run was watched")
            carrying.result()
            if projection.last_offset.result() <= after:
                return None
        return await coming
    finally:
        if not coming.done():
            coming.cancel()
            await asyncio.wait([coming])


def _remember(known: OrderedDict[str, Value], key: str, value: Value) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > MOST_REMEMBERED:
        known.popitem(last=False)
