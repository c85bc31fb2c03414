"""Sweeping a journal for what does not move, and saying why; the file is read only.

A run that sleeps until some time moves when that comes, so it is none of these, unless it is overdue.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.clock import SystemClock, rfc3339, utc
from orchestrator.durable.embedded.history import NEVER
from orchestrator.durable.embedded.reader import JournalReader
from orchestrator.durable.embedded.rehearsal import Stage
from orchestrator.durable.embedded.stillness import Explainer, Reason, Why
from orchestrator.durable.embedded.time_limit import LIMIT_S, TimeLimit
from orchestrator.durable.payloads import MAX_PAYLOAD_BYTES, PayloadRules
from orchestrator.durable.runs import EventType, Status
from orchestrator.durable.schedules import ScheduleStatus
from orchestrator.journal.lock import holder_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from orchestrator.core.clock import Clock
    from orchestrator.durable.codec import Encryption
    from orchestrator.durable.embedded.history import RunRow
    from orchestrator.durable.schedules import ScheduleInfo
    from orchestrator.durable.workflows import Workflow
    from orchestrator.streams import Entry

OLDER_THAN: Final = timedelta(hours=1)
MOST_SHOWN: Final = 100
# Runs that are looked into at once.
PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class Still:
    """Something that does not move: a ``run``, a ``schedule``, or the whole ``journal``, by its id.

    ``since`` is when it last moved, ``status`` where it stands by the file, ``detail`` says more for people.
    """

    kind: str
    id: str
    why: Why
    since: datetime
    detail: str
    workflow: str = ""
    status: str = ""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep came upon, the longest still first.

    ``total`` counts also what was too much to be named, ``open_runs`` all runs that have not ended.
    """

    still: tuple[Still, ...]
    total: int
    open_runs: int


def sweep_runs(
    path: Path,
    workflows: Iterable[Workflow[Any, Any]] | None = None,
    *,
    older_than: timedelta = OLDER_THAN,
    limit: int = MOST_SHOWN,
    clock: Clock | None = None,
    encryption: Encryption | None = None,
    secrets: Iterable[str] = (),
    most_payload_bytes: int = MAX_PAYLOAD_BYTES,
) -> Sweep:
    """Look for what has not moved for long in the journal at ``path``.

    Args:
        path: of the journal file; a service may be at work on it.
        workflows: the code at hand: runs are rehearsed on it to see what they wait for, and those of other
            workflows are named. None if it is not at hand.
        older_than: how long something must not have moved. What is stuck, or has no code, is always named.
        limit: how many are named at most: those that have not moved for longest.
        clock: where the time comes from; the machine's clock if not given.
        encryption: the keys of the engine that wrote the file, if it encrypts.
        secrets: what no detail shows.
        most_payload_bytes: what one value may take as JSON, as in the engine's option.

    Raises:
        JournalError: the file is missing or cannot be read.
    """
    with JournalReader(path, encryption=encryption, secrets=secrets) as reader:
        rules = PayloadRules(most_payload_bytes, reader.redactor)
        explainer = Explainer(
            opener=reader.opener,
            stage=None if workflows is None else Stage(workflows, None, reader.opener, rules),
            before=(clock or SystemClock()).time() - older_than.total_seconds(),
            has_service=holder_of(path.with_name(f"{path.name}.lock")) is not None,
        )
        return _Sweeper(reader, explainer, limit).sweep(path)


class _Sweeper:
    """One sweep over one journal."""

    def __init__(self, reader: JournalReader, explainer: Explainer, limit: int) -> None:
        self._reader = reader
        self._explainer = explainer
        self._limit = limit
        self._time_limit = TimeLimit(self._reasons, lambda run: run[1].workflow, LIMIT_S)
        self._open_runs = 0
        self._last_move = 0.0

    def sweep(self, path: Path) -> Sweep:
        still = _Longest(self._limit)
        unsure: list[tuple[float, RunRow]] = []
        for since, row in self._candidates():
            if self._is_still(row):
                still.add(since, row)
            else:
                unsure.append((since, row))
        found = [*self._explained(still.rows), *self._explained(unsure), *self._schedules()]
        if self._open_runs and not self._explainer.has_service:
            found.append(self._without_service(path))
        found.sort(key=lambda one: one.since)
        unnamed = still.total - len(still.rows)
        return Sweep(tuple(found[: self._limit]), len(found) + unnamed, self._open_runs)

    def _candidates(self) -> Iterator[tuple[float, RunRow]]:
        """Runs that may have to be named, each with the time when it last moved."""
        before = self._explainer.before
        for row in self._reader.open_rows():
            self._open_runs += 1
            last = self._reader.last_entry(row.number)
            if last is None:  # it was deleted this very moment
                continue
            self._last_move = max(self._last_move, last.at)
            waits_for_time = row.wake_at is not None and before < row.wake_at < NEVER
            sleeps = waits_for_time and last.type != EventType.STEP_RETRYING
            if self._is_urgent(row) or (last.at <= before and not sleeps):
                yield last.at, row

    def _is_urgent(self, row: RunRow) -> bool:
        return row.status == Status.STUCK or not self._explainer.has_code(row.workflow)

    def _is_still(self, row: RunRow) -> bool:
        """Whether it does not move by itself, whatever its history says."""
        return self._is_urgent(row) or row.status == Status.PAUSED or row.wake_at is not None

    def _explained(self, runs: Sequence[tuple[float, RunRow]]) -> Iterator[Still]:
        for start in range(0, len(runs), PAGE):
            page = [(*run, self._reader.entries(run[1].number)) for run in runs[start : start + PAGE]]
            for (since, row, _), reasons in self._time_limit.each(page):
                said = [Reason(Why.STUCK, "its code does not come to wait")] if reasons is None else reasons
                if said:
                    detail = self._reader.redactor.text("; ".join(reason.detail for reason in said))
                    yield Still("run", row.id, said[0].why, utc(since), detail, row.workflow, row.status)

    def _reasons(self, run: tuple[float, RunRow, Sequence[Entry]]) -> list[Reason]:
        _, row, entries = run
        return self._explainer.reasons(row, entries) if entries else []

    def _schedules(self) -> Iterator[Still]:
        for info in self._reader.schedules():
            reason = self._of_schedule(info)
            if reason is not None:
                since = info.last_at or info.created_at
                yield Still("schedule", info.id, reason.why, since, reason.detail, info.workflow, info.status)

    def _of_schedule(self, info: ScheduleInfo) -> Reason | None:
        if info.status is ScheduleStatus.STUCK:
            return Reason(Why.STUCK, info.reason)
        if not self._explainer.has_code(info.workflow):
            return Reason(Why.NO_WORKFLOW, f"no workflow {info.workflow!r} is there")
        if info.status is ScheduleStatus.PAUSED:
            return Reason(Why.PAUSED, "paused")
        if info.next_at is not None and info.next_at <= utc(self._explainer.before):
            return Reason(Why.OVERDUE, f"was due {rfc3339(info.next_at)}")
        return None

    def _without_service(self, path: Path) -> Still:
        runs = "1 open run" if self._open_runs == 1 else f"{self._open_runs:,} open runs"
        detail = f"it has {runs}, and no process is at work on it"
        return Still("journal", str(path), Why.NO_SERVICE, utc(self._last_move), detail)


class _Longest:
    """Of all that was added, so many that have not moved for longest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[float, int, RunRow]] = []
        self.total = 0

    def add(self, since: float, row: RunRow) -> None:
        """Keep it, if it belongs to them."""
        self.total += 1
        one = (-since, row.number, row)
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, one)
        else:
            heapq.heappushpop(self._heap, one)

    @property
    def rows(self) -> list[tuple[float, RunRow]]:
        """Those that are kept."""
        return [(-since, row) for since, _, row in self._heap]
