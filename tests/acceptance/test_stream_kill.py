"""Real consumers, killed at random moments and by poisoned jobs: none is lost, none done is done again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.clock import SystemClock
from orchestrator.journal import Journal
from orchestrator.streams import DeadLetter, EmbeddedStreams, Entry, Pending, dead_letters
from support.consume import GROUP, JOURNAL, MOST_DELIVERIES, NOTES, POISON, POISONED_GENERATION, STREAM
from support.toil import read_notes

TESTS = Path(__file__).parent.parent
KILLS = 20
LONGEST_LIFE_S = 0.15
# More than all poisoned jobs together need to become dead letters.
MOST_LIVES = 200


def process(folder: Path, generation: int) -> subprocess.Popen[str]:
    """A process that goes on with the jobs of the folder."""
    command = [sys.executable, "-m", "support.consume", str(folder), str(generation)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def live(folder: Path, generation: int, life_s: float | None) -> int:
    """One life: it ends by itself, by poison, or after that time. Gives its exit code."""
    with process(folder, generation) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        try:
            return child.wait(timeout=life_s)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()


async def what_is_left(folder: Path) -> tuple[list[Entry], list[DeadLetter], list[Pending], int]:
    """All jobs, the dead letters, and what the group has not settled."""
    journal = Journal(folder / JOURNAL)
    streams = EmbeddedStreams(journal, SystemClock())
    group = await streams.group(STREAM, GROUP)
    jobs = await streams.read(STREAM, limit=100_000)
    dead = [DeadLetter.of(entry) for entry in await streams.read(dead_letters(STREAM))]
    left = await group.pending(), await group.lag()
    await journal.close()
    return jobs, dead, *left


@pytest.mark.acceptance
def test_killed_consumers_lose_no_job_and_repeat_none_that_is_done(tmp_path: Path) -> None:
    """Jobs, hand-outs, acknowledgements and dead letters hold through SIGKILL at random moments."""
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed of the moments: {seed}")  # noqa: T201  # pytest shows it when the test fails
    moments = random.Random(seed)  # noqa: S311  # chooses moments, keeps no secret
    codes: list[int] = []
    while codes.count(-signal.SIGKILL) < KILLS:
        codes.append(live(tmp_path, len(codes), moments.uniform(0, LONGEST_LIFE_S)))
    # Poisoned for certain, however short the others lived.
    codes.append(live(tmp_path, POISONED_GENERATION, None))
    while codes[-1] != 0:
        codes.append(live(tmp_path, POISONED_GENERATION + 1, None))
        assert len(codes) < MOST_LIVES
    assert set(codes) <= {0, -signal.SIGKILL}

    jobs, dead, pending, lag = asyncio.run(what_is_left(tmp_path))
    assert (pending, lag) == ([], 0)
    check(jobs, dead, read_notes(tmp_path / NOTES))


def check(jobs: list[Entry], dead: list[DeadLetter], notes: list[dict[str, Any]]) -> None:
    """Every job was done or is a dead letter, and what each process saw agrees with that."""
    data = {job.offset: job.data.decode() for job in jobs}
    handed: defaultdict[int, list[int]] = defaultdict(list)
    done: set[int] = set()
    for note in notes:
        offset = note["offset"]
        assert note.get("data", data[offset]) == data[offset]
        if note["what"] == "handed":
            assert offset not in done, f"{offset} was handed out after it was acknowledged"
            handed[offset].append(note["count"])
        elif note["what"] == "acknowledged":
            done.add(offset)
    letters = {letter.entry.offset: letter for letter in dead}
    assert len(letters) == len(dead)
    assert handed.keys() | letters.keys() == data.keys()
    assert all(counts == sorted(set(counts)) and counts[-1] <= MOST_DELIVERIES for counts in handed.values())
    assert not done & letters.keys()
    assert all(letter.count == MOST_DELIVERIES for letter in dead)
    assert all(letter.entry.data.decode() == data[offset] for offset, letter in letters.items())
    poisoned = {job.offset for job in jobs if job.data == POISON}
    assert poisoned
    assert poisoned <= letters.keys()
