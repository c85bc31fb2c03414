"""The open runs of a journal: those in memory, and the way back for those that wait outside of it.

A run that only time or a signal can move may leave memory. Its row then says when to come back; when the time
has come, or a signal does, its history is replayed and it goes on.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator.core.errors import NotFoundError
from orchestrator.durable.embedded.awaited_ends import AwaitedEnds
from orchestrator.durable.embedded.children import Children
from orchestrator.durable.embedded.execution import Execution
from orchestrator.durable.embedded.history import (
    ADD_RUN,
    COUNT_OPEN,
    NEVER,
    RUN_STREAM,
    SEED_BYTES,
    SELECT_AWAKE,
    SELECT_BY_NUMBER,
    SELECT_RUN,
    SET_ENDED,
    SET_OPEN,
    SET_SEED,
    RunRow,
)
from orchestrator.durable.embedded.parking import MOST_IN_MEMORY, Parking
from orchestrator.durable.embedded.run_queue import RunQueue
from orchestrator.durable.errors import EngineStoppedError, MismatchError
from orchestrator.durable.prefix import entries_of
from orchestrator.durable.registry import NotRegisteredError
from orchestrator.durable.runs import NORMAL_PRIORITY, EventType, Prefix, Status, identity_of
from orchestrator.journal import UnreadableError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from orchestrator.durable.embedded.services import Services
    from orchestrator.durable.runs import RunInfo
    from orchestrator.durable.workflows import Workflow
    from orchestrator.journal import Group
    from orchestrator.streams import Entry

# Open runs are read in pages, so that a start with very many of them does not hold them all at once.
OPEN_RUNS_PAGE = 1_000


class OpenRuns:
    """Knows every open run of one engine. Whatever moves a run is called outside of any task."""

    def __init__(
        self,
        services: Services,
        most_in_memory: int = MOST_IN_MEMORY,
        on_ended: Callable[[RunInfo], None] | None = None,
    ) -> None:
        self._services = services
        self._on_ended = on_ended
        self._in_memory: dict[str, Execution] = {}
        self._ends = AwaitedEnds(services.loop)
        self._terminating: dict[int, Group] = {}
        self._is_left = False
        self._without_code: Group | None = None
        self.parking = Parking(
            services, self._in_memory, most_in_memory, leave=self._leave_memory, come_back=self._come_back
        )
        self.children = Children(services, self)
        self.queue = RunQueue(services, self._load)
        self.count: int = services.journal.read(COUNT_OPEN)[0][0]

    async def recover(self) -> None:
        """Bring back what was in memory when the last process ended, and what is due since."""
        journal, loop = self._services.journal, self._services.loop
        await self.queue.recover()
        last = 0
        while rows := await journal.fetch(SELECT_AWAKE, (last, OPEN_RUNS_PAGE)):
            for row in (RunRow(*values) for values in rows):
                last = row.number
                # Runs turn outside of any task, so that theirs may run.
                journal.turns.add(self._load, row)
        journal.turns.add(self.parking.wake_due)
        journal.turns.add(self.children.cancel_orphans)
        recovered: asyncio.Future[None] = loop.create_future()
        journal.turns.add(self._recovered, recovered)
        await recovered
        if self._without_code is not None:
            await journal.durable(self._without_code)

    def _recovered(self, recovered: asyncio.Future[None]) -> None:
        """What was in memory is there again, pending orphans are about to be cancelled; then others begin."""
        self._services.journal.turns.add(self.queue.admit)
        self._services.journal.turns.add(recovered.set_result, None)

    def begin(  # noqa: PLR0913  # a run's own facts, one each
        self,
        workflow: Workflow[Any, Any],
        data: bytes,
        run_id: str,
        *,
        owner: str,
        tags: str,
        prefix: Prefix | None = None,
        origin: bytes = b"",
        seed: bytes | None = None,
        priority: int = NORMAL_PRIORITY,
        parent: RunRow | None = None,
    ) -> tuple[RunRow, Group]:
        """Take a new run on the recorded input ``data``; it is durable with the group that this gives.

        ``origin`` tells a fork from other runs of the same input.

        It is staged before this returns, so what else the same turn of the loop stages is of that group too.

        Raises:
            InvalidInputError: a limit of the workflow finds no key in the input.
        """
        services = self._services
        needs = workflow.slots(data)
        now = services.clock.time()
        number = services.streams.create(RUN_STREAM + run_id, owner)
        row = RunRow(
            number=number,
            workflow=workflow.type_name,
            owner=owner,
            tags=tags,
            digest=services.codec.digest(identity_of(workflow.type_name, data, origin)),
            seed=prefix.seed if prefix else seed or os.urandom(SEED_BYTES),
            created_at=now,
            status=Status.RUNNING,
            closed_at=None,
            reason="",
            wake_at=None,
            parent=None if parent is None else parent.number,
            priority=priority,
            slots=self.queue.slots(number, needs, parent),
            name=RUN_STREAM + run_id,
            parent_name=None if parent is None else parent.name,
        )
        entries = entries_of(prefix or Prefix(row.seed, now, ()), data)
        self.count += 1
        if not self.queue.take(row):
            return self.queue.add(row, entries)
        group = services.journal.stage(ADD_RUN, row.values)
        services.journal.turns.add(self._begin(row, workflow, entries, group).replay, entries)
        return row, group

    def is_open(self, run_id: str) -> bool | None:
        """Whether the run of that id has not ended; None if there is none."""
        run = self._in_memory.get(run_id)
        if run is not None:
            return not run.status.closed
        try:
            return self.row(run_id).closed_at is None
        except NotFoundError:
            return None

    def begin_anew(self, run: Execution, entries: Sequence[Entry]) -> None:
        """Have a run forget its history and begin another one with these entries, now."""
        run.drop()
        self.parking.left(run.run_id)
        row = replace(run.row, seed=hashlib.sha256(run.row.seed + b"anew").digest()[:SEED_BYTES])
        self._services.histories.stage_forget(row.number, run.offset)
        group = self._services.journal.stage(SET_SEED, (row.number, row.seed))
        self.children.leave(run)
        self._begin(row, self._services.registry.workflow(row.workflow), entries, group).replay(entries)

    def find_row(self, run_id: str) -> RunRow | None:
        """The row of a run, in memory or stored; None if there is none."""
        run = self._in_memory.get(run_id)
        found = self._services.journal.read(SELECT_RUN, (RUN_STREAM + run_id,))
        if found:
            return RunRow(*found[0])
        return self.queue.arriving(run_id) if run is None else run.row

    def of_number(self, number: int) -> Execution | None:
        """The run of that number, if it is open and can move."""
        found = self._services.journal.read(SELECT_BY_NUMBER, (number,))
        return self._find(RunRow(*found[0]).id) if found else None

    def cancel(self, run_id: str) -> None:
        """Cancel a run, or end one whose code cannot run; nothing if it has ended."""
        run = self._find(run_id)
        if run is not None:
            run.cancel()
        elif run_id not in self._in_memory:
            self._end(self.row(run_id))
        elif self._in_memory[run_id].status is Status.STUCK:
            self._services.journal.after(partial(self.cancel, run_id))

    def in_memory(self, run_id: str) -> Execution | None:
        """The run of that id, if it is in memory."""
        return self._in_memory.get(run_id)

    def row(self, run_id: str) -> RunRow:
        """The stored row of a run.

        Raises:
            NotFoundError: there is none.
        """
        found = self._services.journal.read(SELECT_RUN, (RUN_STREAM + run_id,))
        row = RunRow(*found[0]) if found else self.queue.arriving(run_id)
        if row is None:
            raise NotFoundError(f"there is no run {run_id!r}")
        return row

    def info(self, row: RunRow) -> RunInfo:
        """What is known of a run; where it stands, memory knows better than its row."""
        run = self._in_memory.get(row.id)
        if run is None and row.status == Status.PENDING:
            return replace(row.info(), reason=self.queue.reason(row))
        if run is None or run.status.closed:
            return row.info()
        info = row.info(run.stands)
        return info if run.status is not Status.STUCK else replace(info, reason=run.reason)

    async def change(
        self,
        run_id: str,
        change: Callable[[Execution], None],
        *,
        pending: Callable[[RunRow], Group | None] | None = None,
        stuck_too: bool = False,
    ) -> bool:
        """Do something to a run that can move, and wait until it is durable; False for any other run.

        ``pending`` does it to the row of a run that waits for its slots. With ``stuck_too`` a stuck run is
        first tried again.

        Raises:
            NotFoundError: there is no run of that id.
        """

        def now() -> tuple[bool, Group | None]:
            run = self._find(run_id, stuck_too=stuck_too)
            if run is not None:
                change(run)
                return True, run.cause
            if pending is not None and self._is_pending(row := self.row(run_id)):
                return True, pending(row)
            return False, None

        return await self._done(now)

    async def terminate(self, run_id: str) -> bool:
        """End a run that its code cannot end; nothing if it has ended. False where its code can, by now.

        Raises:
            NotFoundError: there is no run of that id.
        """

        def now() -> tuple[bool, Group | None]:
            row = self.row(run_id)
            if run_id in self._in_memory or self._goes_on(row):
                return False, None
            return True, self._end(row)

        while (run := self._in_memory.get(run_id)) is not None and not _can_move(run):
            # It has ended or is stuck, and this is on its way to the disk.
            await self._services.journal.durable(self._services.journal.after(_nothing))
        return await self._done(now)

    async def ended(self, run_id: str) -> tuple[RunRow, bytes | None]:
        """Wait until a run has ended or is stuck: its row then, and its result where it is still at hand."""
        run = None
        if run_id in self._in_memory or self._is_open(self.row(run_id)):
            run = await self._ends.of(run_id)
        return self.row(run_id), None if run is None else run.result

    def last_offset(self, number: int) -> int:
        """Of the last entry of a run that is not in memory."""
        return self.queue.last_offset(number)

    def refuse(self, error: Exception) -> None:
        """Tell all who wait for a run's end that they wait in vain."""
        self._ends.refuse(error)

    async def leave(self) -> None:
        """Leave all runs where they are."""
        left: asyncio.Future[None] = self._services.loop.create_future()

        def now() -> None:
            # What becomes durable from here on moves no run: what these recorded last is not in the file yet.
            self._is_left = True
            for run in self._in_memory.values():
                run.drop()
            self._in_memory.clear()
            self.parking.stop()
            self.queue.stop()
            self.refuse(EngineStoppedError("the engine was closed; the run goes on at the next opening"))
            left.set_result(None)

        self._services.journal.turns.add(now)
        await left

    # What runs say of themselves.

    def left(self, run: Execution) -> None:
        """It has ended or is stuck, durably."""
        if self._in_memory.get(run.run_id) is run:
            self._forget(run.run_id)
        if run.status.closed:
            self.count -= 1
            self.children.ended(run.row)
            self.children.leave(run)
            self.queue.release(run.row)
        else:
            self._end_in_time(run.row)
        self._ends.tell(run.run_id, run)
        if self._on_ended is not None and run.status.closed:
            self._on_ended(run.info())

    # In memory and out of it.

    async def _done(self, call: Callable[[], tuple[bool, Group | None]]) -> bool:
        """Make a call outside of any task, and wait until what it did is durable; whether it did something.

        It is not made where nobody waits any more when its turn comes.
        """
        made: asyncio.Future[tuple[bool, Group | None]] = self._services.loop.create_future()

        def now() -> None:
            if made.cancelled():
                return
            try:
                made.set_result(call())
            except Exception as error:  # noqa: BLE001  # raised where it is awaited
                made.set_exception(error)

        self._services.journal.turns.add(now)
        was_done, group = await made
        if group is not None:
            await self._services.journal.durable(group)
        return was_done

    def _begin(
        self, row: RunRow, workflow: Workflow[Any, Any], entries: Sequence[Entry], group: Group
    ) -> Execution:
        run = self._take(row, workflow)
        run.cause = group
        for entry in entries:
            self._services.histories.stage(
                row.number, entry.offset, entry.at, EventType(entry.type), entry.key, entry.data
            )
        self._services.journal.flush()
        return run

    def _end(self, row: RunRow) -> Group | None:
        """Record a run as terminated, or as cancelled where it never began; None if it has ended already."""
        if row.closed_at is not None or self._is_left:
            return None
        services = self._services
        group = self._terminating.get(row.number)
        if group is None:
            self.children.ending(row)
            kind = EventType.RUN_TERMINATED
            ended = replace(row, status=Status.TERMINATED, closed_at=services.clock.time())
            if self._is_pending(row):
                kind, ended = EventType.RUN_CANCELLED, replace(ended, status=Status.CANCELLED, reason="")
                self.queue.withdraw(row)
            self.queue.append(row.number, kind)
            values = (row.number, ended.status, ended.closed_at, ended.reason)
            group = self._terminating[row.number] = services.journal.stage(SET_ENDED, values)
            group.then.append(partial(self._terminated, ended))
        return group

    def _end_in_time(self, row: RunRow) -> None:
        """Have a stuck run ended when a cancel said so: its own timers are gone with its code."""

        def end() -> None:
            if self.is_open(row.id):
                self.cancel(row.id)

        try:
            end_at = self.queue.ends_at(row.number)
        except UnreadableError:  # then it is for people to end it
            return
        if end_at < NEVER:
            self._services.alarms.set(end_at, partial(self._services.journal.turns.add, end))

    def _take(self, row: RunRow, workflow: Workflow[Any, Any]) -> Execution:
        run = Execution(self._services, self, row, workflow)
        self._in_memory[row.id] = run
        return run

    def _find(self, run_id: str, *, stuck_too: bool = False) -> Execution | None:
        """A run that can move, brought back if it is outside; None for one that has ended or is stuck."""
        run = self._in_memory.get(run_id)
        if run is None:
            row = self.row(run_id)
            tried = stuck_too and row.status == Status.STUCK and row.number not in self._terminating
            run = self._load(row) if tried or self._goes_on(row) else None
        return run if run is not None and _can_move(run) else None

    def _is_open(self, row: RunRow) -> bool:
        return row.closed_at is None and row.status != Status.STUCK

    def _is_pending(self, row: RunRow) -> bool:
        waits = row.status == Status.PENDING and row.id not in self._in_memory
        return waits and row.number not in self._terminating

    def _goes_on(self, row: RunRow) -> bool:
        begun = self._is_open(row) and row.status != Status.PENDING
        return begun and row.number not in self._terminating and not self._is_left

    def _load(self, row: RunRow) -> Execution | None:
        """Bring a run to memory; None where this engine has no code for it, which makes it stuck."""
        cause = None
        if row.status == Status.PENDING:
            row, cause = self.queue.admitted(row)
        try:
            workflow = self._services.registry.workflow(row.workflow)
        except NotRegisteredError as error:
            stuck = (row.number, Status.STUCK, error.message, None)
            self._without_code = self._services.journal.stage(SET_OPEN, stuck)
            self._services.journal.after(partial(self._ends.tell, row.id, None))
            self._end_in_time(row)
            return None
        if row.status == Status.STUCK or row.wake_at is not None:
            # Before the replay, after which the run may be stuck, or on its way out of memory again.
            self._set_open(row.number, Status.PAUSED if row.status == Status.PAUSED else Status.RUNNING)
        run = self._take(row, workflow)
        run.cause = cause
        try:
            entries = self.queue.history(row.number)
        except UnreadableError as error:
            run.become_stuck(MismatchError(f"the history cannot be read: {error.message}"))
            return run
        run.replay(entries)
        if cause is not None and run.operations.paused:
            self.parking.stays(run)
        return run

    def _come_back(self, row: RunRow) -> None:
        """Its time has come; it may be back already, for another reason."""
        if row.id not in self._in_memory and self._goes_on(row):
            self._load(row)

    def _leave_memory(self, run: Execution) -> None:
        run.drop()
        self._forget(run.run_id)

    def _forget(self, run_id: str) -> None:
        del self._in_memory[run_id]
        self.parking.left(run_id)

    def _set_open(self, number: int, status: Status, wakes_at: float | None = None) -> Group:
        group = self._services.journal.stage(SET_OPEN, (number, status, "", wakes_at))
        self._services.journal.flush()
        return group

    def _terminated(self, row: RunRow) -> None:
        del self._terminating[row.number]
        self.count -= 1
        self.children.ended(row)
        self.children.leave_of(row)
        self.queue.release(row)
        self._ends.tell(row.id, None)
        if self._on_ended is not None:
            self._on_ended(row.info())


def _can_move(run: Execution) -> bool:
    return not run.status.closed and run.status is not Status.STUCK


def _nothing() -> None:
    """Only the moment is waited for."""
