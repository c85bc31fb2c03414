"""A process to be killed: it appends jobs to a stream, and two consumers of a group work on them.

Run it as ``python -m support.consume FOLDER GENERATION``. It says ``open`` on standard output once it goes on
with what there is, notes down what happens, and ends when every job is settled. A poisoned job kills it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.core.clock import SystemClock
from orchestrator.journal import Journal
from orchestrator.streams import EmbeddedStreams
from support.toil import Notes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.streams import Delivery, Group

JOURNAL = "streams.db"
NOTES = "jobs.jsonl"
STREAM, GROUP = "jobs", "workers"
POISON = b"poison"

JOBS_PER_GENERATION = 40
# Of three generations this one has a poisoned job.
POISONED_GENERATION = 1
# A job that is held together with a poisoned one dies with it, but is not likely to so often.
MOST_DELIVERIES = 6
AT_ONCE = 3


async def work(folder: Path, generation: int) -> None:
    """Append this generation's jobs, and see all jobs to their end."""
    journal = Journal(folder / JOURNAL)
    streams = EmbeddedStreams(journal, SystemClock())
    notes = Notes(folder / NOTES)
    group = await streams.group(STREAM, GROUP, most_deliveries=MOST_DELIVERIES)
    sys.stdout.write("open\n")
    sys.stdout.flush()
    appending = asyncio.create_task(append(streams, generation, notes))
    async with asyncio.TaskGroup() as consumers:
        for name in ("ada", "bob"):
            consumers.create_task(consume(group, name, appending, notes))
    await journal.close()


async def append(streams: EmbeddedStreams, generation: int, notes: Notes) -> None:
    """Append jobs, one of them poisoned in every third generation."""
    for number in range(JOBS_PER_GENERATION):
        poisoned = generation % 3 == POISONED_GENERATION and number == AT_ONCE
        data = POISON if poisoned else f"{generation}/{number}".encode()
        offset = await streams.append(STREAM, "job", data)
        notes.add(what="appended", offset=offset, data=data.decode())


async def consume(group: Group, name: str, appending: asyncio.Task[None], notes: Notes) -> None:
    """Take over what the last process held under this name, then what is new, until there is no more."""
    while taken := await group.claim(name, 0, AT_ONCE, held_by=name):
        await deal_with(group, taken, notes)
    while not appending.done() or await group.lag():
        await deal_with(group, await group.read(name, AT_ONCE, wait_s=0.01), notes)


async def deal_with(group: Group, jobs: Sequence[Delivery], notes: Notes) -> None:
    """Do the work and acknowledge it."""
    for job in jobs:
        notes.add(what="handed", offset=job.offset, count=job.count, data=job.entry.data.decode())
    for job in jobs:
        if job.entry.data == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        await group.ack(job.offset)
        notes.add(what="acknowledged", offset=job.offset)


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2])))
