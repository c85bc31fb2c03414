"""What all runs of one engine share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from orchestrator.core.clock import Clock
    from orchestrator.durable.codec import Codec
    from orchestrator.durable.embedded.histories import Histories
    from orchestrator.durable.embedded.runner import StepRunner
    from orchestrator.durable.embedded.timers import Alarms
    from orchestrator.durable.payloads import PayloadRules
    from orchestrator.durable.registry import Registry
    from orchestrator.journal import Journal
    from orchestrator.streams import EmbeddedStreams


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of an open engine."""

    loop: asyncio.AbstractEventLoop
    journal: Journal
    streams: EmbeddedStreams
    histories: Histories
    codec: Codec
    rules: PayloadRules
    clock: Clock
    alarms: Alarms
    registry: Registry
    runner: StepRunner
