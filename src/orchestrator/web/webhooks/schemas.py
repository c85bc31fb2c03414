"""Webhooks as they are on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from orchestrator.web.events.event import LONGEST_TYPE_CHARS
from orchestrator.web.outbound import LONGEST_URL_CHARS

if TYPE_CHECKING:
    from orchestrator.web.webhooks.tables import DeliveryRow, WebhookRow

MOST_TYPES: Final = 50

EventType = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.]*$", max_length=LONGEST_TYPE_CHARS)]


class NewWebhook(BaseModel):
    """Where to send which events."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(
        min_length=1,
        max_length=LONGEST_URL_CHARS,
        description="An address that takes a POST for each event.",
        examples=["https://example.org/hooks/orchestrator"],
    )
    types: list[EventType] = Field(
        default_factory=list,
        max_length=MOST_TYPES,
        description="The types of events to send; all of them where the list is empty. Those of your other "
        "services have a dot in their names.",
        examples=[["lesson_completed"]],
    )


class Webhook(BaseModel):
    """A webhook, without its secret."""

    id: str = Field(description="Its id.")
    url: str = Field(description="Where events are sent.")
    types: list[str] = Field(description="The types of events that are sent; empty: all.")
    enabled: bool = Field(description="Whether anything is sent.")
    disabled_because: str | None = Field(description="Why nothing is sent; null while it is enabled.")
    created_at: datetime = Field(description="When it was made.")

    @classmethod
    def of(cls, row: WebhookRow) -> Self:
        """A row as its owner sees it."""
        return cls.model_validate(row, from_attributes=True)


class WebhookPage(BaseModel):
    """All webhooks of the caller, oldest first."""

    items: list[Webhook] = Field(description="The webhooks.")


class Secret(BaseModel):
    """The secret by which receivers know that a message is ours. It is shown now and never again."""

    secret: str = Field(description="For the library that verifies messages.", examples=["whsec_…"])


class WebhookCreated(Webhook):
    """A new webhook and its secret, which is shown now and never again."""

    secret: str = Field(description="For the library that verifies messages.", examples=["whsec_…"])


class Attempt(BaseModel):
    """One attempt to deliver, or why there is none any more."""

    at: datetime = Field(description="When it was made.")
    status: int | None = Field(description="The HTTP status that was answered; null where nobody answered.")
    reason: str | None = Field(description="Why nobody answered, or nobody was asked.")


class DeliveryShown(BaseModel):
    """An event for a webhook, and what became of it."""

    id: str = Field(description="The delivery's id.")
    event_id: str = Field(description="The `webhook-id` of the message, the same at every attempt.")
    type: str = Field(description="The event's type.")
    at: datetime = Field(description="When it happened.")
    data: dict[str, JsonValue] = Field(description="The event's data.")
    state: str = Field(description="pending, delivered or failed.")
    attempts: list[Attempt] = Field(description="How it was tried, in order.")

    @classmethod
    def of(cls, row: DeliveryRow) -> Self:
        """A row as its owner sees it."""
        return cls.model_validate(row, from_attributes=True)


class DeliveryPage(BaseModel):
    """Some deliveries, newest first."""

    items: list[DeliveryShown] = Field(description="The deliveries of this page.")
    next: str | None = Field(description="Give it as `before` to get the next page; null at the end.")
