"""Webhooks: events of a user, sent to an address that the user names (Standard Webhooks 1.0)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from orchestrator.durable.codec import Codec
    from orchestrator.web.feature import Feature, Resources


def build(resources: Resources, codec: Codec, events: Collection[str]) -> Feature:
    """Routes, and the workflow of a delivery.

    ``codec`` seals the secrets that sign; ``events`` are the types of what the rooms tell of.
    """
    from orchestrator.web.feature import Feature
    from orchestrator.web.outbound import Outbound
    from orchestrator.web.webhooks.distribution import Distribution
    from orchestrator.web.webhooks.repository import WebhookRepository
    from orchestrator.web.webhooks.routes import webhooks_router
    from orchestrator.web.webhooks.service import WebhookService
    from orchestrator.web.webhooks.steps import WebhookSteps
    from orchestrator.web.webhooks.upkeep import Upkeep
    from orchestrator.web.webhooks.workflow import webhook_delivery

    clock = resources.clock
    outbound = Outbound(allow_private=resources.settings.webhooks.allow_private)
    webhooks = WebhookRepository(resources.database, codec)
    is_alone = resources.settings.engine == "embedded"
    distribution = Distribution(resources.streams, webhooks, resources.engine, clock, is_alone=is_alone)
    upkeep = Upkeep(webhooks, resources.engine, clock)
    service = WebhookService(webhooks, outbound, resources.engine, clock, events)
    return Feature(
        name="webhooks",
        router=webhooks_router(service),
        workflows=(webhook_delivery,),
        steps=(WebhookSteps(webhooks, outbound, clock),),
        on_start=(distribution.begin,),
        background=(distribution.distribute_always, upkeep.keep_up_always),
    )
