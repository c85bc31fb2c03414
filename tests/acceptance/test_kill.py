"""A real process, killed at random moments and started again: nothing is lost and nothing done twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.durable.embedded import JournalReader
from orchestrator.durable.runs import Event, EventType, Status
from support.toil import ALL_RUNS, JOURNAL, STARTED, STEPS, WATCHED, number_of, read_notes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TESTS = Path(__file__).parent.parent
# Mostly shorter than the work of one generation takes.
LONGEST_LIFE_S = 0.25
OUTCOMES = {EventType.STEP_COMPLETED, EventType.STEP_FAILED, EventType.STEP_CANCELLED}

Place = tuple[str, str]


@dataclass(slots=True)
class Record:
    """What the file and the notes said after each kill, and what may not happen any more since."""

    folder: Path
    settled: dict[Place, int] = field(default_factory=dict)

    def histories(self) -> dict[str, Sequence[Event]]:
        """Every run's events as the file has them."""
        with JournalReader(self.folder / JOURNAL) as reader:
            return {info.id: reader.events(info.id) for info in reader.list(limit=ALL_RUNS)}

    def after_kill(self, generation: int) -> None:
        """Compare the notes with the file, and remember which steps have an outcome now."""
        histories = self.histories()
        for note in read_notes(self.folder / STARTED):
            assert note["run"] in histories, f"{note['run']} was started and is lost"
        self.check_watched(histories)
        self.check_steps()
        for run_id, events in histories.items():
            for event in events:
                if event.type in OUTCOMES:
                    self.settled.setdefault((run_id, event.operation), generation)

    def check_watched(self, histories: Mapping[str, Sequence[Event]]) -> None:
        """Watchers saw what is recorded, each offset once, from the first one on without a gap."""
        seen: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for note in read_notes(self.folder / WATCHED):
            seen[note["run"]].append(note)
        for run_id, notes in seen.items():
            shown = [(note["offset"], note["type"], note["operation"]) for note in notes]
            recorded = [(event.offset, event.type.value, event.operation) for event in histories[run_id]]
            assert shown == recorded[: len(shown)], f"watchers of {run_id} saw something else"

    def check_steps(self) -> None:
        """No step ran in a process later than the one that recorded its outcome; keys stay the same."""
        keys: defaultdict[Place, set[str]] = defaultdict(set)
        for note in read_notes(self.folder / STEPS):
            place = (note["run"], note["operation"])
            keys[place].add(note["key"])
            settled = self.settled.get(place)
            assert settled is None or note["generation"] <= settled, f"{place} ran again after its outcome"
        assert all(len(of_one) == 1 for of_one in keys.values())

    def at_the_end(self) -> None:
        """Every run that was started has completed with the right result, and watchers saw all of it."""
        histories = self.histories()
        self.check_watched(histories)
        self.check_steps()
        assert {note["run"] for note in read_notes(self.folder / STARTED)} <= histories.keys()
        with JournalReader(self.folder / JOURNAL) as reader:
            assert {info.status for info in reader.list(limit=ALL_RUNS)} == {Status.COMPLETED}
        for run_id, events in histories.items():
            assert (events[-1].type, events[-1].data) == (EventType.RUN_COMPLETED, 7 * number_of(run_id))
            outcomes = [event.operation for event in events if event.type in OUTCOMES]
            assert len(outcomes) == len(set(outcomes)) == 7
        watched = {(note["run"], note["offset"]) for note in read_notes(self.folder / WATCHED)}
        assert watched == {(run_id, event.offset) for run_id in histories for event in histories[run_id]}


def process(folder: Path, generation: int) -> subprocess.Popen[str]:
    """A process that goes on with all runs of the folder."""
    command = [sys.executable, "-m", "support.toil", str(folder), str(generation)]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def kill_and_go_on(folder: Path, kills: int) -> None:
    """Kill that many processes, each at some moment after it opened the file, and let the last one finish."""
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed of the moments: {seed}")  # noqa: T201  # pytest shows it when the test fails
    moments = random.Random(seed)  # noqa: S311  # chooses moments, keeps no secret
    record = Record(folder)
    generation = killed = 0
    while killed < kills:
        with process(folder, generation) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "open\n"
            try:
                child.wait(timeout=moments.uniform(0, LONGEST_LIFE_S))
            except subprocess.TimeoutExpired:
                child.kill()
                killed += 1
            assert child.wait() in {-signal.SIGKILL, 0}
        record.after_kill(generation)
        generation += 1
    with process(folder, generation) as last:
        assert last.wait(timeout=60) == 0
    record.at_the_end()


@pytest.mark.acceptance
def test_twenty_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    """Runs, outcomes, events and keys hold through SIGKILL at random moments."""
    kill_and_go_on(tmp_path, 20)


@pytest.mark.soak
@pytest.mark.acceptance
@pytest.mark.timeout(3600)
def test_two_hundred_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    """The same, ten times as often."""
    kill_and_go_on(tmp_path, 200)
