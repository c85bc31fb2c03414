"""One delivery, tried again for about a day until somebody takes it."""

from __future__ import annotations

from typing import Final

from orchestrator import Context, workflow
from orchestrator.web.webhooks.delivery import Delivery
from orchestrator.web.webhooks.steps import WebhookSteps

# Seconds between attempts: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h; 27 hours and a half altogether.
PAUSES_S: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 36_000)
JITTER: Final = 0.1  # so that what failed together does not come back together
LONGEST_RETRY_AFTER_S: Final = 36_000


@workflow(name="webhook-delivery")
async def webhook_delivery(ctx: Context, delivery: Delivery) -> None:
    """Send the event, and give up after the last attempt."""
    ctx.compensate(WebhookSteps.cut_off, delivery)
    for pause_s in PAUSES_S:
        outcome = await ctx.run(WebhookSteps.attempt, delivery)
        if outcome.is_over:
            return
        jittered = pause_s * (1 + JITTER * ctx.random.random())
        await ctx.sleep(max(jittered, min(outcome.retry_after_s, LONGEST_RETRY_AFTER_S)))
    outcome = await ctx.run(WebhookSteps.attempt, delivery)
    if not outcome.is_over:
        await ctx.run(WebhookSteps.give_up, delivery)
