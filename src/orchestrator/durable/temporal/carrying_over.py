"""Reading what a run recorded, for the run itself to go on with in a new history."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from temporalio import activity
from temporalio.api.enums.v1 import EventType as Kind
from temporalio.common import RawValue  # noqa: TC002  # Temporal reads annotations

from orchestrator.durable.errors import Failure
from orchestrator.durable.prefix import prefix_of_open
from orchestrator.durable.temporal.beginnings import CarriedPrefix
from orchestrator.durable.temporal.failures import recorded_error
from orchestrator.durable.temporal.going_on import CARRY_OVER
from orchestrator.durable.temporal.payloads import MAX_CARRIED_BYTES, carried
from orchestrator.durable.temporal.recorded import recorded_of
from orchestrator.durable.temporal.travelling import opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from temporalio.api.history.v1 import HistoryEvent

# The rest of one value is for signals that come meanwhile.
MOST_PREFIX_BYTES: Final = MAX_CARRIED_BYTES * 3 // 4


class CarryingOver:
    """Reads histories for the runs of one engine, which may have a store for large values."""

    def __init__(self, *, has_store: bool) -> None:
        self._has_store = has_store

    @activity.defn(name=CARRY_OVER)
    async def carry_over(self, began_at: float) -> RawValue:
        """What the run that asks has recorded up to here; its code began at ``began_at``, seconds since 1970.

        Raises:
            ApplicationError: it is more than a server carries as one value, and there is no store for it.
        """
        info, client = activity.info(), activity.client()
        run = client.get_workflow_handle(info.workflow_id or "", run_id=info.workflow_run_id)
        history = _up_to(info.activity_id, opened(run, client.data_converter))
        seed, entries = await recorded_of(history)
        prefix = prefix_of_open(seed, [replace(entries[0], at=began_at), *entries[1:]])
        data = CarriedPrefix.of(prefix).model_dump_json().encode()
        if len(data) > MOST_PREFIX_BYTES and not self._has_store:
            raise recorded_error(_too_large(len(data)))
        return carried(data)


async def _up_to(errand: str, history: AsyncIterator[HistoryEvent]) -> AsyncIterator[HistoryEvent]:
    """What was there when the run asked for this; later events are for its new history."""
    async for event in history:
        is_activity = event.event_type == Kind.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
        if is_activity and event.activity_task_scheduled_event_attributes.activity_id == errand:
            return
        yield event


def _too_large(size: int) -> Failure:
    told = (
        f"what it recorded takes {size:,} bytes, and Temporal carries {MOST_PREFIX_BYTES:,} without a store "
        "for large values (value_store=…, for the service payloads.store_dir)"
    )
    return Failure(type="PayloadTooLargeError", code="payload_too_large", message=told)
