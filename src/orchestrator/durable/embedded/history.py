"""Runs in the journal: how they are written, and how they are read back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestrator.core.clock import utc
from orchestrator.durable.errors import Failure
from orchestrator.durable.runs import RunInfo, Status
from orchestrator.journal import Statement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A run is a stream of this name, so that ids of runs and names of other streams never meet.
RUN_STREAM = "run/"
SEED_BYTES: Final = 16

ADD_RUN: Final = Statement(
    1,
    "INSERT INTO runs (number, workflow, owner, tags, digest, seed, created_at, status, closed_at, reason, "
    "wake_at, parent, priority, slots) VALUES {rows}",
    14,
)
# Where an open run stands. Written before an end of the same group, so that the end stands.
SET_OPEN: Final = Statement(
    3,
    "WITH new (number, status, reason, wake_at) AS (VALUES {rows}) UPDATE runs SET status = new.status, "
    "reason = new.reason, wake_at = new.wake_at FROM new WHERE runs.number = new.number",
    4,
    keyed=True,
)
SET_ENDED: Final = Statement(
    4,
    "WITH new (number, status, closed_at, reason) AS (VALUES {rows}) UPDATE runs SET status = new.status, "
    "closed_at = new.closed_at, reason = new.reason FROM new WHERE runs.number = new.number",
    4,
)
SET_SEED: Final = Statement(
    5,
    "WITH new (number, seed) AS (VALUES {rows}) UPDATE runs SET seed = new.seed FROM new "
    "WHERE runs.number = new.number",
    2,
    keyed=True,
)
# A workflow that continues as a new one forgets what it recorded up to an offset.
FORGET_ENTRIES: Final = Statement(
    6,
    "WITH gone (stream, last) AS (VALUES {rows}) DELETE FROM entries WHERE (stream, offset) IN "
    "(SELECT entries.stream, entries.offset FROM gone JOIN entries ON entries.stream = gone.stream "
    "AND entries.offset <= gone.last)",
    2,
)
# Its history holds progress, which is not kept as long as the rest.
MARK_DELTAS: Final = Statement(4, "UPDATE runs SET deltas = 1 WHERE number IN ({rows})", 1)
# The parent has recorded the child's outcome, and needs the child no more.
MARK_TOLD: Final = Statement(4, "UPDATE runs SET told = 1 WHERE number IN ({rows})", 1)
DELETE_RUN: Final = Statement(7, "DELETE FROM runs WHERE number IN ({rows})", 1)

# What wake_at says of a run that waits for no time at all.
NEVER: Final = float("inf")

_COLUMNS = (
    "number, workflow, runs.owner, tags, digest, seed, created_at, status, closed_at, reason, wake_at, "
    "parent, priority, slots, name, (SELECT above.name FROM streams AS above WHERE above.number = parent)"
)
SELECT_RUNS: Final = f"SELECT {_COLUMNS} FROM runs JOIN streams USING (number)"  # noqa: S608  # constants alone
SELECT_RUN: Final = f"{SELECT_RUNS} WHERE name = ?"
SELECT_AWAKE: Final = (
    f"{SELECT_RUNS} WHERE closed_at IS NULL AND wake_at IS NULL AND number > ? ORDER BY number LIMIT ?"
)
SELECT_OPEN: Final = f"{SELECT_RUNS} WHERE closed_at IS NULL AND number > ? ORDER BY number LIMIT ?"
SELECT_DUE: Final = (
    f"{SELECT_RUNS} WHERE closed_at IS NULL AND wake_at IS NOT NULL AND wake_at <= ? ORDER BY wake_at LIMIT ?"
)
NEXT_WAKE: Final = "SELECT min(wake_at) FROM runs WHERE closed_at IS NULL AND wake_at IS NOT NULL"
COUNT_OPEN: Final = (
    "SELECT (SELECT count(*) FROM runs WHERE closed_at IS NULL AND wake_at IS NULL) + "
    "(SELECT count(*) FROM runs WHERE closed_at IS NULL AND wake_at IS NOT NULL)"
)
SELECT_BY_NUMBER: Final = f"{SELECT_RUNS} WHERE number = ?"
# A child whose open parent has not recorded its outcome: the parent would begin it again.
IS_AWAITED: Final = (
    "SELECT 1 FROM runs AS run JOIN runs AS parent ON parent.number = run.parent "
    "WHERE run.number = ? AND run.told = 0 AND parent.closed_at IS NULL"
)
SELECT_OPEN_CHILDREN: Final = (
    "SELECT name FROM runs JOIN streams USING (number) WHERE parent = ? AND closed_at IS NULL"
)
SELECT_ORPHANS: Final = (
    "SELECT name FROM runs AS child JOIN streams USING (number) "
    "WHERE parent IS NOT NULL AND closed_at IS NULL AND NOT EXISTS "
    "(SELECT 1 FROM runs WHERE number = child.parent AND closed_at IS NULL)"
)
SELECT_ENTRIES: Final = "SELECT offset, at, type, key, data FROM entries WHERE stream = ? ORDER BY offset"
SELECT_ENTRIES_PAGE: Final = (
    "SELECT offset, at, type, key, data FROM entries WHERE stream = ? AND offset > ? ORDER BY offset LIMIT ?"
)
# A long read keeps SQLite's log from being moved into the file, so long histories are read in pages.
ENTRIES_PAGE: Final = 1_000
SELECT_LAST_ENTRY: Final = (
    "SELECT offset, at, type, key, data FROM entries WHERE stream = ? ORDER BY offset DESC LIMIT 1"
)
# Of the open runs those that hold slots, or wait for some.
SELECT_SLOTS: Final = (
    "SELECT number, status, priority, slots FROM runs "
    "WHERE closed_at IS NULL AND slots <> x'' AND number > ? ORDER BY number LIMIT ?"
)
SELECT_KEYS: Final = "SELECT key FROM entries WHERE stream = ? AND type = ? ORDER BY offset"
SELECT_LAST_PLACE: Final = "SELECT offset, at FROM entries WHERE stream = ? ORDER BY offset DESC LIMIT 1"
# Of these two the file may say the other: it follows when a run leaves memory or comes back.
IN_MEMORY: Final = frozenset({Status.RUNNING, Status.WAITING})


@dataclass(frozen=True, slots=True)
class RunRow:
    """A row of ``runs`` with its name in ``streams``, and that of its parent."""

    number: int
    workflow: str
    owner: str
    tags: str
    digest: bytes
    seed: bytes
    created_at: float
    status: str
    closed_at: float | None
    reason: str
    wake_at: float | None
    parent: int | None
    priority: int
    slots: bytes
    name: str
    parent_name: str | None = None

    @property
    def values(self) -> tuple[object, ...]:
        """What `ADD_RUN` takes."""
        return (
            self.number, self.workflow, self.owner, self.tags, self.digest, self.seed, self.created_at,
            self.status, self.closed_at, self.reason, self.wake_at, self.parent, self.priority, self.slots,
        )  # fmt: skip

    @property
    def id(self) -> str:
        """The run's id."""
        return self.name.removeprefix(RUN_STREAM)

    def info(self, status: Status | None = None) -> RunInfo:
        """The row for people and programs; an engine that has the run in memory knows its status better."""
        return RunInfo(
            id=self.id,
            workflow=self.workflow,
            status=status or Status(self.status),
            created_at=utc(self.created_at),
            closed_at=None if self.closed_at is None else utc(self.closed_at),
            owner=self.owner,
            tags=json.loads(self.tags),
            reason=self.reason,
            parent=(self.parent_name or "").removeprefix(RUN_STREAM),
        )


def tags_text(tags: Mapping[str, str] | None) -> str:
    """Tags as their column holds them."""
    return json.dumps(dict(tags or {}), sort_keys=True)


def selection(  # the port's filters, one each
    *,
    status: Sequence[Status],
    workflow: str | None,
    owner: str | None,
    tags: Mapping[str, str] | None,
    limit: int,
    before: str | None,
) -> tuple[str, list[object]]:
    """The query for a page of runs, newest first, and its values."""
    conditions: list[str] = []
    values: list[object] = []

    def where(condition: str, *given: object) -> None:
        conditions.append(condition)
        values.extend(given)

    if status:
        stored = {stored for one in status for stored in (IN_MEMORY if one in IN_MEMORY else (one,))}
        where(f"status IN ({','.join('?' * len(stored))})", *sorted(stored))
    if workflow is not None:
        where("workflow = ?", workflow)
    if owner is not None:
        where("runs.owner = ?", owner)
    for key, value in (tags or {}).items():
        where("json_extract(tags, ?) = ?", f"$.{json.dumps(key)}", value)
    if before is not None:
        where("number < (SELECT number FROM streams WHERE name = ?)", RUN_STREAM + before)
    chosen = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"{SELECT_RUNS}{chosen} ORDER BY number DESC LIMIT ?", [*values, limit]


def life_of(run_id: str, began: int) -> str:
    """What tells the lives of an endless workflow apart: its id, and from the second on where they began."""
    return run_id if began == 1 else f"{run_id}@{began}"


def reason_in(data: bytes) -> str:
    """Why a run failed, from its last entry, as its row says it where nothing is encrypted."""
    failure = Failure.model_validate_json(data)
    return f"{failure.type}: {failure.message}"
