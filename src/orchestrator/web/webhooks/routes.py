"""The HTTP routes of webhooks: parse, call the service, answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Response

from orchestrator.web.audit import Trail
from orchestrator.web.auth.access import Learner
from orchestrator.web.idempotency.once import MadeId, secret_answer
from orchestrator.web.problems import problems
from orchestrator.web.webhooks.schemas import (
    DeliveryPage,
    NewWebhook,
    Secret,
    Webhook,
    WebhookCreated,
    WebhookPage,
)

if TYPE_CHECKING:
    from orchestrator.web.webhooks.service import WebhookService

WEBHOOKS: Final = "/api/v1/webhooks"
LARGEST_PAGE: Final = 200
UUID: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

WebhookId = Annotated[str, Path(pattern=UUID, description="The webhook's id.")]
DeliveryId = Annotated[str, Path(pattern=UUID, description="The delivery's id.")]


def webhooks_router(service: WebhookService) -> APIRouter:
    """The routes over ``service``."""
    router = APIRouter(prefix=WEBHOOKS, tags=["events"])
    _add_webhooks(router, service)
    _add_changes(router, service)
    _add_deliveries(router, service)
    return router


def _add_webhooks(router: APIRouter, service: WebhookService) -> None:
    @router.post(
        "",
        status_code=201,
        responses=problems(401, 409),
        summary="Have your events sent to an address; its secret is shown this once",
        dependencies=[Depends(secret_answer)],
    )
    async def create(new: NewWebhook, caller: Learner, made_id: MadeId) -> WebhookCreated:
        return await service.create(caller.user, new, made_id)

    @router.get("", responses=problems(401), summary="List your webhooks, oldest first")
    async def all_of_them(caller: Learner) -> WebhookPage:
        return WebhookPage(items=await service.all(caller.user))

    @router.get("/{webhook_id}", responses=problems(401, 404), summary="Show a webhook")
    async def show(webhook_id: WebhookId, caller: Learner) -> Webhook:
        return await service.show(caller.user, webhook_id)

    @router.delete(
        "/{webhook_id}",
        status_code=204,
        responses=problems(401, 404),
        summary="Forget a webhook and what was sent to it",
    )
    async def delete(webhook_id: WebhookId, caller: Learner, trail: Trail) -> None:
        await service.show(caller.user, webhook_id)
        await trail.record("webhook.delete", webhook_id)
        await service.delete(caller.user, webhook_id)


def _add_changes(router: APIRouter, service: WebhookService) -> None:
    @router.post(
        "/{webhook_id}/enable",
        responses=problems(401, 404),
        summary="Send to a webhook again what happens from now on",
    )
    async def enable(webhook_id: WebhookId, caller: Learner) -> Webhook:
        return await service.enable(caller.user, webhook_id)

    @router.post(
        "/{webhook_id}/disable", responses=problems(401, 404), summary="Send nothing more to a webhook"
    )
    async def disable(webhook_id: WebhookId, caller: Learner) -> Webhook:
        return await service.disable(caller.user, webhook_id)

    @router.post(
        "/{webhook_id}/rotate-secret",
        responses=problems(401, 404),
        summary="Get a new secret; for 24 hours the one before it signs too",
        dependencies=[Depends(secret_answer)],
    )
    async def rotate_secret(webhook_id: WebhookId, caller: Learner) -> Secret:
        return Secret(secret=await service.rotate_secret(caller.user, webhook_id))


def _add_deliveries(router: APIRouter, service: WebhookService) -> None:
    @router.get(
        "/{webhook_id}/deliveries",
        responses=problems(401, 404),
        summary="List what was sent to a webhook in the last 30 days, newest first",
    )
    async def deliveries(
        webhook_id: WebhookId,
        caller: Learner,
        limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="How many at most.")] = 50,
        before: Annotated[str | None, Query(pattern=UUID, description="`next` of the page before.")] = None,
    ) -> DeliveryPage:
        return await service.deliveries(caller.user, webhook_id, limit, before)

    @router.post(
        "/{webhook_id}/deliveries/{delivery_id}/redeliver",
        status_code=202,
        response_class=Response,
        responses=problems(401, 404, 409),
        summary="Send an event once more",
    )
    async def redeliver(webhook_id: WebhookId, delivery_id: DeliveryId, caller: Learner) -> None:
        await service.deliver_again(caller.user, webhook_id, delivery_id)
