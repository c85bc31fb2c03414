"""The embedded engine: durable runs in this process, with nothing else installed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, overload

from pydantic_core import from_json

from orchestrator.core.clock import Clock, SystemClock
from orchestrator.core.errors import ConflictError, NotFoundError
from orchestrator.core.ids import new_id
from orchestrator.durable.embedded.execution import Execution
from orchestrator.durable.embedded.handle import EmbeddedRun
from orchestrator.durable.embedded.history import (
    ADD_RUN,
    DELETE_RUN,
    RUN_STREAM,
    SELECT_ENTRIES,
    SELECT_OPEN,
    SELECT_RUN,
    SET_ENDED,
    SET_OPEN_STATUS,
    RunRow,
    selection,
)
from orchestrator.durable.embedded.runner import MOST_STEPS_AT_ONCE, StepRunner
from orchestrator.durable.embedded.services import Services
from orchestrator.durable.embedded.timers import Alarms
from orchestrator.durable.errors import EngineStoppedError, RunClosedError
from orchestrator.durable.registry import NotRegisteredError, Registry
from orchestrator.durable.runs import EventType, Prefix, RunInfo, Status
from orchestrator.journal import Group, Journal, JournalError
from orchestrator.streams import EmbeddedStreams, Entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from orchestrator.durable.workflows import Workflow

In = TypeVar("In")
Out = TypeVar("Out")

SEED_BYTES = 16
# Open runs are read in pages, so that a start with very many of them does not hold them all at once.
OPEN_RUNS_PAGE = 1_000


class EmbeddedEngine:
    """Runs workflows in this process and records them in one SQLite file.

    Use it as an async context manager. Opening it goes on with every run that the file has open; closing it
    leaves runs where they are, to go on at the next opening.
    """

    def __init__(  # options, all but the first with defaults
        self,
        path: str | os.PathLike[str],
        *,
        workflows: Iterable[Workflow[Any, Any]] = (),
        steps: Iterable[object] = (),
        clock: Clock | None = None,
        most_steps_at_once: int = MOST_STEPS_AT_ONCE,
        on_ended: Callable[[RunInfo], None] | None = None,
        fault: Callable[[str], None] | None = None,
    ) -> None:
        """Take the file's path, the workflows, and the steps: functions, or instances with step methods.

        Args:
            path: of the journal file; it is made if it is not there.
            workflows: those that may be started, and those that open runs of the file need.
            steps: all that these workflows run.
            clock: where time comes from; the machine's clock if not given.
            most_steps_at_once: how many steps run side by side; more wait their turn.
            on_ended: told of every run that ended, once that is durable; metrics are made of it.
            fault: called at named points of every write, for tests that cut the power there.
        """
        self._path = Path(path)
        self._clock = clock or SystemClock()
        self._most_steps_at_once = most_steps_at_once
        self._on_ended = on_ended
        self._fault = fault
        self._registry = Registry()
        self._registry.add(workflows, steps)
        self._runs: dict[str, Execution] = {}
        self._services: Services | None = None
        self._broken: JournalError | None = None
        self._terminating: dict[int, Group] = {}
        self._deleting: dict[str, Group] = {}

    def add(self, *, workflows: Iterable[Workflow[Any, Any]] = (), steps: Iterable[object] = ()) -> None:
        """Take more workflows and steps, before the engine is opened.

        Raises:
            ValueError: a name is taken. RuntimeError: the engine is open.
        """
        if self._services is not None:
            raise RuntimeError("add workflows and steps before the engine is opened")
        self._registry.add(workflows, steps)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Open the file and go on with its open runs.

        Raises:
            JournalInUseError: another process has the file.
            JournalError: it cannot be used; the message says why.
        """
        journal = Journal(self._path, *([self._fault] if self._fault else []))
        alarms = Alarms(self._clock)
        self._services = Services(
            loop=asyncio.get_running_loop(),
            journal=journal,
            streams=EmbeddedStreams(journal, self._clock),
            clock=self._clock,
            alarms=alarms,
            registry=self._registry,
            runner=StepRunner(journal, self._registry, self._clock, alarms, self._most_steps_at_once),
            on_closed=self._on_closed,
        )
        self._broken = None
        journal.listen(lambda _: None, self._on_broken)
        try:
            await self._recover()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop, leaving runs where they are; steps that run are stopped and run again at the next opening."""
        services, self._services = self._services, None
        if services is None:
            return
        try:
            await services.runner.stop()
            services.alarms.stop()
            # Runs turn outside of any task, so that theirs may run.
            await _called_soon(services.loop, self._drop_runs)
        finally:
            await services.journal.close()
            self._runs.clear()
            self._terminating.clear()

    def check(self) -> None:
        """Find out whether new work could be written down.

        Raises:
            EngineStoppedError: the engine is not open. JournalFullError: the disk is full.
            JournalError: nothing can be written any more.
        """
        self._open.journal.check_writable()

    @property
    def active(self) -> int:
        """How many runs have not ended, in this process."""
        return len(self._runs)

    @property
    def streams(self) -> EmbeddedStreams:
        """The streams in this engine's file."""
        return self._open.streams

    @overload
    async def start(
        self,
        workflow: Workflow[None, Out],
        *,
        id: str | None = None,
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        prefix: Prefix | None = None,
    ) -> EmbeddedRun[Out]: ...
    @overload
    async def start(
        self,
        workflow: Workflow[In, Out],
        input: In,
        *,
        id: str | None = None,
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        prefix: Prefix | None = None,
    ) -> EmbeddedRun[Out]: ...
    async def start(  # the port's options
        self,
        workflow: Workflow[Any, Any],
        input: Any = None,
        *,
        id: str | None = None,
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        prefix: Prefix | None = None,
    ) -> EmbeddedRun[Any]:
        """Start a run; it is durable when this returns. See the port for the arguments.

        Raises:
            ConflictError: another workflow or input under this id.
            NotRegisteredError: the engine was not given this workflow.
            PayloadError, PayloadTooLargeError: the input has no JSON form, or a too large one.
            JournalFullError: the disk is full; nothing was started.
            EngineStoppedError: the engine is not open.
        """
        services = self._open
        services.journal.check_writable()
        self._registry.workflow(workflow.type_name)
        data = workflow.input.record(input)
        digest = hashlib.sha256(f"{workflow.type_name}\0".encode() + data).digest()
        run_id = new_id() if id is None else id
        found = None if id is None else await self._already(run_id, digest)
        if found is not None:
            return found
        seed = prefix.seed if prefix else os.urandom(SEED_BYTES)
        now = self._clock.time()
        number = services.streams.create(RUN_STREAM + run_id, owner)
        tags_text = json.dumps(dict(tags or {}), sort_keys=True)
        services.journal.stage(
            ADD_RUN,
            (number, workflow.type_name, owner, tags_text, digest, seed, now, Status.RUNNING, None, ""),
        )
        run = self._make(number, run_id, workflow, seed, now)
        run.digest = digest
        first = prefix.began_at if prefix else now
        entries = [Entry(1, first, EventType.RUN_STARTED, "", data)]
        entries += [
            Entry(offset, recorded.at, recorded.type, recorded.key, recorded.data)
            for offset, recorded in enumerate(prefix.entries if prefix else (), 2)
        ]
        for entry in entries:
            run.cause = services.streams.stage(
                number, entry.offset, entry.at, entry.type, entry.key, entry.data
            )
        group = cast("Group", run.cause)
        services.journal.flush()
        services.loop.call_soon(run.replay, entries)
        await services.journal.durable(group)
        return EmbeddedRun(self, number, run_id)

    async def get(self, id: str) -> EmbeddedRun[Any]:
        """The run of that id.

        Raises:
            NotFoundError: there is none.
        """
        return EmbeddedRun(self, self.row(id).number, id)

    async def list(  # the port's filters
        self,
        *,
        status: Sequence[Status] = (),
        workflow: str | None = None,
        owner: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[RunInfo]:
        """Runs, newest first; ``before`` is the last id of the page before."""
        found: list[RunInfo] = []
        while len(found) < limit:
            sql, values = selection(
                status=status, workflow=workflow, owner=owner, tags=tags, limit=limit, before=before
            )
            rows = [RunRow(*row) for row in await self._open.journal.fetch(sql, values)]
            infos = [row.info(self._status_in_memory(row.id)) for row in rows]
            # Where an open run stands is known in memory only, so a page of the file may shrink.
            found += [info for info in infos if not status or info.status in status]
            if len(rows) < limit:
                break
            before = rows[-1].id
        return found[:limit]

    async def delete(self, id: str) -> None:
        """Forget an ended run and all it recorded.

        Raises:
            NotFoundError: there is none. ConflictError: it has not ended.
        """
        row = self.row(id)
        if id in self._runs or row.closed_at is None:
            raise ConflictError(f"run {id} has not ended; cancel it first", code="run_open")
        services = self._open
        services.journal.check_writable()
        services.streams.stage_delete(row.number)
        group = self._deleting[id] = services.journal.stage(DELETE_RUN, (row.number,))
        services.journal.flush()
        try:
            await services.journal.durable(group)
        finally:
            self._deleting.pop(id, None)

    # For handles.

    def row(self, run_id: str) -> RunRow:
        """The stored row of a run.

        Raises:
            NotFoundError: there is none.
        """
        found = self._open.journal.read(SELECT_RUN, (RUN_STREAM + run_id,))
        if not found:
            raise NotFoundError(f"there is no run {run_id!r}")
        return RunRow(*found[0])

    def info(self, run_id: str) -> RunInfo:
        """Where a run stands now."""
        return self.row(run_id).info(self._status_in_memory(run_id))

    async def entries(self, number: int) -> Sequence[Entry]:
        """All that is durable of a run's history."""
        return [Entry(*row) for row in await self._open.journal.fetch(SELECT_ENTRIES, (number,))]

    async def follow(self, number: int, run_id: str, after: int) -> AsyncIterator[Entry]:
        """A run's history as it grows; nothing where it has ended and all of it was seen."""
        row = self.row(run_id)
        if row.number != number or (row.closed_at is not None and after >= self._last_offset(number)):
            return
        async for entry in self._open.streams.follow_number(number, after):
            yield entry

    async def ended(self, number: int, run_id: str) -> tuple[RunRow, bytes]:
        """Wait until a run has ended or is stuck; its row then, and the data of its last entry."""
        run = self._runs.get(run_id)
        if run is not None:
            waiting: asyncio.Future[None] = self._open.loop.create_future()
            run.waiters.append(waiting)
            try:
                await waiting
            finally:
                run.waiters.remove(waiting)
        row = self.row(run_id)
        if row.closed_at is None:
            return row, b""
        if run is not None:
            return row, run.result
        last = "SELECT data FROM entries WHERE stream = ? ORDER BY offset DESC LIMIT 1"
        return row, self._open.journal.read(last, (number,))[0][0]

    def decode_result(self, type_name: str, data: bytes) -> Any:
        """A result as its workflow declares it; as plain JSON if the engine does not have the workflow."""
        try:
            return self._registry.workflow(type_name).output.decode(data)
        except NotRegisteredError:
            return from_json(data)

    async def signal(self, run_id: str, name: str, data: bytes, signal_id: str | None) -> None:
        """Deliver a signal to an open run."""
        self._open.journal.check_writable()
        run = self._runs.get(run_id)
        if run is None or run.status.closed:
            status = self.row(run_id).status if run is None else run.status
            raise RunClosedError(f"run {run_id} is {status} and takes no signals")
        await self._do(run, lambda: run.signal(name, data, signal_id))

    async def cancel(self, run_id: str) -> None:
        """Cancel an open run; end a stuck one."""
        self._open.journal.check_writable()
        run = self._runs.get(run_id)
        if run is None or run.status is Status.STUCK:
            await self._terminate(self.row(run_id))
        elif not run.status.closed:
            await self._do(run, run.cancel)

    # Inside.

    @property
    def _open(self) -> Services:
        if self._services is None:
            raise EngineStoppedError("the engine is not open; use `async with EmbeddedEngine(…) as engine:`")
        if self._broken is not None:
            raise self._broken
        return self._services

    def _make(
        self, number: int, run_id: str, workflow: Workflow[Any, Any], seed: bytes, now: float
    ) -> Execution:
        run = Execution(self._open, number=number, run_id=run_id, workflow=workflow, seed=seed, now=now)
        self._runs[run_id] = run
        return run

    async def _already(self, run_id: str, digest: bytes) -> EmbeddedRun[Any] | None:
        """The run that has this id, if there is one; it is durable then."""
        while run_id in self._deleting:
            await self._open.journal.durable(self._deleting[run_id])
        run = self._runs.get(run_id)
        if run is not None:
            number, known = run.number, run.digest
        else:
            found = self._open.journal.read(SELECT_RUN, (RUN_STREAM + run_id,))
            if not found:
                return None
            row = RunRow(*found[0])
            number, known = row.number, row.digest
        if known != digest:
            raise ConflictError(
                f"run {run_id!r} exists with another workflow or input; use another id", code="run_conflict"
            )
        if run is not None and run.cause is not None:
            await self._open.journal.durable(run.cause)
        return EmbeddedRun(self, number, run_id)

    async def _recover(self) -> None:
        services = self._open
        last = 0
        stuck: Group | None = None
        while rows := await services.journal.fetch(SELECT_OPEN, (last, OPEN_RUNS_PAGE)):
            for values in rows:
                row = RunRow(*values)
                last = row.number
                try:
                    workflow = self._registry.workflow(row.workflow)
                except NotRegisteredError as error:
                    stuck = services.journal.stage(SET_OPEN_STATUS, (row.number, Status.STUCK, error.message))
                    continue
                run = self._make(row.number, row.id, workflow, row.seed, row.created_at)
                run.digest = row.digest
                entries = [Entry(*entry) for entry in services.journal.read(SELECT_ENTRIES, (row.number,))]
                services.loop.call_soon(_resume, services.journal, run, row, entries)
            await asyncio.sleep(0)
        if stuck is not None:
            services.journal.flush()
            await services.journal.durable(stuck)

    async def _terminate(self, row: RunRow) -> None:
        if row.closed_at is not None:
            return
        services = self._open
        group = self._terminating.get(row.number)
        if group is None:
            now = self._clock.time()
            offset = self._last_offset(row.number) + 1
            services.streams.stage(row.number, offset, now, EventType.RUN_TERMINATED, "", b"")
            group = services.journal.stage(SET_ENDED, (row.number, Status.TERMINATED, now, row.reason))
            self._terminating[row.number] = group
            services.journal.flush()
        await services.journal.durable(group)
        self._terminating.pop(row.number, None)

    def _last_offset(self, number: int) -> int:
        last = "SELECT coalesce(max(offset), 0) FROM entries WHERE stream = ?"
        return int(self._open.journal.read(last, (number,))[0][0])

    async def _do(self, run: Execution, change: Callable[[], None]) -> None:
        """Change a run from outside any of its tasks, and wait until the change is durable."""
        services = self._open

        def now() -> None:
            if not run.status.closed:
                change()

        await _called_soon(services.loop, now)
        if run.cause is not None:
            await services.journal.durable(run.cause)

    def _status_in_memory(self, run_id: str) -> Status | None:
        run = self._runs.get(run_id)
        if run is None or run.status.closed:
            return None
        return Status.WAITING if run.waiting else Status.RUNNING

    def _on_closed(self, run: Execution) -> None:
        self._runs.pop(run.run_id, None)
        for waiting in run.waiters:
            if not waiting.done():
                waiting.set_result(None)
        if self._on_ended is not None and run.status.closed:
            self._on_ended(run.info())

    def _on_broken(self, error: JournalError) -> None:
        self._broken = error
        for run in self._runs.values():
            _refuse(run.waiters, error)

    def _drop_runs(self) -> None:
        stopped = EngineStoppedError("the engine was closed; the run goes on at the next opening")
        for run in self._runs.values():
            run.drop()
            _refuse(run.waiters, stopped)


def _resume(journal: Journal, run: Execution, row: RunRow, entries: Sequence[Entry]) -> None:
    run.replay(entries)
    if row.status == Status.STUCK and run.status is Status.RUNNING:
        journal.stage(SET_OPEN_STATUS, (row.number, Status.RUNNING, ""))
        journal.flush()


async def _called_soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Have the loop make this call outside of any task, and wait for it."""
    done: asyncio.Future[None] = loop.create_future()

    def now() -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001  # raised where it is awaited
            done.set_exception(error)
        else:
            done.set_result(None)

    loop.call_soon(now)
    await done


def _refuse(waiters: list[asyncio.Future[None]], error: Exception) -> None:
    for waiting in waiters:
        if not waiting.done():
            waiting.set_exception(error)
