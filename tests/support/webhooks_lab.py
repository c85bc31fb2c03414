"""Webhooks on a real engine, real tables and a real receiver, by a clock that the test owns."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import repeat
from typing import TYPE_CHECKING, Self

from orchestrator import EmbeddedEngine
from orchestrator.core.errors import UnavailableError
from orchestrator.durable.codec import Codec, Plain
from orchestrator.testing import ManualClock
from orchestrator.web.events import Outbox
from orchestrator.web.outbound import Outbound
from orchestrator.web.webhooks.distribution import Distribution
from orchestrator.web.webhooks.repository import WebhookRepository
from orchestrator.web.webhooks.schemas import NewWebhook
from orchestrator.web.webhooks.service import WebhookService
from orchestrator.web.webhooks.steps import WebhookSteps
from orchestrator.web.webhooks.upkeep import Upkeep
from orchestrator.web.webhooks.workflow import webhook_delivery

if TYPE_CHECKING:
    from orchestrator.web.events import NewEvent
    from orchestrator.web.webhooks.schemas import DeliveryShown, WebhookCreated
    from support.tables import Tables


class WebhooksLab:
    """One life of the service's part that sends webhooks; enter another on the same tables for the next."""

    def __init__(self, tables: Tables, codec: Codec | None = None, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.database = tables.database()
        self.webhooks = WebhookRepository(self.database, codec or Plain())
        outbound = Outbound(allow_private=True)
        steps = WebhookSteps(self.webhooks, outbound, self.clock)
        self.engine = EmbeddedEngine(
            tables.file.with_name("journal.db"), workflows=[webhook_delivery], steps=[steps], clock=self.clock
        )
        self.outbox = Outbox(self.database, lambda: self.engine.streams, self.clock)
        self.distribution = Distribution(
            lambda: self.engine.streams, self.webhooks, lambda: self.engine, self.clock
        )
        self.service = WebhookService(
            self.webhooks, outbound, lambda: self.engine, self.clock, ["thing_made", "other_thing"]
        )
        self.upkeep = Upkeep(self.webhooks, lambda: self.engine, self.clock)
        self._parts = AsyncExitStack()
        self._distributing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Open tables and engine, and distribute."""
        await self._parts.enter_async_context(self.database)
        await self._parts.enter_async_context(self.engine)
        await self.distribution.begin()
        self._distributing = asyncio.create_task(self.distribution.distribute_always())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close, leaving deliveries where they are."""
        if self._distributing is not None:
            self._distributing.cancel()
            await asyncio.wait([self._distributing])
        await self._parts.aclose()

    async def create(self, url: str, *types: str, owner: str = "ann") -> WebhookCreated:
        """A webhook of theirs."""
        return await self.service.create(owner, NewWebhook(url=url, types=list(types)))

    async def tell(self, *events: NewEvent) -> None:
        """Commit these events, and bring them to the stream."""
        for event in events:
            async with self.database.session(event.owner) as session:
                self.outbox.add(session, event)
        await self.outbox.relay()

    async def deliveries(self, webhook_id: str, owner: str = "ann") -> list[DeliveryShown]:
        """What was sent to a webhook, newest first."""
        return (await self.service.deliveries(owner, webhook_id, 50, None)).items

    async def settled(self, webhook_id: str, count: int = 1) -> list[DeliveryShown]:
        """The deliveries, once there are so many and none of them is being tried at this moment."""
        async with asyncio.timeout(20):
            for pause_s in repeat(0.005):
                if len(await self.deliveries(webhook_id)) >= count and not await self._distributes():
                    break
                await asyncio.sleep(pause_s)
        await self.clock.settle()
        return await self.deliveries(webhook_id)

    async def _distributes(self) -> bool:
        try:
            group = await self.engine.streams.group("wisely.events", "webhooks", after="end")
        except UnavailableError:
            return True
        return bool(await group.lag() or await group.pending())
