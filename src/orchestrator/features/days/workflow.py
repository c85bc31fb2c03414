"""The durable workflows: a day's plan, and the preparing of all that are due."""

from __future__ import annotations

from orchestrator import Context, workflow
from orchestrator.features.days.day import AGENTS, DayRequest, Made, Question, Stored
from orchestrator.features.days.steps import DaySteps


@workflow(name="day")
async def day(ctx: Context, request: DayRequest) -> Stored:
    """Plan a day: hear the four agents side by side, have the instructor write, keep what came of it."""
    seen = await ctx.map(DaySteps.look_up, [Question(agent=agent, day=request) for agent in AGENTS])
    written = await ctx.run(DaySteps.write, request, seen)
    return await ctx.run(
        DaySteps.store, Made(run_id=ctx.info.run_id, day=request, seen=seen, written=written)
    )


@workflow(name="prepare-days")
async def prepare_days(ctx: Context) -> None:
    """Prepare the next days that are due, a few at a time until none is left."""
    if await ctx.run(DaySteps.prepare_some):
        ctx.continue_as()
