"""Whatever a workflow does, and wherever the power is cut: it goes on as if nothing had happened."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings

from orchestrator import EmbeddedEngine
from orchestrator.durable.embedded.parking import MOST_IN_MEMORY
from orchestrator.durable.errors import RunClosedError, RunError
from orchestrator.durable.runs import Event, EventType, Prefix
from orchestrator.journal import JournalError
from orchestrator.testing import BEGINNING, ManualClock
from support.programs import SIGNALS, Program, World, interpret, programs, scripts
from support.quiet import next_deadline, settle

if TYPE_CHECKING:
    from pydantic import JsonValue

    from orchestrator.durable.engine import Run

SEED = b"the same for all"
# A program of the size that we generate is through long before it waited this often.
MOST_WAITS = 200
# What a crash may add to a history: attempts that were cut short, and what they told.
ATTEMPTS = {EventType.STEP_STARTED, EventType.STEP_PROGRESS, EventType.CHILD_STARTED}


class PowerCutError(Exception):
    """The power was cut."""


class Power:
    """Goes off at one point of one write: the ``cut_at``-th of all points that are passed, counted from 1."""

    def __init__(self, cut_at: int = 0) -> None:
        self.passed = 0
        self._cut_at = cut_at

    def __call__(self, point: str) -> None:
        """Count a point that was passed, and fail there if it is the one."""
        self.passed += 1
        if self.passed == self._cut_at:
            raise PowerCutError(point)


@dataclass(frozen=True, slots=True)
class Story:
    """What a run comes to. Equal for lives that differ only in crashes."""

    result: Any
    outcomes: dict[tuple[EventType, str, str], Any]
    counts: Counter[tuple[EventType, str, str]]


@dataclass(slots=True)
class Life:
    """One run of a program, on one file, through as many engines as it takes."""

    path: Path
    program: Program
    script: Program
    power: Power
    most_in_memory: int = MOST_IN_MEMORY
    clock: ManualClock = field(default_factory=ManualClock)
    world: World = field(default_factory=World)
    seen: list[Event] = field(default_factory=list)
    happened: int = 0
    engines: int = 0

    async def live(self) -> Story:
        """Open engines until the run has ended, and tell what came of it."""
        while True:
            self.engines += 1
            engine = EmbeddedEngine(
                self.path,
                workflows=[interpret],
                steps=[self.world],
                clock=self.clock,
                most_runs_in_memory=self.most_in_memory,
                fault=self.power,
            )
            self.world.history = partial(durable, engine)
            with suppress(JournalError):
                async with engine:
                    return await self._with(engine)

    async def _with(self, engine: EmbeddedEngine) -> Story:
        start = Prefix(seed=SEED, began_at=BEGINNING, entries=())
        run = await engine.start(interpret, self.program, id="run", prefix=start)
        watching = asyncio.create_task(self._watch(run))
        try:
            for _ in range(MOST_WAITS):
                await settle(engine, lambda: self.world.hanging)
                if (await run.describe()).status.closed:
                    break
                await self._let_happen(engine, run)
            await watching
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        return await self._story(run)

    async def _let_happen(self, engine: EmbeddedEngine, run: Run[Any]) -> None:
        """The next thing from outside; after a power cut the same again, until it is known to be through."""
        if self.happened == len(self.script):
            # Once the script is over time passes, and then comes what is waited for.
            waits_for_time = next_deadline(engine) is not None
            signal = ["signal", SIGNALS[self.happened % len(SIGNALS)], self.happened]
            self.script = [*self.script, ["tick"] if waits_for_time else signal]
        word, *arguments = self.script[self.happened]
        if word == "tick":
            self.clock.set(max(self.clock.now, next_deadline(engine) or 0.0))
        elif word == "cancel":
            await run.cancel()
        elif word == "force":
            await run.cancel(force_after=arguments[0])
        else:
            name, value = arguments
            with suppress(RunClosedError):  # it came through before the power was cut
                await run.signal(name, value, id=f"{self.happened}")
        self.happened += 1

    async def _watch(self, run: Run[Any]) -> None:
        """Follow the run from where the last watcher was cut off."""
        async for event in run.events(after=len(self.seen)):
            self.seen.append(event)

    async def _story(self, run: Run[Any]) -> Story:
        stored = [event async for event in run.events()]
        assert self.seen == stored, "a watcher saw something else than what is recorded"
        assert [event.offset for event in stored] == list(range(1, len(stored) + 1))
        assert [event.at for event in stored] == sorted(event.at for event in stored)
        assert self.world.repeated == [], "steps ran again after their outcome was recorded"
        assert all(len(keys) == 1 for keys in self.world.keys.values())
        try:
            result: Any = await run.result()
        except RunError as error:
            result = repr(error)
        lasting = [event for event in stored if event.type not in ATTEMPTS]
        told = {(event.type, event.operation, event.name): essence(event) for event in lasting}
        counts = Counter((event.type, event.operation, event.name) for event in lasting)
        return Story(result, told, counts)


def durable(engine: EmbeddedEngine, run_id: str, place: str) -> Counter[str]:
    """What is durable of an operation of a run, by type."""
    assert engine._services is not None
    of_one = (
        "SELECT type, count(*) FROM entries JOIN streams ON number = stream "
        "WHERE name = ? AND substr(key, 1, ?) = ? GROUP BY type"
    )
    return Counter(
        dict(engine._services.journal.read(of_one, (f"run/{run_id}", len(place) + 1, f"{place}:")))
    )


def essence(event: Event) -> JsonValue:
    """What an event says, without the lines of code that a traceback has."""
    if isinstance(event.data, dict):
        return {key: value for key, value in event.data.items() if key not in {"trace", "failure"}}
    return event.data


def lives_the_same_with_every_crash(
    program: Program, script: Program, most_in_memory: int = MOST_IN_MEMORY
) -> None:
    """Run once in peace, then once for each point at which the power can be cut."""
    with tempfile.TemporaryDirectory() as folder:
        calm = asyncio.run(Life(Path(folder, "calm.db"), program, script, Power()).live())
        power = Power()
        assert asyncio.run(Life(Path(folder, "0.db"), program, script, power, most_in_memory).live()) == calm
        for cut_at in range(1, power.passed + 1):
            life = Life(Path(folder, f"{cut_at}.db"), program, script, Power(cut_at), most_in_memory)
            assert asyncio.run(life.live()) == calm, f"cut at {cut_at}"


EVERYTHING: Program = [
    ["publish", 1],
    ["give", 1],
    ["look"],
    ["gather", [["flicker", 2, 3], ["publish", 2], ["look"]], [["sleep", 1.25], ["fail", 4]]],
    ["limit", 1, 3],
    ["hang", 3.0],
    ["hang", 0.0],
    ["tell", 3],
    ["receive", "red", None],
    ["receive", "blue", 7.0],
    ["map", 2, [1, 2, 3]],
    ["plain gather", [1, 2]],
    ["group", [3, 4]],
    ["race", 5],
    ["early", 6, 86_400.0],
    ["tidy", [["plain sleep", 3.0], ["hang", 86_400.0]], 7],
]
FAMILY: Program = [
    ["child", [["give", 8], ["flicker", 1, 9], ["child", [["sleep", 3.0], ["break", 1]]]]],
    ["gather", [["impatient", 3.0]], [["child", [["publish", 1], ["look"]]]]],
]


def test_a_workflow_of_everything_survives_a_crash_at_each_write() -> None:
    """Every kind of operation, with the power cut at each point of each write, one life each."""
    lives_the_same_with_every_crash(EVERYTHING, [["signal", "red", 8]])


@pytest.mark.parametrize("most_in_memory", [MOST_IN_MEMORY, 0])
@pytest.mark.parametrize("script", [[], [["tick"], ["cancel"]]])
def test_parents_and_children_survive_a_crash_at_each_write(script: Program, most_in_memory: int) -> None:
    """Outcomes, failures and cancels reach the other one, in memory or not, wherever the power is cut."""
    lives_the_same_with_every_crash(FAMILY, script, most_in_memory)


def test_leaving_memory_at_every_wait_survives_a_crash_at_each_write() -> None:
    """The same where the run leaves memory whenever it waits, and its history alone brings it back."""
    lives_the_same_with_every_crash(EVERYTHING, [["signal", "red", 8]], most_in_memory=0)


def test_what_belongs_together_is_never_torn_by_the_size_of_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the groups: a start, and an end with its last outcome, survive whole or not at all."""
    monkeypatch.setattr("orchestrator.journal.writer.GROUP_ROWS", 1)
    program: Program = [["publish", 1], ["plain gather", [1, 2, 3]], ["publish", 2], ["race", 4], ["give", 5]]
    lives_the_same_with_every_crash(program, [])


def test_a_signal_whose_sender_never_heard_back_counts_once() -> None:
    """The sender tries again with the same id after the crash; the run may be far beyond it by then."""
    lives_the_same_with_every_crash([["receive", "red", None], ["limit", 0, 1], ["receive", "red", None]], [])


def test_a_cancelled_workflow_cleans_up_through_each_crash() -> None:
    """A cancel is delivered once and cleanup steps run, wherever the power is cut."""
    program: Program = [["tidy", [["give", 1], ["hang", 86_400.0]], 2], ["give", 3]]
    lives_the_same_with_every_crash(program, [["cancel"]])


UNDONE: Program = [
    ["compensate", "give", 1],
    ["give", 1],
    ["gather", [["compensate", "flicker", 2, 2], ["give", 2]], [["compensate", "give", 3], ["fail", 3]]],
    ["compensate", "fail", 4],
    ["compensate", "give", 5],
]


@pytest.mark.parametrize("end", [["break", 6], ["leave", 6]])
@pytest.mark.parametrize("script", [[], [["tick"], ["cancel"]]])
def test_what_a_failed_workflow_did_is_undone_through_each_crash(end: list[Any], script: Program) -> None:
    """Every undo in its order, also those that fail or are tried again, whether or not a cancel comes."""
    lives_the_same_with_every_crash([*UNDONE, end], script)


def test_what_a_cancelled_workflow_did_is_undone_through_each_crash() -> None:
    """After its cleanup, and without a second cancel in the way."""
    program: Program = [*UNDONE, ["tidy", [["give", 1], ["hang", 86_400.0]], 2]]
    lives_the_same_with_every_crash(program, [["cancel"], ["cancel"]])


@pytest.mark.parametrize("seconds", [0.0, 2.1])
def test_a_forced_workflow_ends_at_its_time_through_each_crash(seconds: float) -> None:
    """The time counts from the moment of the cancel, whatever the code does and however often it restarts."""
    program: Program = [["compensate", "give", 1], ["tidy", [["hang", 86_400.0]], 2], ["give", 3]]
    lives_the_same_with_every_crash([*UNDONE, *program], [["force", seconds]])
    lives_the_same_with_every_crash([["compensate", "flicker", 9, 1], ["hang", 3.0]], [["force", seconds]])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(programs, scripts)
def test_generated_workflows_survive_a_crash_at_each_write(program: Program, script: Program) -> None:
    """Results, recorded outcomes and events are those of a life without crashes; no outcome is made twice."""
    lives_the_same_with_every_crash(program, script)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(programs, scripts)
def test_generated_workflows_outside_of_memory_survive_a_crash_at_each_write(
    program: Program, script: Program
) -> None:
    """The same for those that leave memory whenever they wait."""
    lives_the_same_with_every_crash(program, script, most_in_memory=0)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@settings(max_examples=1_000, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(programs, scripts)
def test_very_many_generated_workflows_survive_a_crash_at_each_write(
    program: Program, script: Program
) -> None:
    """The same, for as many workflows as an evening has time for."""
    lives_the_same_with_every_crash(program, script)
