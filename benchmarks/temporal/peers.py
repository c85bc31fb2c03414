"""The two that are compared: the adapter, and plain code of Temporal's SDK, on the same options."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from benchmarks.engine.ours import add_one as our_add_one
from benchmarks.engine.ours import five_steps
from benchmarks.engine.peer import STEPS
from orchestrator import TemporalEngine

if TYPE_CHECKING:
    from types import TracebackType

# What the adapter asks of Temporal, so that the plain code promises the same.
HEARTBEAT_TIMEOUT = timedelta(seconds=3)
STEP_LIMIT = timedelta(days=1)
RESIDENT_RUNS = 1_000
STEPS_AT_ONCE = 100
STICKY_TIMEOUT = timedelta(seconds=2)


class Adapter:
    """`TemporalEngine` with nothing configured."""

    name: ClassVar[str] = "Orchestrator on Temporal"
    packages: ClassVar[tuple[str, ...]] = ("orchestrator", "temporalio")

    def __init__(self, address: str, queue: str) -> None:
        self._engine = TemporalEngine(
            address,
            workflows=[five_steps],
            steps=[our_add_one],
            task_queue=queue,
            resident_runs=RESIDENT_RUNS,
            most_steps_at_once=STEPS_AT_ONCE,
        )
        self._queue = queue

    async def __aenter__(self) -> Self:
        """Open the engine."""
        await self._engine.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self._engine.__aexit__(kind, error, trace)

    async def run_one(self, number: int) -> int:
        """Start the workflow under an id made of `number`, and wait for its result."""
        run = await self._engine.start(five_steps, number, id=f"{self._queue}-{number}")
        return await run.result()


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
            number = await workflow.execute_activity(
                add_one,
                number,
                start_to_close_timeout=STEP_LIMIT,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
        return number


class Plain:
    """A client and a worker, as Temporal's own documentation writes them."""

    name: ClassVar[str] = "Plain temporalio"
    packages: ClassVar[tuple[str, ...]] = ("temporalio",)

    def __init__(self, address: str, queue: str) -> None:
        self._address = address
        self._queue = queue
        self._client: Client | None = None
        self._worker: Any = None

    async def __aenter__(self) -> Self:
        """Connect and begin to work."""
        self._client = await Client.connect(self._address)
        self._worker = Worker(
            self._client,
            task_queue=self._queue,
            workflows=[FiveSteps],
            activities=[add_one],
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_cached_workflows=RESIDENT_RUNS,
            max_concurrent_activities=STEPS_AT_ONCE,
            sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        )
        await self._worker.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop working."""
        await self._worker.__aexit__(kind, error, trace)

    async def run_one(self, number: int) -> int:
        """Execute the workflow under an id made of `number`."""
        if self._client is None:
            raise RuntimeError("not connected")
        handle = await self._client.start_workflow(
            FiveSteps.run, number, id=f"{self._queue}-{number}", task_queue=self._queue
        )
        return await handle.result()
