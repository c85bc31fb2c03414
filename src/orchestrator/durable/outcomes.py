"""What comes of one attempt at a step; the same on every engine."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.core.errors import RetryableError, TerminalError
from orchestrator.core.redaction import NO_SECRETS_KNOWN
from orchestrator.durable.attempt import Attempt, current_attempt
from orchestrator.durable.errors import Failure
from orchestrator.durable.payloads import USUAL_RULES

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from orchestrator.core.redaction import Redactor
    from orchestrator.durable.payloads import PayloadRules
    from orchestrator.durable.registry import BoundStep
    from orchestrator.durable.steps import StepDefinition


# Attempts that end with their process are repeated beyond the step's own, but not for ever: the step may be
# what ends it.
MOST_LOST_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from a failed attempt: another one after ``retry_after_s`` seconds; the end, if None."""

    failure: Failure
    retry_after_s: float | None = None


def decide(
    error: BaseException, step: StepDefinition, attempt: int, redactor: Redactor = NO_SECRETS_KNOWN
) -> Verdict:
    """Whether ``attempt`` (1 is the first) is followed by another.

    A TerminalError is final, a RetryableError may say when to come back, everything else follows ``Retry``.
    """
    failure = Failure.of(error, redactor)
    if isinstance(error, TerminalError) or attempt >= step.retry.attempts:
        return Verdict(failure)
    asked = error.retry_after if isinstance(error, RetryableError) else None
    return Verdict(failure, step.retry.wait_after(attempt, asked))


async def perform(
    step: BoundStep,
    arguments: bytes,
    attempt: Attempt,
    threads: Executor | None,
    rules: PayloadRules = USUAL_RULES,
) -> bytes | Verdict:
    """Make one attempt: its result as it is recorded, or what follows from its failure.

    A plain ``def`` runs in one of ``threads``; give as many as attempts run side by side, for waiting for one
    counts as time of the attempt. Python cannot stop a thread: when the attempt is cancelled this waits until
    the thread ends; when it is out of time, what the thread still does is dropped.

    Raises:
        asyncio.CancelledError: the task that runs this was cancelled. One that the step made up itself is a
            failure like any other.
    """
    definition = step.definition
    token = current_attempt.set(attempt)
    try:
        result = await _in_time(step, definition.arguments.decode(arguments), threads)
        return definition.result.record(result, rules.most_bytes)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and is_cancelled():
            raise
        return decide(error, definition, attempt.info.attempt, rules.redactor)
    finally:
        current_attempt.reset(token)


def is_cancelled() -> bool:
    """Whether somebody asked the running task to stop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _in_time(step: BoundStep, arguments: dict[str, Any], threads: Executor | None) -> object:
    limit_s = step.definition.timeout_s
    if limit_s is None and step.definition.is_async:
        return await step.call(**arguments)
    scope = asyncio.timeout(limit_s)
    try:
        async with scope:
            if step.definition.is_async:
                return await step.call(**arguments)
            if threads is None:
                raise TypeError(f"step {step.definition.name} is a plain function and needs a thread")
            return await _in_thread(step, arguments, threads, scope)
    except TimeoutError as error:
        if not scope.expired():
            raise
        raise TimeoutError(f"step {step.definition.name} took longer than {limit_s:g} seconds") from error


async def _in_thread(
    step: BoundStep, arguments: dict[str, Any], threads: Executor, scope: asyncio.Timeout
) -> object:
    context = copy_context()

    def call() -> tuple[object, BaseException | None]:
        # A future cannot carry every exception (StopIteration), so it carries a pair.
        try:
            return context.run(step.call, **arguments), None
        except BaseException as error:  # noqa: BLE001  # raised again below
            return None, error

    work = threads.submit(call)
    ended = asyncio.wrap_future(work)
    try:
        value, error = await asyncio.shield(ended)
    except asyncio.CancelledError:
        if not (work.cancel() or scope.expired()):
            await asyncio.wait([ended])  # a second cancel lets the thread go
        raise
    if error is not None:
        raise error
    return value
