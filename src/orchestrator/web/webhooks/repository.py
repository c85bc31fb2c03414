"""All SQL of webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, select, update

from orchestrator.core.clock import rfc3339
from orchestrator.core.ids import new_id
from orchestrator.db import SYSTEM
from orchestrator.web.webhooks.tables import DeliveryRow, DeliveryState, WebhookRow

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from pydantic import JsonValue

    from orchestrator.db import Database
    from orchestrator.durable.codec import Codec
    from orchestrator.web.events import Event

SECRETS: Final = "webhook secrets"  # what their seals are for
MOST_ATTEMPTS_SHOWN: Final = 50


class WebhookRepository:
    """The rows of webhooks and deliveries. Every call is one transaction."""

    def __init__(self, database: Database, codec: Codec) -> None:
        self._database = database
        self._codec = codec

    async def add(self, row: WebhookRow, most: int) -> bool:
        """Keep a new webhook in the place of one of its id; False where its owner has ``most`` already."""
        async with self._database.session(row.owner) as session:
            await session.alone(f"webhooks of {row.owner}")
            await session.change(delete(WebhookRow).where(WebhookRow.id == row.id))
            if (await session.one(select(func.count()).select_from(WebhookRow)) or 0) >= most:
                return False
            session.add(row)
            return True

    async def all(self, owner: str) -> list[WebhookRow]:
        """The owner's webhooks, oldest first."""
        async with self._database.session(owner) as session:
            return await session.all(select(WebhookRow).order_by(WebhookRow.id))

    async def find(self, owner: str, webhook_id: str) -> WebhookRow | None:
        """The owner's webhook of that id."""
        async with self._database.session(owner) as session:
            return await session.one(select(WebhookRow).where(WebhookRow.id == webhook_id))

    async def change(self, owner: str, webhook_id: str, **values: object) -> None:
        """Give the owner's webhook these values."""
        changed = update(WebhookRow).where(WebhookRow.id == webhook_id).values(**values)
        async with self._database.session(owner) as session:
            await session.change(changed)

    async def remove(self, owner: str, webhook_id: str) -> bool:
        """Forget a webhook with its deliveries; False where there was none."""
        async with self._database.session(owner) as session:
            await session.change(delete(DeliveryRow).where(DeliveryRow.webhook_id == webhook_id))
            return bool(await session.change(delete(WebhookRow).where(WebhookRow.id == webhook_id)))

    async def disable(self, webhook: WebhookRow, why: str) -> None:
        """Send nothing more to it until its owner enables it again."""
        await self.change(webhook.owner, webhook.id, enabled=False, disabled_because=why)

    async def of_owners(self, owners: Collection[str]) -> list[WebhookRow]:
        """The enabled webhooks of these owners."""
        query = select(WebhookRow).where(WebhookRow.owner.in_(owners), WebhookRow.enabled.is_(True))
        async with self._database.session(SYSTEM) as session:
            return await session.all(query)

    async def delivery_of(self, webhook: WebhookRow, event: Event, now: datetime) -> DeliveryRow:
        """The delivery of an event to a webhook, made if there is none."""
        there = select(DeliveryRow).where(
            DeliveryRow.webhook_id == webhook.id, DeliveryRow.event_id == event.id
        )
        async with self._database.session(webhook.owner) as session:
            await session.alone(f"delivery {webhook.id} {event.id}")
            found = await session.one(there)
            if found is None:
                found = DeliveryRow(
                    id=new_id(),
                    owner=webhook.owner,
                    webhook_id=webhook.id,
                    event_id=event.id,
                    type=event.type,
                    at=event.at,
                    data=dict(event.data),
                    traceparent=event.traceparent,
                    state=DeliveryState.PENDING,
                    runs=1,
                    attempts=[],
                    created_at=now,
                )
                session.add(found)
            return found

    async def deliveries(
        self, owner: str, webhook_id: str, limit: int, before: str | None
    ) -> list[DeliveryRow]:
        """What was sent to a webhook, newest first, older than the delivery ``before``."""
        query = select(DeliveryRow).where(DeliveryRow.webhook_id == webhook_id)
        if before is not None:
            query = query.where(DeliveryRow.id < before)
        async with self._database.session(owner) as session:
            return await session.all(query.order_by(DeliveryRow.id.desc()).limit(limit))

    async def delivery(self, owner: str, delivery_id: str) -> DeliveryRow | None:
        """The owner's delivery of that id."""
        async with self._database.session(owner) as session:
            return await session.one(select(DeliveryRow).where(DeliveryRow.id == delivery_id))

    async def deliver_again(self, row: DeliveryRow) -> bool:
        """Promise one more run of a delivery; False where somebody did so meanwhile."""
        seen = (DeliveryRow.id == row.id, DeliveryRow.runs == row.runs)
        values = {"runs": row.runs + 1, "state": DeliveryState.PENDING}
        async with self._database.session(row.owner) as session:
            return bool(await session.change(update(DeliveryRow).where(*seen).values(**values)))

    async def to_deliver(self, owner: str, delivery_id: str) -> tuple[WebhookRow, DeliveryRow] | None:
        """A delivery and its webhook; None where one of them is gone."""
        row = await self.delivery(owner, delivery_id)
        webhook = await self.find(owner, row.webhook_id) if row else None
        return (webhook, row) if webhook and row else None

    async def tried(
        self, row: DeliveryRow, state: DeliveryState, at: datetime, status: int | None, reason: str | None
    ) -> None:
        """Write down an attempt, and that the webhook works where it came through."""
        attempt = _attempt(at, status, reason)
        async with self._database.session(row.owner) as session:
            kept = await session.one(select(DeliveryRow.attempts).where(DeliveryRow.id == row.id))
            attempts = [*(kept or []), attempt][-MOST_ATTEMPTS_SHOWN:]
            changed = update(DeliveryRow).where(DeliveryRow.id == row.id)
            await session.change(changed.values(attempts=attempts, state=state))
            if state is DeliveryState.DELIVERED:
                works = update(WebhookRow).where(WebhookRow.id == row.webhook_id)
                await session.change(works.values(worked_at=at))

    async def cut_off(self, row: DeliveryRow, at: datetime, reason: str) -> None:
        """Write down that nothing more is tried, and why, unless the delivery has ended or begun anew."""
        as_it_was = (
            DeliveryRow.id == row.id,
            DeliveryRow.state == DeliveryState.PENDING,
            DeliveryRow.runs == row.runs,
        )
        async with self._database.session(row.owner) as session:
            kept = await session.one(select(DeliveryRow.attempts).where(*as_it_was))
            attempts = [*(kept or []), _attempt(at, None, reason)][-MOST_ATTEMPTS_SHOWN:]
            failed = update(DeliveryRow).where(*as_it_was)
            await session.change(failed.values(attempts=attempts, state=DeliveryState.FAILED))

    async def ended(self, row: DeliveryRow, state: DeliveryState) -> None:
        """Write down what became of a delivery."""
        async with self._database.session(row.owner) as session:
            await session.change(update(DeliveryRow).where(DeliveryRow.id == row.id).values(state=state))

    async def pending(self, after: str, limit: int) -> list[DeliveryRow]:
        """Everybody's deliveries that are under way, in the order of their ids, above ``after``."""
        under_way = (DeliveryRow.state == DeliveryState.PENDING, DeliveryRow.id > after)
        async with self._database.session(SYSTEM) as session:
            return await session.all(
                select(DeliveryRow).where(*under_way).order_by(DeliveryRow.id).limit(limit)
            )

    async def forget_older(self, than: datetime) -> int:
        """Forget everybody's deliveries from before a moment; gives how many."""
        async with self._database.session(SYSTEM) as session:
            return await session.change(delete(DeliveryRow).where(DeliveryRow.created_at < than))

    def sealed(self, webhook_id: str, secret: str) -> bytes:
        """A secret as it is kept."""
        return self._codec.seal(secret.encode(), SECRETS, webhook_id)

    def secrets(self, row: WebhookRow, now: datetime) -> list[str]:
        """The secrets that sign now: the current one, and the one before it while that is still valid."""
        kept = [row.secret]
        if row.old_secret is not None and row.old_secret_until is not None and now < row.old_secret_until:
            kept.append(row.old_secret)
        return [self._codec.open(secret, SECRETS, row.id).decode() for secret in kept]


def _attempt(at: datetime, status: int | None, reason: str | None) -> dict[str, JsonValue]:
    return {"at": rfc3339(at), "status": status, "reason": reason}
