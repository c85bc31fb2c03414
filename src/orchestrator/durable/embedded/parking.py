"""Waiting runs leave memory, and come back when their time has come (decision 13)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from orchestrator.durable.embedded.history import NEVER, NEXT_WAKE, SELECT_DUE, SET_OPEN, RunRow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.durable.embedded.execution import Execution
    from orchestrator.durable.embedded.services import Services
    from orchestrator.durable.embedded.timers import Alarm
    from orchestrator.journal import Group

# A run in memory takes about 12 KB; beyond this number those that wait longest leave it.
MOST_IN_MEMORY = 10_000
# Those that are due come back in small groups, so that very many of them do not hold up everything else.
WAKE_PAGE = 100


class Parking:
    """Decides which runs leave memory, and knows when the next one has to be back."""

    def __init__(
        self,
        services: Services,
        in_memory: Mapping[str, Execution],
        most: int,
        *,
        leave: Callable[[Execution], None],
        come_back: Callable[[RunRow], None],
    ) -> None:
        """Take the runs in memory, which others change, and what to do with one that leaves or comes back."""
        self._services = services
        self._in_memory = in_memory
        self._most = most
        self._leave = leave
        self._come_back = come_back
        # In the order in which they began to wait. Some of them move again; that is seen when room is made.
        self._resting: dict[str, Execution] = {}
        self._leaving = 0
        self._alarm: Alarm | None = None
        self._waking = False
        self._crowded = False
        self._is_over = False

    def rests(self, run: Execution) -> None:
        """It waits, perhaps for long."""
        self._resting.pop(run.run_id, None)
        self._resting[run.run_id] = run
        while len(self._in_memory) - self._leaving > self._most and self._resting:
            longest = self._resting.pop(next(iter(self._resting)))
            if longest.waits and longest.parking is None:
                self._park(longest)
        self._look_again()

    def stays(self, run: Execution) -> None:
        """It moves before it has left memory."""
        run.parking = None
        self._set_open(run, None)

    def left(self, run_id: str) -> None:
        """It is not in memory any more."""
        self._resting.pop(run_id, None)
        self._look_again()

    def stop(self) -> None:
        """Let no run leave or come back any more."""
        self._is_over = True
        self._resting.clear()

    def wake_due(self) -> None:
        """Bring back some that are due, and once that is durable the next."""
        self._alarm = None
        self._crowded = len(self._in_memory) - len(self._resting) >= max(self._most, WAKE_PAGE)
        if self._waking or self._crowded or self._is_over:
            return
        journal = self._services.journal
        due = journal.read(SELECT_DUE, (self._services.clock.time(), WAKE_PAGE))
        for values in due:
            self._come_back(RunRow(*values))
        if due:
            self._waking = True
            journal.after(self._woken)
        else:
            self._wake_at(journal.read(NEXT_WAKE)[0][0] or NEVER)

    def _park(self, run: Execution) -> None:
        self._leaving += 1
        run.parking = group = self._set_open(run, run.wakes_at)
        group.then.append(partial(self._parked, run, group))

    def _parked(self, run: Execution, group: Group) -> None:
        self._leaving -= 1
        # It may have moved and be about to leave again, with what is not durable yet.
        if run.parking is group and self._in_memory.get(run.run_id) is run:
            wakes_at = run.wakes_at
            self._leave(run)
            self._wake_at(wakes_at)

    def _set_open(self, run: Execution, wakes_at: float | None) -> Group:
        group = self._services.journal.stage(SET_OPEN, (run.row.number, run.stands, "", wakes_at))
        self._services.journal.flush()
        return group

    def _look_again(self) -> None:
        """There may be room for those who are due and found none."""
        if self._crowded:
            self._crowded = False
            self._services.journal.turns.add(self.wake_due)

    def _wake_at(self, when: float) -> None:
        if when < (NEVER if self._alarm is None else self._alarm.when):
            if self._alarm is not None:
                self._services.alarms.call_off(self._alarm)
            self._alarm = self._services.alarms.set(when, self.wake_due)

    def _woken(self) -> None:
        self._waking = False
        self.wake_due()
