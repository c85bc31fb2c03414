"""Runs that wait for the slots of limits.

Such a run is `pending`: a row, its first entry and a turn in the queue; none of its code has begun. When a
run that holds slots has ended, durably, the first of those who wait that now fits begins.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pydantic_core import from_json

from orchestrator.durable.embedded.history import (
    ADD_RUN,
    NEVER,
    SELECT_BY_NUMBER,
    SELECT_SLOTS,
    SET_OPEN,
    RunRow,
)
from orchestrator.durable.embedded.unwritten import Unwritten
from orchestrator.durable.entries import signal_key, split_signal_key
from orchestrator.durable.runs import EventType, Status
from orchestrator.durable.slots import Claim, Slots, waits_for
from orchestrator.journal import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.durable.embedded.services import Services
    from orchestrator.durable.limits import Slot
    from orchestrator.journal import Group
    from orchestrator.streams import Entry

# Rows with slots are read in pages at the opening.
SLOTS_PAGE = 1_000

_TURNS = frozenset({EventType.RUN_PAUSED, EventType.RUN_RESUMED})


class RunQueue:
    """Knows who holds which slots in one engine, and keeps those who wait.

    ``begin`` is called, outside of any task, with the row of each whose turn has come.
    """

    def __init__(self, services: Services, begin: Callable[[RunRow], object]) -> None:
        self._services = services
        self._begin = begin
        self._slots = Slots(services.registry.limits)
        self._unwritten = Unwritten(services)
        self._arriving: dict[str, tuple[RunRow, Group]] = {}

    async def recover(self) -> None:
        """Count what open runs hold, and queue those who waited when the last process ended."""
        last = 0
        while rows := await self._services.journal.fetch(SELECT_SLOTS, (last, SLOTS_PAGE)):
            for number, status, priority, slots in rows:
                last = number
                takes = self._claim(number, slots).takes
                if status == Status.PENDING:
                    self._slots.enqueue(number, priority, takes)
                else:
                    self._slots.hold(number, takes)

    def stop(self) -> None:
        """Begin no more."""
        self._slots = Slots({})

    def admit(self) -> None:
        """Begin the first of those who fit, and soon the others."""
        number = self._slots.next()
        if number is not None:
            self._begin(self._row(number))
            self._services.journal.turns.add(self.admit)

    def slots(self, number: int, needs: tuple[Slot, ...], parent: RunRow | None) -> bytes:
        """What the row of a new run keeps that needs these, sealed like the input that keys are of."""
        of_parent = Claim() if parent is None else self._claim(parent.number, parent.slots)
        data = of_parent.child(needs).data
        return self._services.codec.seal(data, *_place(number)) if data else data

    def take(self, row: RunRow) -> bool:
        """Let a new run have its slots, if they are free."""
        return not row.slots or self._slots.take(row.number, self._claim(row.number, row.slots).takes)

    def add(self, row: RunRow, entries: Sequence[Entry]) -> tuple[RunRow, Group]:
        """Have a new run wait, with its first entries; it is durable with the group that this gives."""
        takes = self._claim(row.number, row.slots).takes
        row = replace(row, status=Status.PENDING, wake_at=NEVER, reason=waits_for(takes))
        self._slots.enqueue(row.number, row.priority, takes)
        group = self._services.journal.stage(ADD_RUN, row.values)
        for entry in entries:
            self._unwritten.add(row.number, entry)
        self._arriving[row.id] = (row, group)
        group.then.append(partial(self._arrived, row))
        return row, group

    def arriving(self, run_id: str) -> RunRow | None:
        """The row of a pending run that the file does not have yet."""
        found = self._arriving.get(run_id)
        return None if found is None else found[0]

    def arrival(self, run_id: str) -> Group | None:
        """With what a pending run becomes durable, if it is not yet."""
        found = self._arriving.get(run_id)
        return None if found is None else found[1]

    def admitted(self, row: RunRow) -> tuple[RunRow, Group]:
        """Add to the history of a run that waited that it begins now, and to its row."""
        self._services.journal.stage(SET_OPEN, (row.number, Status.RUNNING, "", None))
        group = self.append(row.number, EventType.RUN_ADMITTED)
        return replace(row, status=Status.RUNNING, reason="", wake_at=None), group

    def withdraw(self, row: RunRow) -> None:
        """A pending run waits no longer, as it was ended."""
        self._slots.withdraw(row.number)

    def release(self, row: RunRow) -> None:
        """A run has ended, durably: those who fit now begin."""
        if row.slots:
            self._slots.release(row.number)
            self.admit()

    def reason(self, row: RunRow) -> str:
        """What a pending run waits for, in words."""
        return self._slots.reason(self._claim(row.number, row.slots).takes)

    def signal(self, row: RunRow, name: str, data: bytes, signal_id: str | None) -> Group:
        """Keep a signal for a pending run, once for each id; durable with the group that this gives."""
        known = self._unwritten.keys(row.number, EventType.SIGNAL_RECEIVED) if signal_id else []
        if any(split_signal_key(key)[0] == signal_id for key in known):
            return self._services.journal.after(_said_before)
        return self.append(row.number, EventType.SIGNAL_RECEIVED, signal_key(name, signal_id), data)

    def pause(self, row: RunRow) -> Group:
        """Have a pending run be paused when it begins; durable with the group that this gives."""
        return self._turn_to(row.number, EventType.RUN_PAUSED)

    def resume(self, row: RunRow) -> Group:
        """Take back a pause of a pending run; durable with the group that this gives."""
        return self._turn_to(row.number, EventType.RUN_RESUMED)

    def append(self, number: int, kind: EventType, key: str = "", data: bytes = b"") -> Group:
        """Add to the history of a run that is not in memory; durable with the group that this gives."""
        return self._unwritten.append(number, kind, key, data)

    def history(self, number: int) -> list[Entry]:
        """All entries of a run that is not in memory, durable or not."""
        return self._unwritten.history(number)

    def ends_at(self, number: int) -> float:
        """When a run that is not in memory is to be ended by force, as a cancel of it said.

        Raises:
            UnreadableError: its history cannot be read.
        """
        cancels = [entry for entry in self.history(number) if entry.type == EventType.CANCEL_REQUESTED]
        wishes = [self._services.histories.data(number, entry) for entry in cancels]
        return min((from_json(wish)["end_at"] for wish in wishes if wish), default=NEVER)

    def last_offset(self, number: int) -> int:
        """Of the last entry of a run that is not in memory, durable or not."""
        return self._unwritten.last_offset(number)

    def _turn_to(self, number: int, kind: EventType) -> Group:
        """Add a pause or its end, unless the last of these was the same; at first nothing is paused."""
        turns = [entry.type for entry in self.history(number) if entry.type in _TURNS]
        if (turns or [EventType.RUN_RESUMED])[-1] == kind:
            return self._services.journal.after(_said_before)
        return self.append(number, kind)

    def _claim(self, number: int, slots: bytes) -> Claim:
        if not slots:
            return Claim()
        try:
            return Claim.of(self._services.codec.open(slots, *_place(number)))
        except UnreadableError:  # nor can its history be read, so it can do no more than become stuck
            return Claim()

    def _arrived(self, row: RunRow) -> None:
        del self._arriving[row.id]

    def _row(self, number: int) -> RunRow:
        found = self._services.journal.read(SELECT_BY_NUMBER, (number,))
        if found:
            return RunRow(*found[0])
        return next(row for row, _ in self._arriving.values() if row.number == number)


def _place(number: int) -> tuple[str, str]:
    """Where the slots of a run belong: they open nowhere else."""
    return f"run {number}", "slots"


def _said_before() -> None:
    """Nothing is written, but what was is on its way."""
