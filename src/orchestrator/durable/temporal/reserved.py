"""What is the adapter's own on a cluster: its names, its queue, and how its workers treat it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from temporalio.common import RetryPolicy

from orchestrator.durable.names import RESERVED

# An errand of the adapter is one short call to the server, and is tried until it is done.
ERRAND_TIMEOUT: Final = timedelta(seconds=10)
ERRAND_RETRY: Final = RetryPolicy(
    initial_interval=timedelta(milliseconds=100), maximum_interval=timedelta(seconds=10)
)


def inner_queue(task_queue: str) -> str:
    """Where the adapter's own work for the runs of ``task_queue`` is done, apart from theirs.

    However much of it there is, it so takes no step's place, and no step takes its.
    """
    return f"{RESERVED}{task_queue}"


def queue_within(inner: str) -> str:
    """The task queue whose runs the work of the queue ``inner`` is for."""
    return inner.removeprefix(RESERVED)
