"""Who holds the slots of limits, and who waits for which, in which order.

No engine is in here: runs are numbers, and whoever uses this begins those that it names.
"""

from __future__ import annotations

import heapq
import json
import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from orchestrator.durable.limits import Slot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Priority and number of a run that waits: the lowest has the first turn.
Turn = tuple[int, int]

# Those that no longer wait are left in the queues until they would be the larger part of them.
SWEPT_FROM = 1_000


@dataclass(frozen=True, slots=True)
class Claim:
    """The slots of one run: those that it takes, and those that its ancestors hold for it."""

    takes: tuple[Slot, ...] = ()
    inherits: tuple[Slot, ...] = ()

    @classmethod
    def of(cls, data: bytes) -> Self:
        """What is kept as ``data``; where that is empty, none."""
        found = json.loads(data) if data else {}
        return cls(*(tuple(Slot(*slot) for slot in found.get(kind, ())) for kind in ("takes", "inherits")))

    @property
    def data(self) -> bytes:
        """As it is kept; empty for none."""
        if not self.takes and not self.inherits:
            return b""
        return json.dumps({"takes": self.takes, "inherits": self.inherits}).encode()

    def child(self, needs: Iterable[Slot]) -> Claim:
        """The claim of a child that needs these: it does not take again what this one has."""
        inherits = self.takes + self.inherits
        return Claim(tuple(slot for slot in needs if slot not in inherits), inherits)


class _Queue:
    """Those who need ``slot`` and all those of the queues above, and perhaps more: then in queues below.

    ``line`` is a heap of turns; beside the first turn of a queue below stands that queue. ``listed`` is the
    turn by which the queue above knows this one; None where it is not in that line.
    """

    __slots__ = ("above", "below", "line", "listed", "slot")

    def __init__(self, slot: Slot | None, above: _Queue | None) -> None:
        self.slot = slot
        self.above = above
        self.below: dict[Slot, _Queue] = {}
        self.line: list[tuple[Turn, _Queue | None]] = []
        self.listed: Turn | None = None


class Slots:
    """Gives each run all the slots it needs at once, or none.

    Those who wait stand in a tree of queues with a level for each slot that they need, wide limits first. A
    full slot so hides all who need it in one step, and shows them again when a place is free. Taking the next
    one costs a few logarithms, whatever the number of those who wait.
    """

    def __init__(self, at_once: Mapping[str, int]) -> None:
        """Take the number of each limit; a limit that is not among them has no bounds."""
        self._at_once = at_once
        self._taken: Counter[Slot] = Counter()
        self._held: dict[int, tuple[Slot, ...]] = {}
        self._waiting: dict[int, tuple[int, tuple[Slot, ...]]] = {}
        self._root = _Queue(None, None)
        self._queues: defaultdict[Slot, list[_Queue]] = defaultdict(list)
        self._gone = 0

    def take(self, run: int, slots: tuple[Slot, ...]) -> bool:
        """Let a run have all these, if all are free."""
        if any(self._is_full(slot) for slot in slots):
            return False
        self.hold(run, slots)
        return True

    def hold(self, run: int, slots: tuple[Slot, ...]) -> None:
        """Count the slots of a run that has them, even where that is more than there are."""
        self._held[run] = slots
        self._taken.update(slots)

    def enqueue(self, run: int, priority: int, slots: tuple[Slot, ...]) -> None:
        """Have a run wait for all these."""
        self._waiting[run] = (priority, slots)
        self._line_up((priority, run), slots)

    def next(self) -> int | None:
        """The first of those that wait whose slots are all free; it has them then."""
        turn = self._first(self._root)
        if turn is None:
            return None
        run = turn[1]
        _, slots = self._waiting[run]
        self.withdraw(run)
        self.hold(run, slots)
        return run

    def release(self, run: int) -> None:
        """Take back what a run holds; nothing if it holds nothing."""
        for slot in self._held.pop(run, ()):
            was_full = self._is_full(slot)
            self._taken[slot] -= 1
            if not self._taken[slot]:
                del self._taken[slot]
            if was_full and not self._is_full(slot):
                self._show(slot)

    def withdraw(self, run: int) -> None:
        """Have a run no longer wait; nothing if it does not."""
        if self._waiting.pop(run, None) is None:
            return
        self._gone += 1
        if self._gone > max(SWEPT_FROM, len(self._waiting)):
            self._sweep()

    @property
    def are_wanted(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting)

    def waits(self, run: int) -> bool:
        """Whether a run waits."""
        return run in self._waiting

    def in_the_way(self) -> set[int]:
        """Who holds a slot of which there is no more, so that others may wait for its end."""
        full = {slot for slot in self._taken if self._is_full(slot)}
        return {run for run, slots in self._held.items() if not full.isdisjoint(slots)}

    def reason(self, slots: Iterable[Slot]) -> str:
        """What one who needs these waits for, in words."""
        full = [
            f"{slot} ({self._taken[slot]} of {self._at_once[slot.limit]} taken)"
            for slot in slots
            if self._is_full(slot)
        ]
        return _place_in(full) if full else "waits for its turn"

    def _at_once_of(self, slot: Slot) -> float:
        return self._at_once.get(slot.limit, math.inf)

    def _is_full(self, slot: Slot) -> bool:
        return self._taken[slot] >= self._at_once_of(slot)

    def _line_up(self, turn: Turn, slots: tuple[Slot, ...]) -> None:
        queue = self._root
        # Many narrow slots below one wide slot are hidden with it at once; the other way round, one by one.
        for slot in sorted(slots, key=self._at_once_of, reverse=True):
            below = queue.below.get(slot)
            if below is None:
                below = queue.below[slot] = _Queue(slot, queue)
                self._queues[slot].append(below)
            queue = below
        heapq.heappush(queue.line, (turn, None))
        self._list(queue, turn)

    def _list(self, queue: _Queue, turn: Turn) -> None:
        """Have a queue found by this turn, if not by an earlier one, from above."""
        while queue.above is not None and (queue.listed is None or turn < queue.listed):
            queue.listed = turn
            heapq.heappush(queue.above.line, (turn, queue))
            queue = queue.above

    def _show(self, slot: Slot) -> None:
        for queue in self._queues.get(slot, ()):
            if queue.line:
                self._list(queue, queue.line[0][0])

    def _first(self, queue: _Queue) -> Turn | None:
        """The first turn whose slots, from this queue on, are all free.

        Queues below that have none now leave the line, until a slot is free again.
        """
        while queue.line:
            turn, below = queue.line[0]
            if below is None:
                if turn[1] in self._waiting:
                    return turn
                heapq.heappop(queue.line)
                continue
            if below.listed != turn:  # it was listed by an earlier turn since, and that was served
                heapq.heappop(queue.line)
                continue
            hidden = below.slot is not None and self._is_full(below.slot)
            below.listed = None if hidden else self._first(below)
            if below.listed == turn:
                return turn
            if below.listed is None:
                heapq.heappop(queue.line)
            else:
                heapq.heapreplace(queue.line, (below.listed, below))
        return None

    def _sweep(self) -> None:
        self._root = _Queue(None, None)
        self._queues.clear()
        self._gone = 0
        for run, (priority, slots) in self._waiting.items():
            self._line_up((priority, run), slots)


def waits_for(slots: Iterable[Slot]) -> str:
    """What one who needs these may wait for, in words that say nothing of its input."""
    return _place_in(f"limit {slot.limit!r}" for slot in slots)


def _place_in(limits: Iterable[str]) -> str:
    return f"waits for a place in {' and in '.join(limits)}"
