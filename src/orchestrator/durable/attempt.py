"""Inside a running step: what attempt this is, and progress for those who watch."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class StepInfo:
    """The attempt in which this code runs.

    ``idempotency_key`` is the same for every attempt of the same operation of the same run, across retries
    and crashes: hand it to whatever you call, so that the call counts once. ``attempt`` begins at 1.
    """

    run_id: str
    step: str
    operation: str
    attempt: int
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """A running attempt: its facts, and where its progress goes."""

    info: StepInfo
    report: Callable[[object], None]


current_attempt: ContextVar[Attempt] = ContextVar("orchestrator_attempt")


def step_info() -> StepInfo:
    """The facts of the attempt in which this is called.

    Raises:
        RuntimeError: called outside a step that an engine runs.
    """
    attempt = current_attempt.get(None)
    if attempt is None:
        raise RuntimeError("step_info() has something to say only inside a step that an engine runs")
    return attempt.info


def progress(data: object) -> None:
    """Show partial output (a token, a percentage, any JSON-like value) to those who watch the run.

    It never waits and never fails the step. Outside an engine, as in a unit test, it does nothing.
    """
    attempt = current_attempt.get(None)
    if attempt is not None:
        attempt.report(data)
