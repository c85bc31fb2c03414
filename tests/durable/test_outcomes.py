"""What comes of one attempt at a step."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from orchestrator import Retry, step
from orchestrator.core.errors import RateLimitedError, TerminalError
from orchestrator.durable.attempt import Attempt, StepInfo
from orchestrator.durable.errors import LONGEST_MESSAGE_CHARS, LONGEST_TRACE_CHARS, Failure
from orchestrator.durable.outcomes import Verdict, decide, perform
from orchestrator.durable.registry import BoundStep
from orchestrator.durable.steps import LONGEST_RETRY_WAIT_S

if TYPE_CHECKING:
    from collections.abc import Iterator

FACTS = StepInfo(run_id="run", step="step", operation="1", attempt=1, idempotency_key="run/1:step")


@step(retry=Retry(attempts=4, backoff=(1.0, 2.0)))
async def patient() -> None:
    """Have four attempts."""


@pytest.fixture
def one_thread() -> Iterator[ThreadPoolExecutor]:
    """One thread for plain functions."""
    with ThreadPoolExecutor(1) as threads:
        yield threads


@pytest.mark.parametrize(
    ("error", "attempt", "wait_s"),
    [
        (OSError("down"), 1, 1.0),
        (OSError("down"), 2, 2.0),
        (OSError("down"), 3, 2.0),
        (OSError("down"), 4, None),
        (OSError("down"), 5, None),
        (TerminalError("never"), 1, None),
        (RateLimitedError("slow down", retry_after=7.5), 1, 7.5),
        (RateLimitedError("slow down", retry_after=7.5), 4, None),
        (RateLimitedError("slow down"), 2, 2.0),
        (RateLimitedError("tomorrow", retry_after=86_400.0), 1, LONGEST_RETRY_WAIT_S),
        (RateLimitedError("clocks differ", retry_after=-3.0), 1, 0.0),
    ],
)
def test_the_kind_of_error_and_the_attempts_decide(
    error: Exception, attempt: int, wait_s: float | None
) -> None:
    """The server's wait goes before the step's own; terminal errors and the last attempt are the end."""
    verdict = decide(error, patient.definition, attempt)
    assert (verdict.retry_after_s, verdict.is_final) == (wait_s, wait_s is None)
    assert verdict.failure.message == str(error)


async def test_a_thread_that_waits_for_its_turn_is_not_begun_after_a_cancel(
    one_thread: ThreadPoolExecutor,
) -> None:
    """Cancelled in the queue, the function never runs and nobody waits for it."""
    calls: list[str] = []
    released = threading.Event()

    @step
    def work() -> None:
        calls.append("called")

    busy = one_thread.submit(released.wait, 30)
    bound = BoundStep(work.definition, work)
    attempt = asyncio.create_task(perform(bound, b"{}", Attempt(FACTS, print), one_thread))
    await asyncio.sleep(0)  # its first turn, which ends in the queue
    assert one_thread._work_queue.qsize() == 1
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    released.set()
    busy.result()
    assert calls == []


async def test_arguments_that_do_not_fit_are_a_failure_for_good(one_thread: ThreadPoolExecutor) -> None:
    """They would not fit the next time either."""

    @step(retry=Retry(attempts=3))
    async def double(number: int) -> int:
        return 2 * number

    bound = BoundStep(double.definition, double)
    outcome = await perform(bound, b'{"number": "many"}', Attempt(FACTS, print), one_thread)
    assert isinstance(outcome, Verdict)
    assert (outcome.is_final, outcome.failure.type) == (True, "PayloadError")


def test_a_failure_is_small_and_can_be_written_whatever_was_raised() -> None:
    """Long and unencodable messages, and details that are no data, leave a failure that reads back."""

    class StrangeError(Exception):
        details = object()

        def __str__(self) -> str:
            return "\ud800" + "x" * 1_000_000

    class SilentError(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    strange = Failure.of(StrangeError())
    assert Failure.model_validate_json(strange.model_dump_json()) == strange
    assert strange.message.startswith("?x")
    assert len(strange.message) == LONGEST_MESSAGE_CHARS
    assert len(strange.trace) <= LONGEST_TRACE_CHARS
    assert strange.details is None
    assert Failure.of(SilentError()).message == "SilentError"
