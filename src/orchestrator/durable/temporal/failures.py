"""Failures as Temporal records them: an application error whose first detail is our `Failure`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError
from temporalio.client import WorkflowFailureError
from temporalio.converter import DataConverter
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ApplicationErrorCategory,
    CancelledError,
    ChildWorkflowError,
    TerminatedError,
)
from temporalio.exceptions import TimeoutError as TimedOutError
from temporalio.service import RPCError, RPCStatusCode

from orchestrator.core.errors import NotFoundError, UnavailableError
from orchestrator.durable.errors import Failure
from orchestrator.durable.temporal.payloads import carried

if TYPE_CHECKING:
    from temporalio.common import RawValue

if TYPE_CHECKING:
    from temporalio.api.failure.v1 import Failure as RecordedFailure
    from temporalio.service import RPCError

# Temporal reads a delay of zero as none given, and would use its own.
SHORTEST_RETRY_DELAY = timedelta(milliseconds=1)

_SILENT: Final = {RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED}
# A connection that breaks in the midst of an answer, as when the server ends, and what the server cannot do.
_PASSING: Final = {
    RPCStatusCode.UNKNOWN,
    RPCStatusCode.INTERNAL,
    RPCStatusCode.CANCELLED,
    RPCStatusCode.ABORTED,
    RPCStatusCode.DATA_LOSS,
    RPCStatusCode.RESOURCE_EXHAUSTED,
}

WORKERS_LOST: Final = Failure(
    type="WorkerLostError", code="worker_lost", message="its worker was lost too often"
)


def recorded_error(
    failure: Failure, retry_after_s: float | None = None, detail: RawValue | None = None
) -> ApplicationError:
    """The error that records ``failure``; another attempt follows after ``retry_after_s``, if given.

    ``detail`` is the failure as it is to be recorded, where that is known already.
    """
    delay = None if retry_after_s is None else max(timedelta(seconds=retry_after_s), SHORTEST_RETRY_DELAY)
    return ApplicationError(
        failure.message,
        detail or detail_of(failure),
        type=failure.type,
        non_retryable=delay is None,
        next_retry_delay=delay,
        # The SDK logs any other with a traceback; a failure is told by its run's events, as on every engine.
        category=ApplicationErrorCategory.BENIGN,
    )


def detail_of(failure: Failure) -> RawValue:
    """A failure as Temporal carries it."""
    return carried(failure.model_dump_json().encode())


def failure_of(error: BaseException) -> Failure:
    """What was recorded with an error that came from Temporal, or the best account of one of its own."""
    cause = error.cause if isinstance(error, ActivityError) and error.cause else error
    if isinstance(cause, ApplicationError) and cause.details:
        try:
            return Failure.model_validate(cause.details[0])
        except ValidationError:
            pass  # an error of other code on this cluster
    if isinstance(cause, TimedOutError):
        return WORKERS_LOST
    if isinstance(cause, CancelledError):
        return Failure(
            type="CancelledError", code="cancelled", message="it was cancelled from outside its run"
        )
    return Failure(type=type(cause).__name__, code="error", message=str(cause))


def failure_in(recorded: RecordedFailure) -> Failure:
    """What a history recorded as a failure."""
    converter = DataConverter.default
    return failure_of(converter.failure_converter.from_failure(recorded, converter.payload_converter))


def failure_of_child(child_id: str, error: BaseException) -> Failure:
    """What is recorded of a child run that did not complete."""
    cause = error.cause if isinstance(error, ChildWorkflowError | WorkflowFailureError) else error
    if isinstance(cause, CancelledError):
        return Failure(
            type="RunCancelledError", code="run_cancelled", message=f"child run {child_id} was cancelled"
        )
    if isinstance(cause, TerminatedError | TimedOutError):
        return Failure(
            type="RunTerminatedError", code="run_terminated", message=f"child run {child_id} was terminated"
        )
    return failure_of(cause or error)


def explained_of_run(run_id: str, error: RPCError) -> Exception:
    """A server's refusal to do something with a run as the house knows it, or itself."""
    if error.status is RPCStatusCode.NOT_FOUND:
        return NotFoundError(f"there is no run {run_id!r}")
    return explained(error)


def explained(error: RPCError) -> Exception:
    """A server's refusal as the house knows it, or itself."""
    if error.status in _SILENT:
        return UnavailableError("the Temporal server does not answer")
    if error.status in _PASSING:
        return UnavailableError(f"the Temporal server cannot do this now: {error}")
    return error
