"""A process with a schedule, killed at random moments and started again: no time is lost, none doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.durable.embedded import JournalReader
from orchestrator.durable.runs import Status
from support.hasty import JOURNAL, NOTES, SCHEDULE

if TYPE_CHECKING:
    from orchestrator.durable.runs import RunInfo
    from orchestrator.durable.schedules import ScheduleInfo

TESTS = Path(__file__).parent.parent
KILLS = 12
# Of our time, in which more than a dozen runs are due.
LONGEST_LIFE_S = 0.5
ALL_RUNS = 1_000_000


def lived(folder: Path, began: float, seconds: float) -> None:
    """Have a process work for that long after it opened the file, and kill it."""
    command = [sys.executable, "-m", "support.hasty", str(folder), str(began)]
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(timeout=seconds)
        child.kill()
        assert child.wait() == -signal.SIGKILL


def recorded(folder: Path) -> tuple[ScheduleInfo, list[RunInfo]]:
    """What the file says of the schedule and its runs, the first one first."""
    with JournalReader(folder / JOURNAL) as reader:
        (schedule,) = reader.schedules()
        return schedule, list(reversed(reader.list(limit=ALL_RUNS)))


@pytest.mark.acceptance
def test_kills_neither_lose_a_time_nor_double_one(tmp_path: Path) -> None:
    """After every kill, each minute since the beginning has a run or was skipped beside an open one."""
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed of the moments: {seed}")  # noqa: T201  # pytest shows it when the test fails
    moments = random.Random(seed)  # noqa: S311  # chooses moments, keeps no secret
    began = time.time()
    for _ in range(KILLS):
        lived(tmp_path, began, moments.uniform(0, LONGEST_LIFE_S))
        schedule, runs = recorded(tmp_path)
        assert schedule.next_at is not None
        minutes = (schedule.next_at - schedule.created_at) // timedelta(minutes=1)
        assert len(runs) + schedule.skipped == minutes
        assert schedule.missed_at is None
        assert schedule.last_run == (runs[-1].id if runs else "")
        # One after the other: none began before the one before it had ended.
        for first, second in pairwise(runs):
            assert first.closed_at is not None
            assert first.closed_at <= second.created_at
    lived(tmp_path, began, 1.0)
    schedule, runs = recorded(tmp_path)
    assert len(runs) > KILLS
    assert {info.status for info in runs[:-1]} == {Status.COMPLETED}
    assert all(info.id.startswith(f"{SCHEDULE}@") for info in runs)
    keys = set((tmp_path / NOTES).read_text().split())
    assert 2 * len(runs) - 2 <= len(keys) <= 2 * len(runs)
