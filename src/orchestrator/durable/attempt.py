"""Inside a running step: what attempt this is, and progress for those who watch."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class StepInfo:
    """The attempt in which this code runs.

    ``idempotency_key`` is the same for every attempt of the same operation of the same run, across retries
    and crashes: hand it to whatever you call, so that the call counts once. A run that continues as a new one
    has new keys. ``attempt`` begins at 1.
    """

    run_id: str
    step: str
    operation: str
    attempt: int
    idempotency_key: str


def _nobody(hanging: bool) -> None:  # noqa: FBT001  # the one thing it is told
    """Where nobody waits for steps to end."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A running attempt: its facts, where its progress goes, and who is told that it hangs, or no more."""

    info: StepInfo
    report: Callable[[object], None]
    hang: Callable[[bool], None] = _nobody


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


@contextmanager
def hangs() -> Iterator[None]:
    """Say that this step waits for nothing that could come: an engine that settles does not wait for it."""
    attempt = current_attempt.get(None)
    hang = _nobody if attempt is None else attempt.hang
    hang(True)  # noqa: FBT003  # the one thing it is told
    try:
        yield
    finally:
        hang(False)  # noqa: FBT003  # likewise
