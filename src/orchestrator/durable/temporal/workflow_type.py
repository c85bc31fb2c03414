"""Workflow functions as Temporal workflow types."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence  # noqa: TC003  # Temporal reads annotations
from functools import partial
from typing import TYPE_CHECKING, Any

from temporalio import workflow as temporal
from temporalio.common import RawValue  # noqa: TC002  # Temporal reads annotations

from orchestrator.durable.context import Context
from orchestrator.durable.errors import Failure
from orchestrator.durable.guard import refuse_io_on
from orchestrator.durable.outcomes import is_cancelled
from orchestrator.durable.temporal.beginnings import Beginning, Letter
from orchestrator.durable.temporal.deliveries import Deliveries
from orchestrator.durable.temporal.failures import recorded_error
from orchestrator.durable.temporal.machine import TemporalMachine
from orchestrator.durable.temporal.mailbox import Mailbox
from orchestrator.durable.temporal.payloads import carried

if TYPE_CHECKING:
    from orchestrator.durable.workflows import Workflow


def workflow_type(definition: Workflow[Any, Any]) -> type:
    """The Temporal workflow type that runs a workflow function."""

    class Run:
        @temporal.init
        def __init__(self, data: RawValue, beginning: RawValue) -> None:  # noqa: ARG002  # as run takes
            self._mailbox = Mailbox()
            self._deliveries = Deliveries()
            self._beginning = Beginning.model_validate_json(beginning.payload.data)
            for letter in self._beginning.letters:
                self._deliveries.add(partial(self._mailbox.put, letter))

        async def run(self, data: RawValue, beginning: RawValue) -> RawValue:  # noqa: ARG002  # as above
            return await _run(definition, data.payload.data, self._mailbox, self._deliveries)

        @temporal.signal(dynamic=True)
        def signal(self, name: str, letter: Sequence[RawValue]) -> None:
            data, identity = (part.payload.data.decode() for part in letter)
            self._deliveries.add(partial(self._mailbox.put, Letter(name=name, identity=identity, data=data)))

    # Temporal refuses functions of local classes, since its sandbox imports them by name; we use none.
    Run.run.__qualname__ = Run.__qualname__ = "Run.run"
    Run.__qualname__ = "Run"
    temporal.run(Run.run)
    return temporal.defn(name=definition.type_name, sandboxed=False)(Run)


async def _run(
    definition: Workflow[Any, Any], data: bytes, mailbox: Mailbox, deliveries: Deliveries
) -> RawValue:
    refuse_io_on(type(asyncio.get_running_loop()))
    context = Context(TemporalMachine(mailbox, deliveries))
    delivering = asyncio.create_task(deliveries.carry_out())
    try:
        return carried(await definition.begin(context, data), f"the result of {definition.name}")
    except (Exception, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and is_cancelled():
            raise
        raise recorded_error(Failure.of(error)) from None
    finally:
        delivering.cancel()
