"""The engine port: how steps fail, are retried and are stopped."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from orchestrator import Context, Retry, StepError, StepInfo, step, step_info, workflow
from orchestrator.core.errors import InvalidInputError, RetryableError, TerminalError
from orchestrator.durable.errors import RunFailedError
from orchestrator.durable.runs import Status
from support.contract_lab import Gates

if TYPE_CHECKING:
    from support.contract_lab import Lab

AT_ONCE = Retry(attempts=3, backoff=(0.0,))


async def test_a_failing_step_is_retried_and_keeps_its_key(lab: Lab) -> None:
    """Attempts count from 1; the idempotency key is the operation's, the same for all of them."""
    seen: list[StepInfo] = []

    @step(retry=AT_ONCE)
    async def flaky() -> int:
        seen.append(step_info())
        if len(seen) < 3:
            raise ConnectionError("not now")
        return step_info().attempt

    @workflow
    async def ask(ctx: Context) -> int:
        return await ctx.run(flaky)

    async with lab.open([ask], [flaky]) as engine:
        run = await engine.start(ask)
        assert await run.result() == 3
        (view,) = await run.steps()
    assert [info.attempt for info in seen] == [1, 2, 3]
    assert {info.idempotency_key for info in seen} == {f"{run.id}/1:flaky"}
    assert {(info.run_id, info.step, info.operation) for info in seen} == {(run.id, "flaky", "1")}
    assert (view.attempt, view.status, view.result) == (3, Status.COMPLETED, 3)


async def test_a_step_is_tried_once_unless_it_says_more(lab: Lab) -> None:
    """Retrying what may have happened is the author's choice."""
    calls: list[int] = []

    @step
    async def fail() -> None:
        calls.append(1)
        raise ConnectionError("not now")

    @workflow
    async def ask(ctx: Context) -> None:
        await ctx.run(fail)

    async with lab.open([ask], [fail]) as engine:
        with pytest.raises(RunFailedError, match="ConnectionError: not now"):
            await (await engine.start(ask)).result()
    assert len(calls) == 1


async def test_the_last_failure_counts_when_attempts_run_out(lab: Lab) -> None:
    """The error is that of the last attempt."""
    calls: list[int] = []

    @step(retry=AT_ONCE)
    async def fail() -> None:
        calls.append(1)
        raise ConnectionError(f"failure {len(calls)}")

    @workflow
    async def ask(ctx: Context) -> str:
        try:
            await ctx.run(fail)
        except StepError as error:
            return error.message
        return "nothing raised"

    async with lab.open([ask], [fail]) as engine:
        assert await (await engine.start(ask)).result() == "failure 3"
    assert len(calls) == 3


async def test_a_terminal_error_is_not_retried(lab: Lab) -> None:
    """Trying again cannot help, so the remaining attempts are left unused."""
    calls: list[int] = []

    @step(retry=AT_ONCE)
    async def refuse() -> None:
        calls.append(1)
        raise InvalidInputError("never")

    @workflow
    async def ask(ctx: Context) -> str:
        try:
            await ctx.run(refuse)
        except StepError as error:
            return f"{error.type} {error.code} {error.message}"
        return "nothing raised"

    async with lab.open([ask], [refuse]) as engine:
        assert await (await engine.start(ask)).result() == "InvalidInputError invalid_input never"
    assert len(calls) == 1


async def test_an_error_that_says_when_to_come_back_is_obeyed(lab: Lab) -> None:
    """Its seconds replace the step's own wait, which would outlast this test."""
    calls: list[int] = []

    @step(retry=Retry(attempts=2, backoff=(3_000.0,)))
    async def busy() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise RetryableError("busy", retry_after=0.0)
        return "done"

    @workflow
    async def ask(ctx: Context) -> str:
        return await ctx.run(busy)

    async with lab.open([ask], [busy]) as engine:
        assert await (await engine.start(ask)).result() == "done"


async def test_a_step_that_takes_too_long_is_stopped_and_retried(lab: Lab) -> None:
    """Each attempt has the timeout to itself; the error names step and limit."""
    stopped: list[int] = []

    @step(timeout=0.02, retry=Retry(attempts=2, backoff=(0.0,)))
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(step_info().attempt)

    @workflow
    async def ask(ctx: Context) -> str:
        try:
            await ctx.run(slow)
        except StepError as error:
            return f"{error.type}: {error.message}"
        return "nothing raised"

    async with lab.open([ask], [slow]) as engine:
        result = await (await engine.start(ask)).result()
    assert result == "TimeoutError: step slow took longer than 0.02 seconds"
    assert stopped == [1, 2]


async def test_a_thread_that_takes_too_long_does_not_hold_its_run(lab: Lab) -> None:
    """Python cannot stop a thread; the step fails all the same, and its late result is dropped."""
    released = threading.Event()

    @step(timeout=0.02)
    def slow() -> str:
        released.wait(timeout=30)
        return "late"

    @workflow
    async def ask(ctx: Context) -> str:
        try:
            return await ctx.run(slow)
        except StepError as error:
            return error.type

    async with lab.open([ask], [slow]) as engine:
        try:
            assert await (await engine.start(ask)).result() == "TimeoutError"
        finally:
            released.set()


async def test_a_step_that_cancels_itself_has_failed(lab: Lab) -> None:
    """A CancelledError without a cancel is a failure like any other: the run is not cancelled by it."""
    calls: list[int] = []

    @step(retry=Retry(attempts=2, backoff=(0.0,)))
    async def give_up() -> None:
        calls.append(1)
        raise asyncio.CancelledError("of its own will")

    @workflow
    async def ask(ctx: Context) -> str:
        try:
            await ctx.run(give_up)
        except StepError as error:
            return error.type
        return "nothing raised"

    async with lab.open([ask], [give_up]) as engine:
        assert await (await engine.start(ask)).result() == "CancelledError"
    assert len(calls) == 2


async def test_a_step_that_exits_has_failed(lab: Lab) -> None:
    """``sys.exit()`` in a step ends the step, not the service."""

    @step
    async def leave() -> None:
        raise SystemExit(3)

    @workflow
    async def ask(ctx: Context) -> str:
        try:
            await ctx.run(leave)
        except StepError as error:
            return error.type
        return "nothing raised"

    async with lab.open([ask], [leave]) as engine:
        assert await (await engine.start(ask)).result() == "SystemExit"


class Shortage(BaseModel):
    """What an error carries."""

    missing: dict[int, str]


class OutOfStockError(TerminalError):
    """Something is missing."""

    default_code = "out_of_stock"

    def __init__(self, message: str, details: Shortage) -> None:
        super().__init__(message)
        self.details = details


async def test_a_step_error_reads_the_same_live_and_replayed(lab: Lab, gates: Gates) -> None:
    """Type, code, message and details are those of JSON from the first moment."""
    seen: list[tuple[str, str, str, object]] = []

    @step
    async def check() -> None:
        raise OutOfStockError("no tea", Shortage(missing={1: "tea"}))

    @workflow
    async def ask(ctx: Context) -> None:
        try:
            await ctx.run(check)
        except StepError as error:
            seen.append((error.type, error.code, error.message, error.details))
        await ctx.run(Gates.wait, "gate")

    async with lab.open([ask], [check, gates]) as engine:
        run = await engine.start(ask)
        await gates.reached("gate")
    gates.open("gate")
    async with lab.open([ask], [check, gates]) as engine:
        await (await engine.get(run.id)).result()
    assert len(seen) > 1
    assert set(map(str, seen)) == {
        str(("OutOfStockError", "out_of_stock", "no tea", {"missing": {"1": "tea"}}))
    }


async def test_a_step_view_says_what_came_of_it(lab: Lab) -> None:
    """Failed steps show their failure, with the trace."""

    @step
    async def fail() -> None:
        raise ConnectionError("not now")

    @workflow
    async def ask(ctx: Context) -> None:
        await ctx.run(Gates.note, "one")
        await ctx.run(fail)

    async with lab.open([ask], [fail, Gates()]) as engine:
        run = await engine.start(ask)
        with pytest.raises(RunFailedError):
            await run.result()
        noted, failed = await run.steps()
        assert (noted.operation, noted.name, noted.status) == ("1", "Gates.note", Status.COMPLETED)
        assert (noted.result, noted.failure) == ("one", None)
        assert (failed.operation, failed.name, failed.status) == ("2", "fail", Status.FAILED)
        assert failed.failure is not None
        assert (failed.failure.type, failed.failure.message) == ("ConnectionError", "not now")
        assert 'raise ConnectionError("not now")' in failed.failure.trace
        assert failed.closed_at is not None
        assert failed.started_at <= failed.closed_at
