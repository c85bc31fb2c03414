"""A handle on one run on Temporal."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from temporalio.client import WorkflowFailureError
from temporalio.common import RawValue
from temporalio.exceptions import CancelledError, TerminatedError
from temporalio.exceptions import TimeoutError as TimedOutError
from temporalio.service import RPCError, RPCStatusCode

from orchestrator.core.errors import UnavailableError
from orchestrator.core.ids import new_id
from orchestrator.core.patience import growing_pauses
from orchestrator.durable.errors import (
    MismatchError,
    RunCancelledError,
    RunClosedError,
    RunError,
    RunFailedError,
    RunTerminatedError,
)
from orchestrator.durable.names import chosen
from orchestrator.durable.payloads import to_json
from orchestrator.durable.prefix import prefix_of
from orchestrator.durable.runs import SAME_INPUT, Status, check_force_after
from orchestrator.durable.temporal.failures import explained, explained_of_run, failure_of
from orchestrator.durable.temporal.forcing import end_by
from orchestrator.durable.temporal.history import RUN_TIMED_OUT, events_of, steps_of
from orchestrator.durable.temporal.pausing import PAUSE, RESUME
from orchestrator.durable.temporal.payloads import carried
from orchestrator.durable.temporal.pending import reason_of
from orchestrator.durable.temporal.recorded import recorded_of
from orchestrator.durable.temporal.standing import describe, info_of, status_now, status_of
from orchestrator.durable.temporal.stuck import fits, mismatch_of
from orchestrator.durable.temporal.travelling import opened
from orchestrator.durable.temporal.unreadable import data_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
    from temporalio.client import Client

    from orchestrator.durable.payloads import Payload
    from orchestrator.durable.runs import Event, Prefix, RunInfo, StepView
    from orchestrator.durable.temporal.forks import Forks
    from orchestrator.durable.temporal.terms import Terms
    from orchestrator.durable.temporal.watching import Watching

Out_co = TypeVar("Out_co", covariant=True)


class TemporalRun(Generic[Out_co]):
    """The run of one workflow id."""

    def __init__(  # what a handle needs, from the engine alone
        self,
        client: Client,
        run_id: str,
        output: Payload,
        forks: Forks,
        terms: Terms,
        watching: Watching | None,
    ) -> None:
        self._terms = terms
        self._client = client
        self._handle = client.get_workflow_handle(run_id, result_type=RawValue)
        self._id = run_id
        self._output = output
        self._forks = forks
        self._watching = watching

    @property
    def id(self) -> str:
        """The run's id."""
        return self._id

    async def result(self) -> Out_co:
        """Wait for the end and give the result; raise as the port says."""
        waiting = asyncio.create_task(self._value())
        try:
            for pause_s in growing_pauses():
                await asyncio.wait([waiting], timeout=pause_s)
                if waiting.done():
                    break
                with suppress(UnavailableError):  # the end is still to come
                    await self._check_fits()
            value = waiting.result()
        except WorkflowFailureError as error:
            raise self._end(error.cause) from None
        except RPCError as error:
            raise explained_of_run(self._id, error) from error
        finally:
            waiting.cancel()
        return cast("Out_co", self._output.decode(data_of(value)))

    async def describe(self) -> RunInfo:
        """Where it stands now.

        Raises:
            NotFoundError: it was deleted.
        """
        description = await describe(self._client, self._id)
        stuck = await self._mismatch(description)
        if stuck is not None:
            info = await info_of(self._client, description, stuck.message)
            return replace(info, status=Status.STUCK)
        status = await status_now(self._client, description)
        reason = await self._reason() if status in {Status.FAILED, Status.TIMED_OUT} else ""
        waits = "" if status.closed else await reason_of(self._client, description.workflow_execution_info)
        if waits:
            status, reason = Status.PENDING, waits
        return replace(await info_of(self._client, description, reason), status=status)

    async def steps(self) -> list[StepView]:
        """Its steps in the order in which they were asked for."""
        return await steps_of(self._client, self._handle, self._terms.rules.redactor)

    def events(self, after: int = 0) -> AsyncIterator[Event]:
        """Its events from ``after`` (exclusive) on, live, until its last one."""
        if self._watching is None:
            return events_of(self._client, self._id, after, self._terms.rules.redactor)
        return self._watching.events(self._id, after)

    async def events_so_far(self, after: int = 0) -> list[Event]:
        """Its events above ``after`` that there are now."""
        if self._watching is None:
            redactor = self._terms.rules.redactor
            told = [event async for event in events_of(self._client, self._id, 0, redactor, is_live=False)]
        else:
            told = await self._watching.so_far(self._id)
        return [event for event in told if event.offset > after]

    async def signal(self, name: str, data: object = None, *, id: str | None = None) -> None:
        """Send what a ``ctx.receive(name)`` waits for; the same ``id`` twice counts once.

        Raises:
            RunClosedError: the run has ended.
        """
        what = f"the signal {name}"
        most = self._terms.rules.most_bytes
        letter = [carried(to_json(part, what, most)) for part in (data, id or new_id())]
        try:
            await self._handle.signal(chosen(name, "signal"), args=letter)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise RunClosedError(f"run {self._id} has ended, so it takes no signal {name!r}") from None
            raise explained(error) from error

    async def cancel(self, *, force_after: float | None = None) -> None:
        """Ask it to stop, and end it without its code ``force_after`` seconds later if it is still open.

        0 ends it now. On an ended run this does nothing.

        Raises:
            ValueError: ``force_after`` is negative or not finite.
        """
        check_force_after(force_after)
        try:
            if force_after == 0:
                await self._handle.terminate()
                return
            if force_after is not None:
                await self._end_within(force_after)
            stuck = await self._mismatch(await describe(self._client, self._id))
            await (self._handle.cancel() if stuck is None else self._handle.terminate())
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise explained(error) from error

    async def pause(self) -> None:
        """Begin no new step or child until it is resumed; durable when this returns.

        Raises:
            RunClosedError: it has ended or is stuck.
        """
        status = (await self.describe()).status
        if status.closed or status is Status.STUCK:
            raise RunClosedError(f"run {self._id} is {status} and cannot be paused")
        await self._wish(PAUSE)

    async def resume(self) -> None:
        """Go on after a pause; a stuck run is tried again with the code at hand.

        Raises:
            RunClosedError: it has ended. MismatchError: it is stuck still; the message says why.
        """
        info = await self.describe()
        if info.status.closed:
            raise RunClosedError(f"run {self._id} is {info.status} and cannot be resumed")
        # Of a stuck run too, so that whoever asks from now on is told what the code at hand makes of it.
        await self._wish(RESUME)
        for pause_s in growing_pauses():
            info = await self.describe()
            if info.status is Status.STUCK:
                raise MismatchError(f"run {self._id} is stuck still: {info.reason}")
            if info.status.closed or await fits(self._client, self._forks.registry, self._terms, self._id):
                return
            # The wish waits for the end of a workflow task that a worker took with it.
            await asyncio.sleep(pause_s)

    async def _wish(self, name: str) -> None:
        try:
            await self._handle.signal(name, args=[None, new_id()])
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise explained(error) from error
            raise RunClosedError(f"run {self._id} has ended") from None

    async def _value(self) -> RawValue:
        """What the run gives at its end, whoever pauses it and however often the server is away before."""
        pauses = growing_pauses()
        while True:
            try:
                value: RawValue = await self._handle.result()
            except RuntimeError:  # the SDK's, where the server says that nothing more comes
                if status_of(await describe(self._client, self._id)).closed:
                    raise
                await asyncio.sleep(next(pauses))
            except RPCError as error:
                if not isinstance(explained(error), UnavailableError):
                    raise
                await asyncio.sleep(next(pauses))
            else:
                return value

    async def _mismatch(self, description: DescribeWorkflowExecutionResponse) -> MismatchError | None:
        return await mismatch_of(self._client, self._forks.registry, self._terms, description)

    async def _check_fits(self) -> None:
        """See that the run is not stuck.

        Raises:
            MismatchError: it is.
        """
        error = await self._mismatch(await describe(self._client, self._id))
        if error is not None:
            raise MismatchError(
                f"run {self._id} is stuck: {error.message}", expected=error.expected, came=error.came
            )

    async def _end_within(self, seconds: float) -> None:
        run = (await describe(self._client, self._id)).workflow_execution_info
        if not run.HasField("close_time"):
            await end_by(self._client, run, time.time() + seconds)

    async def recorded(self, *, until: str | None = None) -> Prefix:
        """What it recorded before the step ``until`` began, or what came before a failure or a cancel.

        Raises:
            InvalidInputError: it has no such step, or one that began only after a cancel.
        """
        history = opened(self._handle, self._client.data_converter)
        seed, entries = await recorded_of(history)
        return prefix_of(seed, entries, until)

    async def fork(
        self, *, from_step: str | None = None, with_input: Any = SAME_INPUT, id: str | None = None
    ) -> TemporalRun[Out_co]:
        """Start another run with what this one recorded up to ``from_step``. See the port for the arguments.

        Raises:
            InvalidInputError: there is no such step; or none is named, and nothing failed or was cancelled.
            ConflictError: another run has this id.
            NotRegisteredError: the engine was not given the workflow.
            PayloadError: ``with_input`` is not what the workflow takes.
        """
        fork_id = await self._forks.start(self._id, from_step, with_input, id)
        return TemporalRun(self._client, fork_id, self._output, self._forks, self._terms, self._watching)

    async def _reason(self) -> str:
        try:
            await self.result()
        except RunFailedError as error:
            return f"{error.failure.type}: {error.failure.message}"
        return ""

    def _end(self, cause: BaseException) -> RunError:
        if isinstance(cause, CancelledError):
            return RunCancelledError(f"run {self._id} was cancelled")
        if isinstance(cause, TerminatedError):
            return RunTerminatedError(f"run {self._id} was terminated")
        if isinstance(cause, TimedOutError):
            return RunFailedError(self._id, RUN_TIMED_OUT)
        return RunFailedError(self._id, failure_of(cause))
