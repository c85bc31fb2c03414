"""The embedded engine: durable runs in this process, with nothing else installed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from orchestrator.core.clock import Clock, PatientClock, SystemClock
from orchestrator.core.errors import ConflictError, NotFoundError
from orchestrator.core.ids import new_id
from orchestrator.core.redaction import Redactor
from orchestrator.durable.codec import codec_for
from orchestrator.durable.embedded.access import RunAccess
from orchestrator.durable.embedded.giving import give
from orchestrator.durable.embedded.handle import EmbeddedRun
from orchestrator.durable.embedded.histories import Histories
from orchestrator.durable.embedded.history import (
    IS_AWAITED,
    RunRow,
    selection,
    tags_text,
)
from orchestrator.durable.embedded.housekeeping import PROGRESS_KEPT, RETENTION, Housekeeping, Kept
from orchestrator.durable.embedded.loop import RunLoop
from orchestrator.durable.embedded.open_runs import OpenRuns
from orchestrator.durable.embedded.parking import MOST_IN_MEMORY
from orchestrator.durable.embedded.removals import Removals
from orchestrator.durable.embedded.runner import MOST_STEPS_AT_ONCE, StepRunner
from orchestrator.durable.embedded.schedules import Schedules
from orchestrator.durable.embedded.scheduling import Scheduling
from orchestrator.durable.embedded.services import Services
from orchestrator.durable.embedded.settling import SETTLES_WITHIN_S, settle
from orchestrator.durable.embedded.timers import Alarms
from orchestrator.durable.errors import EngineStoppedError
from orchestrator.durable.guard import refuse_io_on
from orchestrator.durable.names import chosen
from orchestrator.durable.payloads import MAX_PAYLOAD_BYTES, PayloadRules, to_json
from orchestrator.durable.prefix import prefix_of_fork
from orchestrator.durable.registry import Registry
from orchestrator.durable.runs import (
    FORKED_FROM,
    NORMAL_PRIORITY,
    SAME_INPUT,
    Prefix,
    RunInfo,
    Status,
    check_priority,
    identity_of,
)
from orchestrator.durable.workflows import check_is_workflow
from orchestrator.journal import Journal, JournalError
from orchestrator.streams import EmbeddedStreams

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import timedelta
    from types import TracebackType

    from orchestrator.durable.codec import Encryption
    from orchestrator.durable.workflows import Workflow

In = TypeVar("In")
Out = TypeVar("Out")


class EmbeddedEngine(Scheduling):
    """Runs workflows in this process and records them in one SQLite file.

    Use it as an async context manager. Opening it goes on with every run that the file has open; closing it
    leaves runs where they are, to go on at the next opening.
    """

    def __init__(  # noqa: PLR0913  # options, all but the first with defaults
        self,
        path: str | os.PathLike[str],
        *,
        workflows: Iterable[Workflow[Any, Any]] = (),
        steps: Iterable[object] = (),
        clock: Clock | None = None,
        most_steps_at_once: int = MOST_STEPS_AT_ONCE,
        most_runs_in_memory: int = MOST_IN_MEMORY,
        most_payload_bytes: int = MAX_PAYLOAD_BYTES,
        encryption: Encryption | None = None,
        secrets: Iterable[str] = (),
        retention: timedelta | None = RETENTION,
        progress_retention: timedelta | None = PROGRESS_KEPT,
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
            most_runs_in_memory: beyond it, runs that wait for time or a signal cost a row, not memory.
            most_payload_bytes: what one value may take as JSON; more fails at once, and is not tried again.
            encryption: keys for all values that are recorded; without it they are plain JSON.
            secrets: what no failure and no event may show; secrets that look like one need not be given.
            retention: how long ended runs are kept; None is for ever. Open ones are never removed.
            progress_retention: how long what steps reported is kept after their run's end; None is as long
                as the run.
            on_ended: told of every run that ended, once that is durable; metrics are made of it.
            fault: called at named points of every write, for tests that cut the power there.

        Raises:
            SettingsError: the library that encrypts is not installed.
        """
        self._path = Path(path)
        self._clock = clock or SystemClock()
        self._most_steps_at_once = most_steps_at_once
        self._most_runs_in_memory = most_runs_in_memory
        self._codec = codec_for(encryption)
        known = [*secrets, *(encryption.secrets if encryption else ())]
        self._rules = PayloadRules(most_payload_bytes, Redactor(known))
        self._kept = Kept(retention, progress_retention)
        self._on_ended = on_ended
        self._fault = fault
        self._registry = Registry()
        self._registry.add(workflows, steps)
        self._services: Services | None = None
        self._schedules: Schedules | None = None
        self._runs: OpenRuns | None = None
        self._leave_clock: Callable[[], None] | None = None
        self._broken: JournalError | None = None
        self._removals: Removals | None = None
        self._housekeeping: Housekeeping | None = None

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
        refuse_io_on(RunLoop)
        journal = Journal(self._path, *([self._fault] if self._fault else []))
        alarms = Alarms(self._clock)
        streams = EmbeddedStreams(journal, self._clock)
        self._services = Services(
            loop=asyncio.get_running_loop(),
            journal=journal,
            streams=streams,
            histories=Histories(journal, streams, self._codec),
            codec=self._codec,
            rules=self._rules,
            clock=self._clock,
            alarms=alarms,
            registry=self._registry,
            runner=StepRunner(
                journal, self._registry, self._clock, alarms, self._most_steps_at_once, self._rules
            ),
        )
        self._broken = None
        if isinstance(self._clock, PatientClock):
            self._leave_clock = self._clock.attend(self.settled)
        try:
            self._runs = OpenRuns(self._services, self._most_runs_in_memory, self._on_ended)
            journal.listen(lambda _: None, self._on_broken)
            self._removals = Removals(self._services)
            self._housekeeping = Housekeeping(self._services, self._removals, self._kept)
            await self._runs.recover()
            self._schedules = Schedules(self._services, self._runs)
            await self._schedules.load()
            self._housekeeping.start()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop, leaving runs where they are; steps that run are stopped and run again at the next opening."""
        services, self._services = self._services, None
        runs, self._runs = self._runs, None
        schedules, self._schedules = self._schedules, None
        housekeeping, self._housekeeping = self._housekeeping, None
        if services is None:
            return
        if self._leave_clock is not None:
            self._leave_clock()
        if schedules is not None:
            schedules.stop()
        if housekeeping is not None:
            await housekeeping.stop()
        try:
            await services.runner.stop()
        finally:
            services.alarms.stop()
            if runs is not None:
                await runs.leave()
            await services.journal.close()

    def check(self) -> None:
        """Find out whether new work could be written down.

        Raises:
            EngineStoppedError: the engine is not open. JournalFullError: the disk is full.
            JournalError: nothing can be written any more.
        """
        self._open.journal.check_writable()

    async def settled(self, *, within: float = SETTLES_WITHIN_S) -> None:
        """Wait until all that is left is time, signals, and steps that hang (`orchestrator.testing.forever`).

        Raises:
            TimeoutError: a step still runs after ``within`` seconds of real time; the message names it.
            EngineStoppedError: the engine is not open.
            JournalError: nothing can be written any more.
        """
        if self._housekeeping is not None:
            await self._housekeeping.idle()
        await settle(self._open, within)

    @property
    def active(self) -> int:
        """How many runs have not ended, in this process."""
        return 0 if self._runs is None else self._runs.count

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
        priority: int = NORMAL_PRIORITY,
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
        priority: int = NORMAL_PRIORITY,
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
        priority: int = NORMAL_PRIORITY,
        prefix: Prefix | None = None,
    ) -> EmbeddedRun[Any]:
        """Start a run; it is durable when this returns. See the port for the arguments.

        Raises:
            ConflictError: another workflow or input under this id.
            InvalidInputError: no such priority, or a limit of the workflow finds no key in the input.
            NotRegisteredError: the engine was not given this workflow.
            PayloadError, PayloadTooLargeError: the input has no JSON form, or a too large one.
            JournalFullError: the disk is full; nothing was started.
            EngineStoppedError: the engine is not open.
        """
        self._open.journal.check_writable()
        check_is_workflow(workflow, "engine.start")
        self._registry.workflow(workflow.type_name)
        check_priority(priority)
        data = workflow.input.record(input, self._rules.most_bytes)
        return await self._begin(
            workflow, data, id=id, owner=owner, tags=tags or {}, priority=priority, prefix=prefix
        )

    async def _begin(  # what a run is made of
        self,
        workflow: Workflow[Any, Any],
        data: bytes,
        *,
        id: str | None,
        owner: str,
        tags: Mapping[str, str],
        priority: int,
        prefix: Prefix | None,
        origin: bytes = b"",
    ) -> EmbeddedRun[Any]:
        """Start a run on encoded input. The same ``id``, input and ``origin`` are the same run."""
        services = self._open
        run_id = new_id() if id is None else chosen(id, "run")
        identity = identity_of(workflow.type_name, data, origin)
        found = None if id is None else await self._already(run_id, identity)
        if found is not None:
            return found
        row, group = self._open_runs.begin(
            workflow,
            data,
            run_id,
            owner=owner,
            tags=tags_text(tags),
            priority=priority,
            prefix=prefix,
            origin=origin,
        )
        await services.journal.durable(group)
        return EmbeddedRun(self, row.number, run_id)

    async def get(self, id: str) -> EmbeddedRun[Any]:
        """The run of that id.

        Raises:
            NotFoundError: there is none.
        """
        return EmbeddedRun(self, self.access.row(id).number, id)

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
        """Runs, newest first; ``before`` is the last id of the page before.

        Raises:
            NotFoundError: there is no run ``before``; it may have been deleted meanwhile.
        """
        if before is not None:
            self.access.row(before)
        found: list[RunInfo] = []
        while len(found) < limit:
            sql, values = selection(
                status=status, workflow=workflow, owner=owner, tags=tags, limit=limit, before=before
            )
            rows = [RunRow(*row) for row in await self._open.journal.fetch(sql, values)]
            infos = [self._open_runs.info(row) for row in rows]
            # Where an open run stands is known in memory only, so a page of the file may shrink.
            found += [info for info in infos if not status or info.status in status]
            if len(rows) < limit:
                break
            before = rows[-1].id
        return found[:limit]

    async def delete(self, id: str) -> None:
        """Forget an ended run and all it recorded.

        Raises:
            NotFoundError: there is none. ConflictError: it has not ended, or is a child whose outcome its
                parent has not recorded.
        """
        row = self.access.row(id)
        if row.closed_at is None or self._open_runs.in_memory(id) is not None:
            raise ConflictError(f"run {id} has not ended; cancel it first", code="run_open")
        if self._open.journal.read(IS_AWAITED, (row.number,)):
            raise ConflictError(
                f"run {id} is a child whose outcome its parent has not recorded; end the parent first",
                code="run_awaited",
            )
        removals = self._open_removals
        await removals.remove([await removals.weighed(id)])
        await removals.clear()

    async def give(self, giver: str, taker: str) -> int:
        """Make the giver's ended runs the taker's; how many there were. Open ones stay what they are."""
        return await give(self._open.journal, giver, taker)

    # For handles.

    @property
    def access(self) -> RunAccess:
        """Its runs, while it is open.

        Raises:
            EngineStoppedError: it is not.
        """
        return RunAccess(self._open, self._open_runs)

    async def fork(
        self, run_id: str, from_step: str | None, with_input: Any, id: str | None
    ) -> EmbeddedRun[Any]:
        """Start a run with what another one recorded up to a step."""
        self._open.journal.check_writable()
        row, entries = await self.access.history(run_id)
        workflow = self._registry.workflow(row.workflow)
        origin = to_json({"from": run_id, "from_step": from_step}, "the origin of a fork")
        return await self._begin(
            workflow,
            entries[0].data
            if with_input is SAME_INPUT
            else workflow.input_from(with_input, self._rules.most_bytes),
            id=id,
            owner=row.owner,
            tags={**row.info().tags, FORKED_FROM: run_id},
            priority=row.priority,
            prefix=prefix_of_fork(row.seed, entries, from_step, self._clock.time(), origin),
            origin=origin,
        )

    # Inside.

    @property
    def _open(self) -> Services:
        if self._services is None:
            raise EngineStoppedError("the engine is not open; use `async with EmbeddedEngine(…) as engine:`")
        if self._broken is not None:
            raise self._broken
        return self._services

    @property
    def _open_runs(self) -> OpenRuns:
        if self._runs is None:
            raise EngineStoppedError("the engine is not open; use `async with EmbeddedEngine(…) as engine:`")
        if self._broken is not None:
            raise self._broken
        return self._runs

    @property
    def _open_removals(self) -> Removals:
        if self._removals is None:
            raise EngineStoppedError("the engine is not open; use `async with EmbeddedEngine(…) as engine:`")
        return self._removals

    async def _already(self, run_id: str, identity: bytes) -> EmbeddedRun[Any] | None:
        """The run that has this id, if there is one; it is durable then."""
        await self._open_removals.done(run_id)
        run = self._open_runs.in_memory(run_id)
        try:
            row = self.access.row(run_id) if run is None else run.row
        except NotFoundError:
            return None
        if not self._codec.fits(row.digest, identity):
            raise ConflictError(
                f"run {run_id!r} exists with another workflow or input; use another id", code="run_conflict"
            )
        cause = self._open_runs.queue.arrival(run_id) if run is None else run.cause
        if cause is not None:
            await self._open.journal.durable(cause)
        return EmbeddedRun(self, row.number, run_id)

    def _on_broken(self, error: JournalError) -> None:
        self._broken = error
        if self._services is not None:
            self._services.runner.stir()
        if self._runs is not None:
            self._runs.refuse(error)
