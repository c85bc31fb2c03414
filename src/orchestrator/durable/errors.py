"""Errors of durable runs, all of the tree in `orchestrator.core.errors`."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pydantic_core
from pydantic import BaseModel, JsonValue

from orchestrator.core.errors import ConflictError, InternalError, OrchestratorError, TerminalError
from orchestrator.core.redaction import NO_SECRETS_KNOWN, Redactor

if TYPE_CHECKING:
    from collections.abc import Sequence

# A failure is kept in the history and shown to people; the rest of a huge one belongs in a log.
LONGEST_MESSAGE_CHARS = 10_000
LONGEST_TRACE_CHARS = 20_000
MAX_DETAILS_BYTES = 64 * 1024
# Each failed undo is a step of its own that tells the rest; so many, this short, fit into the details.
MOST_FAILED_UNDOS = 100
LONGEST_UNDO_MESSAGE_CHARS = 200
LONGEST_NAME_CHARS = 200
# A text is looked through for secrets before it is cut to size, since a secret that is cut looks like none.
# Of one that is longer than this, the rest is left out unseen, and with it what that cut may have parted.
LONGEST_SEARCHED_CHARS = 200_000
LONGEST_SECRET_CHARS = 10_000


class Failure(BaseModel):
    """An exception as it is recorded: what people and programs need of it, whatever it carried."""

    type: str
    code: str
    message: str
    details: JsonValue = None
    trace: str = ""

    @classmethod
    def of(cls, error: BaseException, redactor: Redactor = NO_SECRETS_KNOWN) -> Self:
        """Record ``error`` without its secrets; what cannot be written down of it is left out."""
        return cls(
            type=_text(error.type) if isinstance(error, StepError) else _class_name(error),
            code=_text(error.code) if isinstance(error, OrchestratorError) else "error",
            message=_message(error, redactor),
            details=_details(error, redactor),
            trace=_trace(error, redactor),
        )


class StepError(TerminalError):
    """A step failed for good. The same live and on replay.

    ``type`` is the class name of the exception that the step raised, ``code`` its stable code (``error`` for
    foreign exceptions), ``details`` what it carried as JSON in an attribute of that name.
    """

    default_code = "step_failed"

    def __init__(self, *, type: str, code: str, message: str, details: JsonValue = None) -> None:
        super().__init__(message, code=code)
        self.type = type
        self.details = details

    @classmethod
    def of(cls, failure: Failure) -> Self:
        """The error that a workflow sees for a recorded failure."""
        return cls(type=failure.type, code=failure.code, message=failure.message, details=failure.details)


class ChildError(StepError):
    """A child run did not complete.

    ``type`` is ``RunCancelledError`` or ``RunTerminatedError`` for one that was ended from outside, else the
    class name of the exception that it failed with.
    """

    default_code = "child_failed"


@dataclass(frozen=True, slots=True)
class FailedUndo:
    """A compensation that failed for good: its operation, its step, and what it failed with."""

    operation: str
    step: str
    failure: Failure


class CompensationError(TerminalError):
    """A run failed or was cancelled, and not everything that it had done could be undone.

    ``cause`` is what the run would have ended with, ``failed`` the undos that failed. ``details`` holds both
    as JSON: ``{"cause": {type, code, message}, "failed": [{operation, step, type, code, message}, …]}``, with
    the first 100 undos and the first 200 characters of their messages.
    """

    default_code = "compensation_failed"

    def __init__(self, cause: Failure, failed: Sequence[FailedUndo]) -> None:
        told = "; ".join(
            f"{undo.step} ({undo.operation}): {undo.failure.type}: {_brief(undo.failure.message)}"
            for undo in failed[:MOST_FAILED_UNDOS]
        )
        super().__init__(
            f"it ended with {cause.type}: {cause.message}, and {len(failed)} of its undos failed: {told}"
        )
        self.cause = cause
        self.failed = tuple(failed)
        self.details: JsonValue = {
            "cause": {"type": cause.type, "code": cause.code, "message": cause.message},
            "failed": [
                {
                    "operation": undo.operation,
                    "step": undo.step,
                    "type": undo.failure.type,
                    "code": undo.failure.code,
                    "message": _brief(undo.failure.message),
                }
                for undo in failed[:MOST_FAILED_UNDOS]
            ],
        }

    @classmethod
    def of(cls, error: BaseException, failed: Sequence[FailedUndo]) -> Self:
        """For a run that ``error`` ended, a cancel included."""
        if isinstance(error, asyncio.CancelledError):
            message = str(error) or "the run was cancelled"
            return cls(Failure(type="CancelledError", code="cancelled", message=message), failed)
        return cls(Failure.of(error), failed)


class RunError(OrchestratorError):
    """A run did not complete."""

    status = 500
    default_code = "run_failed"


class RunFailedError(RunError):
    """A run failed. ``failure`` says with what."""

    def __init__(self, run_id: str, failure: Failure) -> None:
        super().__init__(f"run {run_id} failed: {failure.type}: {failure.message}", code=failure.code)
        self.failure = failure


class RunCancelledError(RunError):
    """A run was cancelled."""

    default_code = "run_cancelled"


class RunTerminatedError(RunError):
    """A run was ended from outside, without a chance to clean up."""

    default_code = "run_terminated"


class RunClosedError(ConflictError):
    """The run has ended, so it takes no more signals."""

    default_code = "run_closed"


class MismatchError(InternalError):
    """The code asks for something else than what was recorded.

    ``expected`` is the recorded operation for which the code has no place, such as ``2:fetch_page``, and
    ``came`` what it asks for at that point; empty where that is not what is wrong.
    """

    default_code = "stuck"

    def __init__(self, message: str, *, expected: str = "", came: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.expected = expected
        self.came = tuple(came)


class EngineStoppedError(InternalError):
    """The engine is not running."""

    default_code = "engine_stopped"


class DeterminismError(TerminalError):
    """A workflow did what only a step may do."""

    default_code = "not_deterministic"


class Misfit(BaseException):  # not an error of the workflow, which must not handle it
    """A recorded result is not of the type that the code at hand declares."""


class ContinueAs(BaseException):  # not an error of the workflow, which must not handle it
    """A workflow goes on as a new history with the input ``data``."""

    def __init__(self, data: bytes) -> None:
        super().__init__("continue_as")
        self.data = data


class Evicted(BaseException):  # not an error: it unwinds a run that leaves memory
    """Unwinds a run's code that leaves memory; the run itself goes on from its history later."""


def _class_name(error: BaseException) -> str:
    try:
        return _text(type(error).__name__)
    except BaseException:  # noqa: BLE001  # a metaclass may make anything of it
        return "Exception"


def _text(name: object) -> str:
    return _encodable(str(name))[:LONGEST_NAME_CHARS]


def _message(error: BaseException, redactor: Redactor) -> str:
    try:
        text = _encodable(str(error)[: LONGEST_SEARCHED_CHARS + 1])
    except BaseException:  # noqa: BLE001  # a broken __str__ may raise anything; the class name is left then
        return _class_name(error)
    redacted = redactor.text(text)
    if len(text) > LONGEST_SEARCHED_CHARS:
        redacted = redacted[:-LONGEST_SECRET_CHARS]
    return redacted[:LONGEST_MESSAGE_CHARS]


def _trace(error: BaseException, redactor: Redactor) -> str:
    try:
        text = "".join(traceback.format_exception(error))
    except BaseException:  # noqa: BLE001  # notes, causes and source lines are foreign code's; where it was is left
        text = "".join(traceback.format_tb(error.__traceback__))
    searched = _encodable(text[-LONGEST_SEARCHED_CHARS - 1 :])
    redacted = redactor.text(searched)
    if len(searched) > LONGEST_SEARCHED_CHARS:
        redacted = redacted[LONGEST_SECRET_CHARS:]
    return redacted[-LONGEST_TRACE_CHARS:]


def _brief(message: str) -> str:
    return message[:LONGEST_UNDO_MESSAGE_CHARS]


def _encodable(text: str) -> str:
    """``text`` with lone surrogates, which JSON in UTF-8 cannot hold, as question marks."""
    return str.encode(text, "utf-8", "replace").decode()


def _details(error: BaseException, redactor: Redactor) -> JsonValue:
    """What the exception carries in ``details``, as it reads once it went through JSON."""
    try:
        data = redactor.json(pydantic_core.to_json(getattr(error, "details", None)))
        return pydantic_core.from_json(data) if len(data) <= MAX_DETAILS_BYTES else None
    except BaseException:  # noqa: BLE001  # a foreign attribute of that name may be or do anything
        return None
