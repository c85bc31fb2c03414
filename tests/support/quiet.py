"""Waiting, without sleeping, until an embedded engine has nothing to do but wait itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.durable.embedded import EmbeddedEngine

# Turns of the loop in which nothing happens, until we believe that nothing will.
QUIET_TURNS = 5


async def settle(engine: EmbeddedEngine, idle_steps: Callable[[], int] = lambda: 0) -> None:
    """Let the engine go on until all that is left is time, signals, and ``idle_steps()`` steps that wait.

    Raises:
        JournalError: the engine's journal broke meanwhile.
    """
    services = engine._services
    assert services is not None
    journal, runner = services.journal, services.runner
    quiet = 0
    while quiet < QUIET_TURNS:
        await asyncio.sleep(0)
        if (group := journal._writer.last) is not None:
            journal.flush()
            await journal.durable(group)
            quiet = 0
        elif runner._queued or len(runner._running) > idle_steps():
            quiet = 0
        else:
            quiet += 1
    journal.check_writable()


def next_deadline(engine: EmbeddedEngine) -> float | None:
    """The earliest time for which a run, or a step that backs off, waits."""
    services = engine._services
    assert services is not None
    return min((alarm.when for alarm in services.alarms._heap if alarm.ring is not None), default=None)
