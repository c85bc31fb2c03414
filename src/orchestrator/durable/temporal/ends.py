"""Waiting for the ends of runs, however they end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from temporalio import activity
from temporalio.api.enums.v1 import EventType as Kind
from temporalio.client import WorkflowHistoryEventFilterType
from temporalio.service import RPCError, RPCStatusCode

from orchestrator.durable.temporal.activities import WORKER_STOPPED, send_heartbeats, worker_stops
from orchestrator.durable.temporal.failures import recorded_error
from orchestrator.durable.temporal.gates import WATCH

if TYPE_CHECKING:
    from temporalio.client import Client


@activity.defn(name=WATCH)
async def watch(runs: list[list[str]], longest_s: float) -> list[str]:
    """Wait until one of these runs, each with the id of its first history, has ended, or is no more.

    The histories of those that have; none if that takes longer than ``longest_s``.
    """
    client = activity.client()
    heartbeats = asyncio.create_task(send_heartbeats())
    ends = {asyncio.create_task(_ended(client, run_id, history)): history for run_id, history in runs}
    try:
        ended, _ = await asyncio.wait(ends, timeout=longest_s, return_when=asyncio.FIRST_COMPLETED)
        for end in ended:
            end.result()
        return [ends[end] for end in ended]
    except asyncio.CancelledError:
        if worker_stops():
            raise recorded_error(WORKER_STOPPED, retry_after_s=0.0) from None
        raise
    finally:
        heartbeats.cancel()
        for end in ends:
            end.cancel()


async def _ended(client: Client, run_id: str, history: str) -> None:
    """Until a run has ended, through all its histories from this one on."""
    while history:
        closing = client.get_workflow_handle(run_id, run_id=history).fetch_history_events(
            wait_new_event=True,
            event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT,
            skip_archival=True,
        )
        try:
            history = ""
            async for event in closing:
                if event.event_type == Kind.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
                    history = event.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:  # otherwise it was deleted
                raise
            return
