"""What comes of one attempt at a step."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from orchestrator import Retry, step
from orchestrator.core.errors import RateLimitedError, TerminalError
from orchestrator.core.redaction import Redactor
from orchestrator.durable.attempt import Attempt, StepInfo
from orchestrator.durable.errors import (
    LONGEST_MESSAGE_CHARS,
    LONGEST_SEARCHED_CHARS,
    LONGEST_TRACE_CHARS,
    Failure,
)
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
    assert verdict.retry_after_s == wait_s
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
    assert (outcome.retry_after_s, outcome.failure.type) == (None, "PayloadError")


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


class Broken(Exception):  # noqa: N818  # a name for what it is
    """Whatever of it one looks at raises, even what is no Exception."""

    def __str__(self) -> str:
        raise SystemExit(3)

    def __repr__(self) -> str:
        raise KeyboardInterrupt

    @property
    def details(self) -> object:
        """Nothing good."""
        raise GeneratorExit


class Nameless(type):
    """A class of classes that have no name."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]  # it is meant to be wrong
        raise RuntimeError("no name")


def _chained(depth: int) -> ValueError:
    error = ValueError("first")
    for number in range(depth):
        following = ValueError(str(number))
        following.__cause__ = error
        error = following
    return error


def _grouped(depth: int) -> Exception:
    group: Exception = ValueError("inmost")
    for _ in range(depth):
        group = ExceptionGroup("around", [group])
    return group


def _noted(*notes: object) -> Exception:
    error = ValueError("noted")
    error.__notes__ = list(notes)  # type: ignore[arg-type]  # others may set anything
    return error


def _carrying(**members: object) -> Exception:
    error = OSError("carries")
    vars(error).update(members)
    return error


def _in_circles() -> dict[str, object]:
    circle: dict[str, object] = {}
    circle["again"] = circle
    return circle


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (Broken(), "Broken"),
        (Nameless("Strange", (Exception,), {})("why"), "why"),
        (ValueError(Broken()), "ValueError"),
        (_chained(5_000), "4999"),
        (_grouped(5_000), "around (1 sub-exception)"),
        (
            ExceptionGroup("many", [ValueError(str(number)) for number in range(10_000)]),
            "many (10000 sub-exceptions)",
        ),
        (BaseExceptionGroup("ends", [SystemExit(1), KeyboardInterrupt()]), "ends (2 sub-exceptions)"),
        (_noted("a note", Broken(), 7), "noted"),
        (_carrying(details=_in_circles(), lock=threading.Lock(), call=lambda: None), "carries"),
        (_carrying(details={"lone": "\ud800"}, __notes__="no list"), "carries"),
        (_carrying(details="x" * 10_000_000), "carries"),
        (ValueError("lone \ud800 and \udfff"), "lone ? and ?"),
        (ValueError(b"\xff", object), f"(b'\\xff', {object!r})"),
        (TerminalError("odd code", code=7), "odd code"),  # type: ignore[arg-type]  # others may pass anything
        (ValueError(), ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_exceptions_of_any_kind_are_recorded(error: BaseException, message: str) -> None:
    """Whatever they carry, type, message and trace are written down, and read back the same."""
    try:
        raise error  # noqa: TRY301  # for its trace
    except BaseException as raised:  # noqa: BLE001  # exceptions of any kind
        failure = Failure.of(raised)
    assert Failure.model_validate_json(failure.model_dump_json()) == failure
    assert failure.message == message
    assert failure.type
    assert "test_outcomes.py" in failure.trace or len(failure.trace) == LONGEST_TRACE_CHARS
    assert len(failure.trace) <= LONGEST_TRACE_CHARS


def test_notes_and_causes_are_in_the_trace() -> None:
    """People find there what libraries add."""
    error = _noted("while reading page 7")
    error.__cause__ = OSError("disk on fire")
    trace = Failure.of(error).trace
    assert "while reading page 7" in trace
    assert "disk on fire" in trace


def test_a_failure_holds_no_secrets_wherever_the_exception_has_them() -> None:
    """In its message, its details, its notes, its cause, its group, and its source lines."""
    error = ExceptionGroup("for hunter22 with sk-abc12345678", [OSError("pw=hunter22")])
    error.add_note("noted hunter22")
    error.__cause__ = ValueError({"password": "other", "said": 'a "hunter22" b'})
    error.details = {"body": {"api_key": "other"}, "text": "hunter22"}  # type: ignore[attr-defined]  # as many do
    failure = Failure.of(error, Redactor(["hunter22"]))
    text = failure.model_dump_json()
    assert "hunter22" not in text
    assert "other" not in text
    assert "sk-abc" not in text
    assert failure.details == {"body": {"api_key": "***"}, "text": "***"}


@pytest.mark.parametrize("at", [LONGEST_MESSAGE_CHARS - 5, LONGEST_SEARCHED_CHARS - 5])
def test_no_part_of_a_secret_is_left_where_a_text_is_cut(at: int) -> None:
    """A secret that is cut in two looks like none, so it is looked for before."""
    secret = "hunter" * 10
    failure = Failure.of(ValueError("\n" * at + secret + "\n" * 1_000_000), Redactor([secret]))
    assert "hunter" not in failure.message
    failure = Failure.of(ValueError("\n" * 1_000_000 + secret + "\n" * at), Redactor([secret]))
    assert "hunter" not in failure.trace
