"""Knowing that an engine has nothing to do, for clocks that tests own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.durable.embedded.services import Services

# All that an engine does is a step that runs, rows on their way to the disk, a call that waits for its turn,
# or one that it asked of the loop. No such call of the loop leads to a third one without any of the others,
# and those who watch runs get a turn too.
QUIET_TURNS = 5
# In real seconds. A step of a test that takes longer most likely waits for something that never comes.
SETTLES_WITHIN_S = 20.0


async def settle(services: Services, within: float) -> None:
    """Wait until all that is left is time, signals, and steps that hang.

    Raises:
        TimeoutError: a step still runs after ``within`` seconds; the message names it.
        JournalError: the journal broke.
    """
    try:
        async with asyncio.timeout(within):
            await _quiet(services)
    except TimeoutError:
        raise TimeoutError(_late(services, within)) from None


async def _quiet(services: Services) -> None:
    quiet = 0
    while quiet < QUIET_TURNS:
        await asyncio.sleep(0)
        services.journal.check_writable()
        if await services.journal.written() or not services.journal.turns.is_idle:
            quiet = 0
        elif services.runner.at_work:
            await services.runner.moved()
            quiet = 0
        else:
            quiet += 1
    services.alarms.tidy()


def _late(services: Services, within: float) -> str:
    late = sorted({f"{pending.step.name} of run {pending.run.run_id}" for pending in services.runner.at_work})
    if not late:
        return f"after {within:g} seconds there are still rows to write, or calls that lead to more calls"
    return (
        f"after {within:g} seconds these steps still run: {', '.join(late)}. A fake step that is never meant "
        "to end says so with `await orchestrator.testing.forever()`."
    )
