"""The service that Restate calls: five durable steps. Served by Hypercorn in a process of its own."""

from __future__ import annotations

import restate

from benchmarks.engine.peer import STEPS

service = restate.Service("benchmark")


async def five_steps(ctx: restate.Context, number: int) -> int:
    """Return the number plus five."""
    for step in range(1, STEPS + 1):
        number = await ctx.run_typed(f"step-{step}", add_one, number=number)
    return number


async def add_one(number: int) -> int:
    """Return the number plus one."""
    return number + 1


service.handler()(five_steps)
app = restate.app(services=[service])
