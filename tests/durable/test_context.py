"""What a workflow sees, apart from any engine: the numbers of its operations."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, cast

from orchestrator.durable.context import Context, next_place

if TYPE_CHECKING:
    from orchestrator.durable.machine import Machine


class Gone:
    """What is left of the machine of a run that Python throws away."""

    def stay_alive(self) -> None:
        """End the code that asks."""
        raise GeneratorExit


def context_in(own: contextvars.Context) -> Context:
    """The context of a run whose code runs in ``own``."""
    return own.run(Context, cast("Machine", Gone()))


def test_code_that_is_thrown_away_takes_no_number_of_the_run_that_turns() -> None:
    """The garbage collector may close one run's code in the midst of another; its cleanup asks in vain."""
    loop = asyncio.new_event_loop()
    thrown_away, turning = contextvars.Context(), contextvars.Context()
    ctx = context_in(thrown_away)
    context_in(turning)

    async def sleeps_in_the_end() -> None:
        try:
            await loop.create_future()
        finally:
            await ctx.sleep(1)

    async def gathers_in_the_end() -> None:
        try:
            await loop.create_future()
        finally:
            await ctx.gather(sleeps_in_the_end(), sleeps_in_the_end())

    for code in (sleeps_in_the_end(), gathers_in_the_end()):
        thrown_away.run(code.send, None)
        turning.run(code.close)
    assert turning.run(next_place) == "1"
    loop.close()
