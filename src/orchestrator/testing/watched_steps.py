"""Steps that are watched: which ran how often, with what arguments and under which idempotency key."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import to_json

from orchestrator.durable.attempt import step_info
from orchestrator.durable.embedded.history import life_of
from orchestrator.durable.registry import Registry
from orchestrator.durable.steps import Op

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator.durable.attempt import StepInfo
    from orchestrator.durable.registry import BoundStep
    from orchestrator.durable.runs import Event


class Place(NamedTuple):
    """One operation of one run; of a run that continues as a new one, in one of its lives."""

    run: str
    operation: str

    def __str__(self) -> str:
        return f"{self.operation} of run {self.run}"

    @classmethod
    def of(cls, run_id: str, events: Sequence[Event], operation: str) -> Place:
        """The place of an operation in a run with this history."""
        return cls(life_of(run_id, events[0].offset), operation)

    @classmethod
    def running(cls, info: StepInfo) -> Place:
        """The place of a step that runs, by its key: a life of its run, and the operation."""
        life, found, _ = info.idempotency_key.rpartition(f"/{info.operation}:{info.step}")
        return cls(life if found else info.run_id, info.operation)


@dataclass(frozen=True, slots=True)
class Began:
    """A step that began. ``life`` counts the engines that were opened, from 1."""

    place: Place
    step: str
    attempt: int
    key: str
    arguments: str
    life: int


@dataclass(slots=True)
class StepLog:
    """All steps that began in one run's lives, and which outcomes had been recorded when each life ended."""

    life: int = 0
    began: list[Began] = field(default_factory=list)
    recorded: dict[int, frozenset[Place]] = field(default_factory=dict)

    def watched(self, steps: Iterable[object]) -> list[WatchedStep]:
        """The same steps, with a note made of each that begins."""
        registry = Registry()
        registry.add((), steps)
        return [WatchedStep(bound, self) for bound in registry.steps]

    def note(self, arguments: dict[str, Any]) -> None:
        """The step that is running has begun, with these arguments."""
        info = step_info()
        shown = to_json(arguments, fallback=repr, inf_nan_mode="constants").decode()
        self.began.append(
            Began(Place.running(info), info.step, info.attempt, info.idempotency_key, shown, self.life)
        )

    @property
    def arguments(self) -> dict[Place, str]:
        """What each step was first called with."""
        return {began.place: began.arguments for began in reversed(self.began)}

    def ended(self, recorded: Iterable[Place]) -> None:
        """This life is over, and these steps have outcomes on the disk."""
        self.recorded[self.life] = frozenset(recorded)

    def faults(self) -> list[str]:
        """What must never happen to a step, and did."""
        faults: list[str] = []
        by_place: defaultdict[Place, list[Began]] = defaultdict(list)
        for began in self.began:
            by_place[began.place].append(began)
            if began.place in self.recorded.get(began.life - 1, ()):
                faults.append(f"step {began.step} ({began.place}) ran again after its outcome was recorded")
        for place, attempts in by_place.items():
            faults += _changes(place, attempts)
        return faults


def _changes(place: Place, attempts: Sequence[Began]) -> Iterable[str]:
    """What differs between attempts and may not."""
    first = attempts[0]
    for later in attempts[1:]:
        if later.step != first.step:
            yield f"step {first.step} ({place}) began before the crash, and step {later.step} there after it"
        elif later.key != first.key:
            yield (
                f"step {first.step} ({place}) had the idempotency key {first.key!r} first and {later.key!r} "
                f"in attempt {later.attempt}"
            )
        elif later.arguments != first.arguments:
            yield (
                f"step {first.step} ({place}) was called with {first.arguments} before the crash and with "
                f"{later.arguments} after it"
            )


class WatchedStep(Op[..., Any, Any]):
    """A step that notes each time it begins."""

    def __init__(self, bound: BoundStep, log: StepLog) -> None:
        super().__init__(bound.definition)
        self._bound = bound
        self._log = log

    def __call__(self, **arguments: Any) -> Any:
        """Note it, and do it."""
        self._log.note(arguments)
        return self._bound.call(**arguments)
