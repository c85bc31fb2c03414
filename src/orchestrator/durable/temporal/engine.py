"""The engine port on a Temporal cluster."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from orchestrator.core.errors import ConflictError, NotFoundError, UnavailableError
from orchestrator.core.ids import new_id
from orchestrator.durable.errors import EngineStoppedError
from orchestrator.durable.payloads import Payload
from orchestrator.durable.registry import NotRegisteredError, Registry
from orchestrator.durable.runs import NORMAL_PRIORITY, check_priority
from orchestrator.durable.temporal.activities import HEARTBEAT_EVERY_S, Activities
from orchestrator.durable.temporal.beginnings import arguments
from orchestrator.durable.temporal.connection import Connection, Tls
from orchestrator.durable.temporal.inner_worker import inner_worker
from orchestrator.durable.temporal.runs import INPUT_DIGEST, OWNER, TAGS, TemporalRun
from orchestrator.durable.temporal.unsupported import LaterOfEngine, NotYetOnTemporalError
from orchestrator.durable.temporal.workflow_type import workflow_type
from orchestrator.durable.workflows import check_is_workflow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from temporalio.client import Client

    from orchestrator.durable.runs import Prefix
    from orchestrator.durable.workflows import Workflow

Out = TypeVar("Out")

# Steps that one worker runs side by side; plain `def` steps have a thread each.
MOST_STEPS_AT_ONCE = 200
# How long a run waits for the worker that knows it by heart before any other one replays it.
STICKY_TIMEOUT = timedelta(seconds=2)


class TemporalEngine(LaterOfEngine):
    """Starts and finds runs on a Temporal cluster, and works on them while it is open.

    Each workflow is a Temporal workflow type of its ``type_name``, each step an activity of its name.

    Not there yet, and refused with a `NotYetOnTemporalError`: ``list``, ``delete``, ``start(prefix=…)``,
    ``Run.recorded``, ``Run.fork``, ``Run.pause`` and ``Run.resume``, schedules, workflows with limits,
    ``ctx.child`` and ``ctx.continue_as``. ``progress`` logs once that nobody sees it. ``Run.events`` tells
    what Temporal's history knows: no progress, no single retries, and a step's start is the moment in which
    it was asked for. A stuck run shows as running. Ids are known for as long as the namespace retains its
    runs. What a priority does is the cluster's affair.

    Args:
        address: ``host:port`` of the cluster.
        workflows: those that this process can start and run.
        steps: step functions, and instances of classes with step methods.
        namespace: of the cluster.
        tls: whether the connection is encrypted, or how.
        api_key: as Temporal Cloud gives them; it implies TLS.
        task_queue: shared by all processes that do the same work.
        resident_runs: how many runs stay in memory between their events; any other is replayed.
    """

    def __init__(
        self,
        address: str = "localhost:7233",
        *,
        workflows: Iterable[Workflow[Any, Any]] = (),
        steps: Iterable[object] = (),
        namespace: str = "default",
        tls: bool | Tls = False,
        api_key: str | None = None,
        task_queue: str = "orchestrator-task-queue",
        resident_runs: int = 1_000,
    ) -> None:
        self._connection = Connection(address, namespace, tls, api_key)
        self._task_queue = task_queue
        self._resident_runs = resident_runs
        self._registry = Registry()
        self._registry.add(workflows, steps)
        self._open = AsyncExitStack()
        self._client: Client | None = None

    async def __aenter__(self) -> Self:
        """Connect and begin to work.

        Raises:
            UnavailableError: no Temporal server answers at the address, or it has no such namespace.
            SettingsError: it refuses the key, or a certificate is not right.
        """
        async with AsyncExitStack() as opening:
            client = await self._connection.open()
            threads = opening.enter_context(ThreadPoolExecutor(MOST_STEPS_AT_ONCE, "step"))
            await opening.enter_async_context(self._worker(client, threads))
            inner = inner_worker(client, self._task_queue, self._resident_runs)
            await opening.enter_async_context(inner)
            self._open = opening.pop_all()
        self._client = client
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop working. Steps that are running are cancelled here and run again elsewhere."""
        self._client = None
        await self._open.aclose()

    async def start(
        self,
        workflow: Workflow[Any, Out],
        input: Any = None,  # the word of the port
        *,
        id: str | None = None,  # the word of the port
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        priority: int = NORMAL_PRIORITY,
        prefix: Prefix | None = None,
    ) -> TemporalRun[Out]:
        """Start a run, as the port says. The same id finds the same run within the namespace's retention."""
        client = self._connected()
        check_is_workflow(workflow, "engine.start")
        if self._registry.workflow(workflow.type_name) is not workflow:
            raise NotRegisteredError(f"another workflow {workflow.type_name!r} was given to this engine")
        if prefix is not None:
            raise NotYetOnTemporalError("start(prefix=…)")
        if workflow.limits:
            raise NotYetOnTemporalError("a workflow with limits")
        check_priority(priority)
        data = workflow.input.record(input)
        digest = hashlib.sha256(f"{workflow.type_name}\0".encode() + data).hexdigest()
        run_id = id or new_id()
        try:
            await client.start_workflow(
                workflow.type_name,
                args=arguments(data, workflow.name),
                id=run_id,
                task_queue=self._task_queue,
                priority=Priority(priority_key=priority),
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                memo={INPUT_DIGEST: digest, OWNER: owner, TAGS: dict(tags or {})},
            )
        except WorkflowAlreadyStartedError:
            await self._require_same(client, run_id, digest)
        except RPCError as error:
            _explain(error)
        return TemporalRun(client, run_id, workflow.output)

    async def get(self, id: str) -> TemporalRun[Any]:  # the word of the port
        """The run of that id.

        Raises:
            NotFoundError: there is none.
        """
        client = self._connected()
        try:
            description = await client.get_workflow_handle(id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise NotFoundError(f"there is no run {id!r}") from None
            _explain(error)
        try:
            output = self._registry.workflow(description.workflow_type).output
        except NotRegisteredError:
            output = Payload.of(Any, f"the result of {description.workflow_type}")
        return TemporalRun(client, id, output)

    def _worker(self, client: Client, threads: ThreadPoolExecutor) -> Worker:
        every = timedelta(seconds=HEARTBEAT_EVERY_S)
        return Worker(
            client,
            task_queue=self._task_queue,
            workflows=[workflow_type(workflow) for workflow in self._registry.workflows],
            activities=[Activities(self._registry, threads).run_step],
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_cached_workflows=self._resident_runs,
            max_concurrent_activities=MOST_STEPS_AT_ONCE,
            sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
            max_heartbeat_throttle_interval=every,
            default_heartbeat_throttle_interval=every,
        )

    def _connected(self) -> Client:
        if self._client is None:
            raise EngineStoppedError(
                "the engine is not running; use it inside `async with TemporalEngine(…)`"
            )
        return self._client

    async def _require_same(self, client: Client, run_id: str, digest: str) -> None:
        memo = await (await client.get_workflow_handle(run_id).describe()).memo()
        if memo.get(INPUT_DIGEST) != digest:
            raise ConflictError(f"run {run_id!r} exists with another workflow or input")


def _explain(error: RPCError) -> NoReturn:
    if error.status is RPCStatusCode.UNAVAILABLE:
        raise UnavailableError("the Temporal server does not answer") from error
    raise error
