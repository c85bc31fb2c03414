"""What reaches a run's code on Temporal: one thing after the other, as on the embedded engine."""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NoReturn

from temporalio import workflow as temporal

from orchestrator.durable.errors import MismatchError
from orchestrator.durable.names import RESERVED

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.durable.temporal.taken_over import TakenOver


# The timer for which a run waits that has more to tell its code than there is time for in one turn.
BREATH: Final = f"{RESERVED}breath"
BREATH_S: Final = 0.001


class Source(IntEnum):
    """Where a delivery is from. Of what one workflow task brings, the lowest is delivered first."""

    SIGNAL = 0
    TIMER = 1
    STEP = 2
    CHILD = 3


class Deliveries:
    """Outcomes, signals and timers on their way to a run's code.

    A server hands over several at once. Each is delivered alone, when the code has come to rest after the one
    before, so that the code goes the same way live, on a replay, and when it begins with a prefix. What a
    workflow task brings is sorted by its source, and for each source as the server recorded it: how soon the
    SDK tells of each is its own affair.

    ``at_rest`` is called whenever the code has come to rest; ``mismatch`` says what of the run's beginning
    does not fit the code.
    """

    def __init__(self) -> None:
        self._waiting: dict[Source, deque[Callable[[], object]]] = {source: deque() for source in Source}
        self._taken_over: TakenOver | None = None
        self.is_frozen = False
        self._is_over = False
        self.at_rest: Callable[[], object] = lambda: None
        self.mismatch: MismatchError | None = None

    def begin_with(self, taken_over: TakenOver) -> None:
        """Tell the code all of that before anything else."""
        self._taken_over = taken_over

    def add(self, source: Source, deliver: Callable[[], object]) -> None:
        """Let ``deliver`` be called in its turn; at once when the run is over, as no code rests then."""
        if self._is_over:
            deliver()
        else:
            self._waiting[source].append(deliver)

    @property
    def is_live(self) -> bool:
        """Whether the code was told all that its history begins with."""
        return self._taken_over is not None and self._taken_over.is_told

    @property
    def is_empty(self) -> bool:
        """Whether all that came was delivered."""
        return not any(self._waiting.values())

    def freeze(self) -> None:
        """Deliver nothing until ``thaw``."""
        self.is_frozen = True

    def thaw(self) -> None:
        """Deliver again, all that came meanwhile first."""
        self.is_frozen = False

    def hand_over(self) -> None:
        """Carry out what signals ask for, but forget the rest: this history is over, and the next has it."""
        signals = list(self._waiting[Source.SIGNAL])
        for waiting in self._waiting.values():
            waiting.clear()
        for deliver in signals:
            deliver()

    async def carry_out(self) -> NoReturn:
        """Deliver for as long as the run lasts."""
        try:
            while True:
                # Temporal looks at conditions only when nothing else can go on: the code is at rest then.
                await temporal.wait_condition(self._has_more)
                self._next()()
                if self._taken_over is not None and self._taken_over.needs_breath():
                    await temporal.sleep(BREATH_S, summary=BREATH)
        finally:
            self._is_over = True
            if self._taken_over is not None:
                self._taken_over.give_up()
            while not self.is_empty:
                self._pop()()

    def _has_more(self) -> bool:
        # An error that is raised here fails the workflow task, not the run: the server tries it again until
        # code comes that fits.
        self.at_rest()
        try:
            if self._taken_over is not None and self._taken_over.has_more():
                return True
        except MismatchError as error:
            self.mismatch = error
            raise
        return not self.is_frozen and not self.is_empty

    def _next(self) -> Callable[[], object]:
        if self._taken_over is not None and not self._taken_over.is_told:
            return self._taken_over.tell_next
        return self._pop()

    def _pop(self) -> Callable[[], object]:
        return next(waiting for waiting in self._waiting.values() if waiting).popleft()
