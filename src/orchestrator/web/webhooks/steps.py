"""The side effects of a delivery: one attempt, and what a failure for good means."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from orchestrator import Retry, step
from orchestrator.core.clock import rfc3339, utc
from orchestrator.web.events.event import compact_json
from orchestrator.web.outbound import NoAnswerError, RefusedAddressError
from orchestrator.web.webhooks.delivery import Delivery, Outcome
from orchestrator.web.webhooks.signing import signed
from orchestrator.web.webhooks.tables import DeliveryState

if TYPE_CHECKING:
    from orchestrator.core.clock import Clock
    from orchestrator.web.outbound import Outbound
    from orchestrator.web.webhooks.repository import WebhookRepository
    from orchestrator.web.webhooks.tables import DeliveryRow

# Tables that are away are waited for; what the receiver does is no failure of the step.
RETRY: Final = Retry(attempts=10_000, backoff=(1, 2, 4, 8, 15, 30, 60))  # for a week
TIMEOUT_S: Final = 60
MOST_AT_ONCE: Final = 64  # so that receivers that hang do not take all of this process's sockets
MOST_EACH_AT_ONCE: Final = 8  # of one owner, so that these do not take all of the others' turns
USER_AGENT: Final = "orchestrator-webhooks/1"
GONE: Final = "its receiver answered 410 Gone"
CUT_OFF: Final = "its run was cancelled, or failed"
DISABLED: Final = "the webhook is disabled"
FAILING: Final = "nothing has come through for more than a day"


class WebhookSteps:
    """Sends, and writes down what came of it."""

    def __init__(self, webhooks: WebhookRepository, outbound: Outbound, clock: Clock) -> None:
        self._webhooks = webhooks
        self._outbound = outbound
        self._clock = clock
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)
        self._turns_of: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @step(name="webhook-attempt", timeout=TIMEOUT_S, retry=RETRY)
    async def attempt(self, delivery: Delivery) -> Outcome:
        """Send the event once. It is over when the receiver took it, wants no more, or there is none."""
        found = await self._webhooks.to_deliver(delivery.owner, delivery.id)
        if found is None:
            return Outcome(is_over=True)  # the webhook or its owner is gone
        webhook, row = found
        if row.state != DeliveryState.PENDING:
            return Outcome(is_over=True)  # by this very attempt, before a crash
        if not webhook.enabled:
            await self._webhooks.cut_off(row, utc(self._clock.time()), DISABLED)
            return Outcome(is_over=True)
        now = self._clock.time()
        secrets = self._webhooks.secrets(webhook, utc(now))
        body = message(row)
        headers = signed(body, row.event_id, int(now), secrets) | {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
        }
        if row.traceparent:
            headers["traceparent"] = row.traceparent
        status, reason, retry_after_s = None, None, 0.0
        try:
            async with self._of(delivery.owner), self._turns:
                answer = await self._outbound.post(webhook.url, body, headers)
            status, retry_after_s = answer.status, answer.retry_after_s or 0.0
        except (NoAnswerError, RefusedAddressError) as error:
            reason = str(error)
        took = status is not None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES
        state = DeliveryState.DELIVERED if took else DeliveryState.PENDING
        if status == HTTPStatus.GONE:
            state = DeliveryState.FAILED
        await self._webhooks.tried(row, state, utc(now), status, reason)
        if status == HTTPStatus.GONE:
            await self._webhooks.disable(webhook, GONE)
        return Outcome(is_over=state is not DeliveryState.PENDING, retry_after_s=retry_after_s)

    @step(name="webhook-give-up", timeout=TIMEOUT_S, retry=RETRY)
    async def give_up(self, delivery: Delivery) -> None:
        """This one failed for good; so did the webhook, where nothing came through since it was made."""
        found = await self._webhooks.to_deliver(delivery.owner, delivery.id)
        if found is None:
            return
        webhook, row = found
        await self._webhooks.ended(row, DeliveryState.FAILED)
        if webhook.worked_at is None or webhook.worked_at < row.created_at:
            await self._webhooks.disable(webhook, FAILING)

    @step(name="webhook-cut-off", timeout=TIMEOUT_S, retry=RETRY)
    async def cut_off(self, delivery: Delivery) -> None:
        """This one is not gone on with, and fails with a word of why."""
        row = await self._webhooks.delivery(delivery.owner, delivery.id)
        if row is not None:
            await self._webhooks.cut_off(row, utc(self._clock.time()), CUT_OFF)

    def _of(self, owner: str) -> asyncio.Semaphore:
        """The owner's turns, for as long as anybody holds one or waits for one."""
        turns = self._turns_of.get(owner)
        if turns is None:
            turns = self._turns_of[owner] = asyncio.Semaphore(MOST_EACH_AT_ONCE)
        return turns


def message(row: DeliveryRow) -> bytes:
    """The body as Standard Webhooks recommend it; the same at every attempt."""
    return compact_json({"type": row.type, "timestamp": rfc3339(row.at), "data": row.data})
