"""The largest value that an engine records: set by its option, and refused at once beyond it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import Context, EmbeddedEngine, Retry, StepError, progress, step, workflow
from orchestrator.core.errors import PayloadTooLargeError
from orchestrator.durable.errors import RunFailedError
from orchestrator.durable.runs import EventType
from support.contract_lab import all_events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MOST = 2_000
FITS, TOO_MUCH = "x" * (MOST - 2), "x" * (MOST - 1)  # with the quotes that JSON adds
calls: list[str] = []


@step(retry=Retry(attempts=5))
async def grow(text: str) -> str:
    """Give more than came in."""
    calls.append("grow")
    return text + TOO_MUCH


@step
async def shout(text: str) -> None:
    """Show more than fits, and what fits."""
    progress(TOO_MUCH)
    progress(text)


@step
async def undo() -> None:
    """Take it back."""
    calls.append("undo")


@workflow
async def handle(ctx: Context, how: str) -> Any:  # noqa: ANN401  # texts of whatever size
    """Have a value that is too large, somewhere."""
    ctx.compensate(undo)
    match how:
        case "argument":
            await ctx.run(shout, TOO_MUCH)
        case "result":
            await ctx.run(grow, "")
        case "published":
            ctx.publish("event", TOO_MUCH)
        case "output":
            return TOO_MUCH
        case "progress":
            await ctx.run(shout, "fits")
    return await ctx.receive("letter", str)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[EmbeddedEngine]:
    """An engine that takes little."""
    calls.clear()
    opened = EmbeddedEngine(
        tmp_path / "runs.db", workflows=[handle], steps=[grow, shout, undo], most_payload_bytes=MOST
    )
    async with opened:
        yield opened


@pytest.mark.parametrize("how", ["argument", "published", "output"])
async def test_a_value_of_the_workflow_that_is_too_large_fails_it_at_once(
    engine: EmbeddedEngine, how: str
) -> None:
    """What it did is undone; the message says how much was too much."""
    run = await engine.start(handle, how)
    with pytest.raises(RunFailedError, match=r"takes 2,001 bytes|takes 2,0\d\d bytes; at most 2,000"):
        await run.result()
    assert calls == ["undo"]


async def test_a_result_that_is_too_large_fails_its_step_without_another_attempt(
    engine: EmbeddedEngine,
) -> None:
    """It would not get smaller."""
    run = await engine.start(handle, "result")
    with pytest.raises(RunFailedError) as failed:
        await run.result()
    assert failed.value.failure.code == "payload_too_large"
    assert calls == ["grow", "undo"]


async def test_a_signal_and_an_input_that_are_too_large_are_refused(engine: EmbeddedEngine) -> None:
    """Whoever sends them is told; the largest that fits is taken."""
    with pytest.raises(PayloadTooLargeError, match="the input of handle takes 2,001 bytes; at most 2,000"):
        await engine.start(handle, TOO_MUCH)
    with pytest.raises(PayloadTooLargeError, match="the input of handle"):
        await engine.schedule(handle, TOO_MUCH, id="often", cron="* * * * *")
    run = await engine.start(handle, FITS)
    with pytest.raises(PayloadTooLargeError, match="signal letter takes 2,001 bytes"):
        await run.signal("letter", TOO_MUCH)
    await run.signal("letter", FITS)
    assert await run.result() == FITS


async def test_progress_that_is_too_large_is_left_out(engine: EmbeddedEngine) -> None:
    """It never fails its step."""
    run = await engine.start(handle, "progress")
    await run.signal("letter", "done")
    assert await run.result() == "done"
    shown = [event.data for event in await all_events(run) if event.type is EventType.STEP_PROGRESS]
    assert shown == ["fits"]


async def test_the_refusal_is_the_same_on_replay(tmp_path: Path) -> None:
    """A workflow that goes on after it finds its way again."""

    @workflow
    async def careful(ctx: Context) -> str:
        try:
            await ctx.run(shout, TOO_MUCH)
        except (PayloadTooLargeError, StepError) as error:
            return f"{error.code} {await ctx.receive('letter', str)}"
        return "nothing raised"

    def opened() -> EmbeddedEngine:
        return EmbeddedEngine(tmp_path / "r.db", workflows=[careful], steps=[shout], most_payload_bytes=MOST)

    async with opened() as engine:
        await engine.start(careful, id="one")
    async with opened() as engine:
        run = await engine.get("one")
        await run.signal("letter", "later")
        assert await run.result() == "payload_too_large later"
