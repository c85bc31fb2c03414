"""One run through as many engines as it takes, with the power cut once on the way."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from orchestrator.core.errors import NotFoundError
from orchestrator.durable.embedded import EmbeddedEngine
from orchestrator.durable.embedded.reader import JournalReader
from orchestrator.durable.errors import RunClosedError
from orchestrator.durable.runs import Prefix, Status
from orchestrator.journal import JournalError
from orchestrator.testing.clock import BEGINNING, ManualClock
from orchestrator.testing.story import MOST_RUNS, STEP_ENDS, Story, story_in
from orchestrator.testing.watched_steps import Place, StepLog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from orchestrator.durable.engine import Run
    from orchestrator.durable.runs import Event
    from orchestrator.durable.workflows import Workflow
    from orchestrator.testing.power import Power

Out = TypeVar("Out")

RUN_ID = "crashed"
# The same for every life, so that what workflows draw from ``ctx.random`` is the same too.
SEED = b"crash everywhere"
# A run that has waited this often for time or a signal is taken for one that never ends.
MOST_WAITS = 1_000


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal for the run that is tested, sent once it waits and ``after`` seconds of its time are over."""

    name: str
    data: object = None
    after: float | timedelta = 0.0

    @property
    def at(self) -> float:
        """When it is due, in seconds since 1970."""
        return moment(self.after)


def moment(after: float | timedelta) -> float:
    """That long after the run's start, in seconds since 1970."""
    return BEGINNING + (after.total_seconds() if isinstance(after, timedelta) else after)


@dataclass(frozen=True, slots=True)
class Plot(Generic[Out]):
    """What all lives have in common: the code, its input, and what comes from outside."""

    workflow: Workflow[Any, Out]
    input: Any
    workflows: Sequence[Workflow[Any, Any]]
    steps: Sequence[object] | Callable[..., Sequence[object]]
    world: Callable[[], object] | None
    effects: Callable[..., object] | None
    signals: Sequence[Signal]
    cancel_after: float | timedelta | None
    fails: bool

    def steps_in(self, world: tuple[object, ...]) -> Sequence[object]:
        """The steps as a new process has them, in a world, if there is one."""
        return self.steps(*world) if callable(self.steps) else self.steps


@dataclass(slots=True)
class Life(Generic[Out]):
    """One run of a plot, on one file. ``ended_as`` and ``result`` are its end, once it was lived."""

    plot: Plot[Out]
    path: Path
    power: Power
    clock: ManualClock = field(default_factory=ManualClock)
    log: StepLog = field(default_factory=StepLog)
    ended_as: Status = Status.RUNNING
    result: Out | None = None
    last_recorded: str = "nothing"
    _sent: int = 0
    _cancelled: bool = False

    async def live(self) -> Story:
        """Open engines until the run has ended or is stuck, and tell what came of it.

        Raises:
            AssertionError: the run waits for something that does not come, or never ends.
            TimeoutError: a step does not end; the message names it.
        """
        world = (self.plot.world(),) if self.plot.world else ()
        while not await self._live_once(self.log.watched(self.plot.steps_in(world))):
            self._look_back()
        effects = self.plot.effects(*world) if self.plot.effects else None
        return story_in(self.path, self.log.arguments, effects)

    async def _live_once(self, steps: Sequence[object]) -> bool:
        """Live until the run's end, or until the power is cut; whether it was the end."""
        self.log.life += 1
        cut_before = self.power.cut
        workflows = [self.plot.workflow, *self.plot.workflows]
        engine = EmbeddedEngine(
            self.path, workflows=workflows, steps=steps, clock=self.clock, fault=self.power
        )
        try:
            async with engine:
                await self._to_the_end(engine)
        except JournalError:
            if self.power.cut == cut_before:
                raise
            return False
        return True

    async def _to_the_end(self, engine: EmbeddedEngine) -> None:
        run = await self._run_in(engine)
        for _ in range(MOST_WAITS):
            await self.clock.settle()
            self.ended_as = (await run.describe()).status
            if self.ended_as.closed or self.ended_as is Status.STUCK:
                break
            await self._let_happen(run)
        else:
            raise AssertionError(
                f"{self.plot.workflow} has waited {MOST_WAITS:,} times and not ended. A workflow that never "
                "ends by itself is tested with cancel_after=…"
            )
        if self.ended_as is Status.COMPLETED:
            self.result = await run.result()

    async def _run_in(self, engine: EmbeddedEngine) -> Run[Out]:
        with contextlib.suppress(NotFoundError):
            return await engine.get(RUN_ID)
        start = Prefix(seed=SEED, began_at=BEGINNING, entries=())
        return await engine.start(self.plot.workflow, self.plot.input, id=RUN_ID, prefix=start)

    async def _let_happen(self, run: Run[Out]) -> None:
        """Send what is due, or else let time pass to what comes next."""
        unsent = self.plot.signals[self._sent :]
        if unsent and unsent[0].at <= self.clock.now:
            # Sent again after a crash, and known by its id; by then the run may have taken it and ended.
            with contextlib.suppress(RunClosedError):
                await run.signal(unsent[0].name, unsent[0].data, id=f"signal {self._sent + 1}")
            self._sent += 1
            return
        cancel_at = None
        if self.plot.cancel_after is not None and not self._cancelled:
            cancel_at = moment(self.plot.cancel_after)
            if cancel_at <= self.clock.now:
                await run.cancel()
                self._cancelled = True
                return
        to_come = [self.clock.next_wake, cancel_at, unsent[0].at if unsent else None]
        moments = [at for at in to_come if at is not None]
        if not moments:
            raise AssertionError(
                f"{self.plot.workflow} waits for a signal that nobody sends, and for no time. Give it "
                "signals=[Signal(name, data)], or cancel_after=…"
            )
        self.clock.set(max(self.clock.now, min(moments)))

    @property
    def unsent(self) -> Sequence[Signal]:
        """Signals that the run did not live to be sent."""
        return self.plot.signals[self._sent :]

    def _look_back(self) -> None:
        """After a crash: see what is on the disk."""
        with JournalReader(self.path) as reader:
            histories = {info.id: reader.events(info.id) for info in reader.list(limit=MOST_RUNS)}
        self.log.ended(
            Place.of(run_id, events, event.operation)
            for run_id, events in histories.items()
            for event in events
            if event.type in STEP_ENDS
        )
        events = histories.get(RUN_ID, ())
        self.last_recorded = _said(events[-1]) if events else "nothing"


def _said(event: Event) -> str:
    return " ".join(filter(None, [event.type, event.operation, event.name]))
