"""Where webhooks may go."""

from __future__ import annotations

from pydantic import Field

from orchestrator.core.settings.section import Section


class WebhookSettings(Section):
    """What users may have the service send to."""

    allow_private: bool = Field(
        default=False, description="true or false: whether webhooks may go to private addresses"
    )
