"""A process in which minutes pass in milliseconds, with a schedule of every minute; made to be killed.

``python -m support.hasty FOLDER T0`` says ``open`` once the engine is open, and goes on until it is killed.
``T0`` is when time began, in seconds since 1970, so that it passes between two of these processes as well.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import Context, EmbeddedEngine, step, step_info, workflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.core.clock import Wake

JOURNAL = "runs.db"
NOTES = "notes"
SCHEDULE = "minutely"
# A minute of its time takes 30 ms of ours.
HASTE = 2_000.0
DAY_S = 86_400.0


class HastyClock:
    """The wall clock, faster."""

    def __init__(self, began: float) -> None:
        self._began = began

    def time(self) -> float:
        """Seconds since 1970."""
        return self._began + (time.time() - self._began) * HASTE

    def call_at(self, when: float, callback: Callable[[], None], *, background: bool = False) -> Wake:  # noqa: ARG002  # it keeps all alike
        """Call back once this clock shows ``when``."""

        def look() -> None:
            if self.time() >= when:
                callback()
            else:
                self.call_at(when, callback)

        return asyncio.get_running_loop().call_later(max(0.0, when - self.time()) / HASTE, look)


@step
async def note(folder: str) -> None:
    """Write down which run this is."""
    with (Path(folder) / NOTES).open("a") as notes:
        notes.write(f"{step_info().idempotency_key}\n")


@workflow
async def minutely(ctx: Context, folder: str) -> str:
    """Note twice that it runs."""
    await ctx.run(note, folder)
    await ctx.run(note, folder)
    return ctx.info.run_id


async def main(folder: str, began: float) -> None:
    """Work until killed."""
    engine = EmbeddedEngine(
        Path(folder) / JOURNAL, workflows=[minutely], steps=[note], clock=HastyClock(began)
    )
    async with engine:
        await engine.schedule(minutely, folder, id=SCHEDULE, cron="* * * * *", catch_up=DAY_S)
        print("open", flush=True)  # noqa: T201  # the parent waits for it
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
