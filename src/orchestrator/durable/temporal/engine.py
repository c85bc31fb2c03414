"""The engine port on a Temporal cluster."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from orchestrator.core.errors import ConflictError, UnavailableError
from orchestrator.core.ids import new_id
from orchestrator.core.redaction import Redactor
from orchestrator.durable.codec import codec_for
from orchestrator.durable.errors import EngineStoppedError
from orchestrator.durable.names import chosen
from orchestrator.durable.payloads import MAX_PAYLOAD_BYTES, Payload, PayloadRules
from orchestrator.durable.registry import NotRegisteredError, Registry
from orchestrator.durable.runs import NORMAL_PRIORITY, check_priority
from orchestrator.durable.temporal.activities import HEARTBEAT_EVERY_S, Activities
from orchestrator.durable.temporal.arriving import Arrivals
from orchestrator.durable.temporal.beginnings import Beginning, CarriedPrefix
from orchestrator.durable.temporal.connection import Connection, Tls
from orchestrator.durable.temporal.deletion import delete
from orchestrator.durable.temporal.endings import TellEndings
from orchestrator.durable.temporal.failures import explained
from orchestrator.durable.temporal.forks import Forks
from orchestrator.durable.temporal.inner_worker import inner_worker
from orchestrator.durable.temporal.inspecting import Inspecting
from orchestrator.durable.temporal.listing import Listing
from orchestrator.durable.temporal.namespace import retention_s
from orchestrator.durable.temporal.rounds import rounds
from orchestrator.durable.temporal.runs import TemporalRun
from orchestrator.durable.temporal.scheduling import Scheduling
from orchestrator.durable.temporal.search import register
from orchestrator.durable.temporal.standing import describe
from orchestrator.durable.temporal.starting import NewRun, begin
from orchestrator.durable.temporal.terms import Terms
from orchestrator.durable.temporal.travelling import converter
from orchestrator.durable.temporal.value_store import DirectoryStore, folder_of
from orchestrator.durable.temporal.value_sweep import SWEPT_AFTER, claim, sweep
from orchestrator.durable.temporal.watching import Watching
from orchestrator.durable.temporal.workflow_type import workflow_type
from orchestrator.durable.temporal.working import Working
from orchestrator.durable.threads import DaemonThreads
from orchestrator.durable.workflows import check_is_workflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Executor
    from types import TracebackType

    from temporalio.client import Client

    from orchestrator.durable.codec import Encryption
    from orchestrator.durable.runs import Prefix, RunInfo, Status
    from orchestrator.durable.temporal.value_store import ValueStore
    from orchestrator.durable.workflows import Workflow
    from orchestrator.streams import Streams

Out = TypeVar("Out")

# Steps that one worker runs side by side; plain `def` steps have a thread each.
MOST_STEPS_AT_ONCE = 100
# How often the open runs are counted, and the values of forgotten ones removed.
COUNT_EVERY_S = 10.0
SWEEP_EVERY_S = 86_400.0
# How long a run waits for the worker that knows it by heart before any other one replays it.
STICKY_TIMEOUT = timedelta(seconds=2)
ANYTHING = Payload.of(Any, "a result")


class TemporalEngine(Scheduling, Inspecting):
    """Starts and finds runs on a Temporal cluster, and works on them while it is open.

    Each workflow is a Temporal workflow type of its ``type_name``, each step an activity of its name.

    Ids are known for as long as the namespace retains its runs. What a priority does for steps is the
    cluster's affair.

    Args:
        address: ``host:port`` of the cluster.
        workflows: those that this process can start and run.
        steps: step functions, and instances of classes with step methods.
        namespace: of the cluster.
        tls: whether the connection is encrypted, or how.
        api_key: as Temporal Cloud gives them; it implies TLS.
        value_store: where values are kept that are too large for a history; a directory that all processes
            of the task queue see, or an `S3Store`. Without one no value takes more than Temporal carries.
        most_payload_bytes: what one value may take as JSON; more fails at once, and is not tried again.
        encryption: keys for all values that are recorded; without it they are plain JSON.
        secrets: what no failure and no event may show; secrets that look like one need not be given.
        task_queue: shared by all processes that do the same work.
        resident_runs: how many runs stay in memory between their events; any other is replayed.
        works: whether this process works on runs; without, it starts, finds and tells of them alone.
        most_steps_at_once: how many steps run side by side in this process.
        finish_s: seconds that steps get to end when the engine is closed, before they are cancelled here and
            run again elsewhere.
        streams: where watchers in all processes read the events of runs, such as `RedisStreams`; whoever
            gives them closes them. Without, events are read from the cluster's histories, which know no
            progress and no retries.
        event_retention: how long the events of a run are kept in ``streams`` after its end; None is as long
            as the namespace keeps the run.
        on_ended: called with each run whose code ends in this process; one that ends without its code, by
            force, is told by nobody.
    """

    def __init__(  # noqa: PLR0913  # options, by name
        self,
        address: str = "localhost:7233",
        *,
        workflows: Iterable[Workflow[Any, Any]] = (),
        steps: Iterable[object] = (),
        namespace: str = "default",
        tls: bool | Tls = False,
        api_key: str | None = None,
        value_store: ValueStore | str | Path | None = None,
        most_payload_bytes: int = MAX_PAYLOAD_BYTES,
        encryption: Encryption | None = None,
        secrets: Iterable[str] = (),
        task_queue: str = "orchestrator-task-queue",
        resident_runs: int = 1_000,
        works: bool = True,
        most_steps_at_once: int = MOST_STEPS_AT_ONCE,
        finish_s: float = 0.0,
        streams: Streams | None = None,
        event_retention: timedelta | None = None,
        on_ended: Callable[[RunInfo], None] | None = None,
    ) -> None:
        self._connection = Connection(address, namespace, tls, api_key)
        self._store = (
            DirectoryStore(Path(value_store)) if isinstance(value_store, str | Path) else value_store
        )
        known = [*secrets, *([api_key] if api_key else []), *(encryption.secrets if encryption else ())]
        self._terms = Terms.of(PayloadRules(most_payload_bytes, Redactor(known)), self._store)
        self._converter = converter(codec_for(encryption), self._store)
        self._task_queue = task_queue
        self._resident_runs = resident_runs
        self._works = works
        self._most_steps_at_once = most_steps_at_once
        self._finish_s = finish_s
        self._on_ended = on_ended
        self._streams = streams
        self._event_retention = event_retention
        self._registry = Registry()
        self._registry.add(workflows, steps)
        self._open = AsyncExitStack()
        self._reachable: Client | None = None
        self._client: Client | None = None
        self._working: Working | None = None
        self._watching: Watching | None = None

    def add(self, *, workflows: Iterable[Workflow[Any, Any]] = (), steps: Iterable[object] = ()) -> None:
        """Take more workflows and steps, before the engine is opened.

        Raises:
            ValueError: a name is taken. RuntimeError: the engine is open.
        """
        if self._client is not None:
            raise RuntimeError("add workflows and steps before the engine is opened")
        self._registry.add(workflows, steps)

    async def __aenter__(self) -> Self:
        """Connect and begin to work.

        Raises:
            UnavailableError, SettingsError: as ``reach`` does. SettingsError: runs cannot be found in the
                namespace; the message says what to do.
        """
        client = await self._reached()
        async with AsyncExitStack() as opening:
            if self._store is not None:
                await opening.enter_async_context(self._store)
                with suppress(UnavailableError, ConflictError):  # a sweep asks again, and says what is wrong
                    await claim(client, self._store)
            await register(client)
            await self._watch(client, opening)
            if self._works:
                threads = opening.enter_context(DaemonThreads(self._most_steps_at_once))
                self._working = Working(lambda: self._worker(client, threads))
                await opening.enter_async_context(self._working)
                await opening.enter_async_context(Working(lambda: self._inner_worker(client)))
                await opening.enter_async_context(rounds(partial(self._sweep, client), SWEEP_EVERY_S))
            await opening.enter_async_context(rounds(partial(self._count, client), COUNT_EVERY_S))
            self._open = opening.pop_all()
        self._client = client
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop working. Steps that are running get ``finish_s``; what is left then runs again elsewhere."""
        self._client = None
        await self._open.aclose()
        self._working = None

    async def reach(self) -> None:
        """See whether the cluster answers and has the namespace; the engine need not be open.

        Raises:
            UnavailableError: no Temporal server answers at the address, or it has no such namespace.
            SettingsError: it refuses the key, or a certificate is not right.
        """
        await self._reached()

    def check(self) -> None:
        """See whether this process does its part.

        Raises:
            EngineStoppedError: the engine is not open, or its worker failed and has yet to begin again.
        """
        self._connected()
        if self._working is not None:
            self._working.check()

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
        check_priority(priority)
        data = workflow.input.record(input, self._terms.rules.most_bytes)
        carried = None if prefix is None else CarriedPrefix.of(prefix)
        run = NewRun(
            chosen(id or new_id(), "run"),
            workflow,
            data,
            owner,
            dict(tags or {}),
            priority,
            Beginning(prefix=carried),
        )
        try:
            await begin(client, self._task_queue, self._registry, run)
        except RPCError as error:
            raise explained(error) from error
        return TemporalRun(client, run.id, workflow.output, self._forks(client), self._terms, self._watching)

    async def get(self, id: str) -> TemporalRun[Any]:  # the word of the port
        """The run of that id.

        Raises:
            NotFoundError: there is none.
        """
        client = self._connected()
        type_name = (await describe(client, id)).workflow_execution_info.type.name
        try:
            output = self._registry.workflow(type_name).output
        except NotRegisteredError:
            output = Payload.of(Any, f"the result of {type_name}")
        return TemporalRun(client, id, output, self._forks(client), self._terms, self._watching)

    async def list(  # the port's filters
        self,
        *,
        status: Sequence[Status] = (),
        workflow: str | None = None,
        owner: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[RunInfo]:
        """Runs of the engine's task queue, newest first; ``before`` is the last id of the page before.

        A run is found once the cluster's index has it, mostly within a second. What it is is asked then: a
        run is shown only if it is of the ``status`` at that moment.

        Raises:
            NotFoundError: there is no run ``before``.
        """
        client = self._connected()

        async def inform(run_id: str) -> RunInfo:
            return await TemporalRun(
                client, run_id, ANYTHING, self._forks(client), self._terms, self._watching
            ).describe()

        listing = Listing(
            client, self._task_queue, inform, status=status, workflow=workflow, owner=owner, tags=tags
        )
        return await listing.page(limit, before)

    async def give(self, giver: str, taker: str) -> int:  # noqa: ARG002  # the port's
        """None: a run that has ended keeps its owner on a cluster."""
        return 0

    async def delete(self, id: str) -> None:
        """Forget an ended run and all it recorded.

        Raises:
            NotFoundError: there is none. ConflictError: it has not ended.
        """
        await delete(self._connected(), id, partial(self._forget, id))

    async def _forget(self, run_id: str, first: str) -> None:
        """Forget what is not on the cluster of a run whose first history was ``first``."""
        if self._watching is not None:
            await self._watching.forget(run_id, first)
        if self._store is not None:
            await self._store.remove(folder_of(self._connection.namespace, run_id))

    async def sweep_values(self, *, older_than: timedelta = SWEPT_AFTER) -> int:
        """Remove the large values of runs that the server has forgotten; gives the number of those runs.

        An engine that works does this by itself once a day.

        What was put into the store since ``older_than`` is spared: its run may be about to start.

        Raises:
            UnavailableError: the server or the store does not answer. ConflictError: the store is another
                cluster's.
        """
        return await self._sweep(self._connected(), asyncio.Event(), older_than)

    async def _reached(self) -> Client:
        """A client that has been answered now. It is made once, and mends itself."""
        if self._reachable is None:
            self._reachable = await self._connection.open(self._converter)
        else:
            await self._connection.check(self._reachable)
        return self._reachable

    async def _sweep(
        self, client: Client, closing: asyncio.Event, older_than: timedelta = SWEPT_AFTER
    ) -> int:
        return 0 if self._store is None else await sweep(client, self._store, older_than, closing)

    def _ended(self, loop: asyncio.AbstractEventLoop, run: RunInfo, first: str) -> None:
        """Tell of a run that ends; called in the thread of its code."""
        if self._on_ended is not None:
            self._on_ended(run)
        if self._watching is not None:
            loop.call_soon_threadsafe(self._watching.settle, run.id, first)

    async def _watch(self, client: Client, opening: AsyncExitStack) -> None:
        if self._streams is None:
            return
        kept = self._event_retention
        kept_s = await retention_s(client) if kept is None else kept.total_seconds()
        self._watching = Watching(client, self._streams, kept_s, self._terms.rules.redactor)
        opening.push_async_callback(self._watching.close)

    def _worker(self, client: Client, threads: Executor) -> Worker:
        every = timedelta(seconds=HEARTBEAT_EVERY_S)
        hears = self._on_ended is not None or self._watching is not None
        return Worker(
            client,
            task_queue=self._task_queue,
            workflows=[workflow_type(workflow, self._terms) for workflow in self._registry.workflows],
            activities=[Activities(self._registry, threads, self._terms.rules, self._watching).run_step],
            interceptors=[TellEndings(partial(self._ended, asyncio.get_running_loop()))] if hears else [],
            graceful_shutdown_timeout=timedelta(seconds=self._finish_s),
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_cached_workflows=self._resident_runs,
            max_concurrent_activities=self._most_steps_at_once,
            sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
            max_heartbeat_throttle_interval=every,
            default_heartbeat_throttle_interval=every,
        )

    def _inner_worker(self, client: Client) -> Worker:
        return inner_worker(
            client, self._task_queue, self._resident_runs, self._registry, has_store=self._terms.has_store
        )

    def _connected(self) -> Client:
        if self._client is None:
            raise EngineStoppedError(
                "the engine is not running; use it inside `async with TemporalEngine(…)`"
            )
        return self._client

    @property
    def arrivals(self) -> Arrivals:
        """Where open runs of another engine go that move to this one.

        Raises:
            EngineStoppedError: the engine is not open.
        """
        place = f"Temporal at {self._connection.address}, namespace {self._connection.namespace}"
        return Arrivals(self._connected(), self._task_queue, self._registry, self._terms, place)

    def _forks(self, client: Client) -> Forks:
        return Forks(client, self._task_queue, self._registry)
