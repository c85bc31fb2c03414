"""What owners do with their webhooks."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from orchestrator.core.clock import utc
from orchestrator.core.errors import ConflictError, InvalidInputError, NotFoundError
from orchestrator.core.ids import new_id
from orchestrator.core.settings_sources import nearest
from orchestrator.web.webhooks.distribution import started
from orchestrator.web.webhooks.schemas import DeliveryPage, DeliveryShown, Webhook, WebhookCreated
from orchestrator.web.webhooks.signing import new_secret
from orchestrator.web.webhooks.tables import DeliveryState, WebhookRow

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from orchestrator.core.clock import Clock
    from orchestrator.durable.engine import Engine
    from orchestrator.web.outbound import Outbound
    from orchestrator.web.webhooks.repository import WebhookRepository
    from orchestrator.web.webhooks.schemas import NewWebhook

MOST_EACH: Final = 20
BOTH_SECRETS_FOR: Final = timedelta(hours=24)  # after a rotation
OTHERS_HAVE: Final = "."
BY_OWNER: Final = "its owner disabled it"


class WebhookService:
    """Each method that takes a webhook's id raises NotFoundError where the owner has none of that id."""

    def __init__(
        self,
        webhooks: WebhookRepository,
        outbound: Outbound,
        engine: Callable[[], Engine],
        clock: Clock,
        events: Collection[str],
    ) -> None:
        """Take what it stands on, and the types of events that this service tells by itself."""
        self._webhooks = webhooks
        self._outbound = outbound
        self._engine = engine
        self._clock = clock
        self._events = sorted(events)

    async def create(self, owner: str, new: NewWebhook, webhook_id: str | None = None) -> WebhookCreated:
        """Keep a new webhook, and show its secret this once.

        One of the same ``webhook_id``, whose secret nobody was shown, gives way.

        Raises:
            RefusedAddressError: its address is not one to send to. ConflictError: the owner has too many.
            InvalidInputError: it names an event that nobody tells.
        """
        self._check_types(new.types)
        self._outbound.check_url(new.url)
        webhook_id, secret = webhook_id or new_id(), new_secret()
        row = WebhookRow(
            id=webhook_id,
            owner=owner,
            url=new.url,
            types=sorted(set(new.types)),
            enabled=True,
            disabled_because=None,
            secret=self._webhooks.sealed(webhook_id, secret),
            created_at=utc(self._clock.time()),
        )
        if not await self._webhooks.add(row, MOST_EACH):
            raise ConflictError(f"You have {MOST_EACH} webhooks. Delete one first.", code="too_many_webhooks")
        return WebhookCreated(**Webhook.of(row).model_dump(), secret=secret)

    async def all(self, owner: str) -> list[Webhook]:
        """The owner's webhooks, oldest first."""
        return [Webhook.of(row) for row in await self._webhooks.all(owner)]

    async def show(self, owner: str, webhook_id: str) -> Webhook:
        """One of them."""
        return Webhook.of(await self._row(owner, webhook_id))

    async def delete(self, owner: str, webhook_id: str) -> None:
        """Forget it with its deliveries; those under way end at their next attempt."""
        if not await self._webhooks.remove(owner, webhook_id):
            raise _no_webhook()

    async def enable(self, owner: str, webhook_id: str) -> Webhook:
        """Send to it again what happens from now on."""
        await self._row(owner, webhook_id)
        await self._webhooks.change(owner, webhook_id, enabled=True, disabled_because=None)
        return await self.show(owner, webhook_id)

    async def disable(self, owner: str, webhook_id: str) -> Webhook:
        """Send nothing more to it, until it is enabled again."""
        await self._webhooks.disable(await self._row(owner, webhook_id), BY_OWNER)
        return await self.show(owner, webhook_id)

    async def rotate_secret(self, owner: str, webhook_id: str) -> str:
        """A new secret, shown this once. For a day the one before it signs too."""
        row, secret = await self._row(owner, webhook_id), new_secret()
        await self._webhooks.change(
            owner,
            webhook_id,
            secret=self._webhooks.sealed(webhook_id, secret),
            old_secret=row.secret,
            old_secret_until=utc(self._clock.time()) + BOTH_SECRETS_FOR,
        )
        return secret

    async def deliveries(self, owner: str, webhook_id: str, limit: int, before: str | None) -> DeliveryPage:
        """What was sent to a webhook, newest first."""
        await self._row(owner, webhook_id)
        rows = await self._webhooks.deliveries(owner, webhook_id, limit, before)
        after = rows[-1].id if len(rows) == limit else None
        return DeliveryPage(items=[DeliveryShown.of(row) for row in rows], next=after)

    async def deliver_again(self, owner: str, webhook_id: str, delivery_id: str) -> None:
        """Send an event once more, under the same id, however it ended before.

        Raises:
            ConflictError: it is under way, or the webhook is disabled.
        """
        webhook = await self._row(owner, webhook_id)
        row = await self._webhooks.delivery(owner, delivery_id)
        if row is None or row.webhook_id != webhook_id:
            raise NotFoundError("The webhook has no such delivery.", code="delivery_not_found")
        if not webhook.enabled:
            raise ConflictError("The webhook is disabled. Enable it first.", code="webhook_disabled")
        if row.state == DeliveryState.PENDING or not await self._webhooks.deliver_again(row):
            # Where a crash came between the promise of its run and the run, the run begins now.
            await started(self._engine(), owner, row.id, row.runs)
            raise ConflictError("This delivery is under way.", code="delivery_pending")
        await started(self._engine(), owner, row.id, row.runs + 1)

    def _check_types(self, types: Sequence[str]) -> None:
        # We do not know the events of other services, which have a dot so that ours can be told from them.
        for wanted in types:
            if OTHERS_HAVE not in wanted and wanted not in self._events:
                raise InvalidInputError(
                    f"There is no event {wanted!r}.{nearest(wanted, dict.fromkeys(self._events))} There are: "
                    f"{', '.join(self._events)}; and those of your other services, which have a dot in their "
                    "names, such as billing.paid.",
                    code="event_unknown",
                )

    async def _row(self, owner: str, webhook_id: str) -> WebhookRow:
        row = await self._webhooks.find(owner, webhook_id)
        if row is None:
            raise _no_webhook()
        return row


def _no_webhook() -> NotFoundError:
    return NotFoundError("Webhook not found", code="webhook_not_found")
