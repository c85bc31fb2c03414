"""From the stream of events to one durable run for each event and webhook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestrator.core.clock import utc
from orchestrator.core.ids import new_id
from orchestrator.web.events.event import STREAM, readable
from orchestrator.web.webhooks.delivery import Delivery
from orchestrator.web.webhooks.workflow import webhook_delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.core.clock import Clock
    from orchestrator.durable.engine import Engine
    from orchestrator.streams import Delivery as Handed
    from orchestrator.streams import Group, Streams
    from orchestrator.web.webhooks.repository import WebhookRepository

GROUP: Final = "webhooks"
READ_AT_ONCE: Final = 100
WAIT_S: Final = 60.0
# Another process that holds events for so long has died with them.
DEAD_AFTER_S: Final = 60.0
MOST_DELIVERIES: Final = 1_000_000  # of the stream's entries to us: an outage is no reason to drop one


class Distribution:
    """Hands each event to the webhooks that want it: exactly one run each, through crashes and outages.

    Processes share the work. Events are acknowledged once the runs of all their deliveries have been started.
    Where there is one process only (``is_alone``), what others held before is taken up at once.
    """

    def __init__(
        self,
        streams: Callable[[], Streams],
        webhooks: WebhookRepository,
        engine: Callable[[], Engine],
        clock: Clock,
        *,
        is_alone: bool = False,
    ) -> None:
        self._streams = streams
        self._webhooks = webhooks
        self._engine = engine
        self._clock = clock
        self._is_alone = is_alone
        self._name = new_id()

    async def begin(self) -> None:
        """From now on no event goes past, whether anybody reads them yet or not."""
        await self._group()

    async def distribute_always(self) -> None:
        """Distribute what comes.

        Raises:
            UnavailableError: a part is away. Call again: what was not finished is taken up.
        """
        group = await self._group()
        of_earlier_calls = None if self._is_alone else self._name
        handed = await group.claim(self._name, 0, READ_AT_ONCE, held_by=of_earlier_calls)
        while True:
            await self._distribute(group, handed)
            handed = await group.claim(self._name, DEAD_AFTER_S, READ_AT_ONCE)
            handed = handed or await group.read(self._name, READ_AT_ONCE, WAIT_S)

    async def _group(self) -> Group:
        return await self._streams().group(STREAM, GROUP, after="end", most_deliveries=MOST_DELIVERIES)

    async def _distribute(self, group: Group, handed: Sequence[Handed]) -> None:
        events = [event for event in (readable(each.entry) for each in handed) if event is not None]
        webhooks = await self._webhooks.of_owners({event.owner for event in events}) if events else []
        for event in events:
            for webhook in webhooks:
                if webhook.owner == event.owner and (not webhook.types or event.type in webhook.types):
                    row = await self._webhooks.delivery_of(webhook, event, utc(self._clock.time()))
                    await started(self._engine(), row.owner, row.id, 1)
        if handed:
            await group.ack(*(each.offset for each in handed))


async def started(engine: Engine, owner: str, delivery_id: str, number: int) -> None:
    """Start the run of that number of a delivery; doing it twice starts one."""
    await engine.start(
        webhook_delivery,
        Delivery(owner=owner, id=delivery_id),
        id=run_id(delivery_id, number),
        owner=owner,
        tags={"webhook_delivery": delivery_id},
    )


def run_id(delivery_id: str, number: int) -> str:
    """The id of the run of that number of a delivery."""
    return f"webhook-{delivery_id}-{number}"
