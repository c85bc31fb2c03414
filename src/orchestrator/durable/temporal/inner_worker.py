"""The worker for what the adapter does itself on a cluster, beside the runs and steps of its users."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from orchestrator.durable.temporal.admission import Claiming
from orchestrator.durable.temporal.carrying_over import CarryingOver
from orchestrator.durable.temporal.ends import watch
from orchestrator.durable.temporal.following import follow
from orchestrator.durable.temporal.forcing import Force, terminate
from orchestrator.durable.temporal.gates import Gate
from orchestrator.durable.temporal.keeping import Due, Keeper, Serving, tell_keeper
from orchestrator.durable.temporal.reserved import inner_queue

if TYPE_CHECKING:
    from temporalio.client import Client

    from orchestrator.durable.registry import Registry

# A workflow waits so long for the worker that knows it by heart.
STICKY_TIMEOUT = timedelta(seconds=1)
# There is little to fetch, so few ask the server for it.
_POLLERS = 2
# Most of it is waiting for runs to end: one for each gate at which others wait.
MOST_ERRANDS = 5_000


def inner_worker(
    client: Client, task_queue: str, resident_runs: int, registry: Registry, *, has_store: bool
) -> Worker:
    """The worker that serves the runs of ``task_queue``, and keeps so many workflows in memory."""
    return Worker(
        client,
        task_queue=inner_queue(task_queue),
        workflows=[Force, Due, Keeper, Gate],
        activities=[
            terminate,
            follow,
            tell_keeper,
            Serving(registry).serve,
            Claiming(registry).claim,
            watch,
            CarryingOver(has_store=has_store).carry_over,
        ],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=resident_runs,
        max_concurrent_activities=MOST_ERRANDS,
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        max_concurrent_workflow_task_polls=_POLLERS,
        max_concurrent_activity_task_polls=_POLLERS,
    )
