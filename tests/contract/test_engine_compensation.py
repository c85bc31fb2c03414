"""The engine port: undoing what a run did that does not complete."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import Context, Retry, step, workflow
from orchestrator.core.errors import RetryableError, TerminalError
from orchestrator.durable.errors import RunCancelledError, RunFailedError
from orchestrator.durable.runs import EventType, Status
from support.contract_lab import Gates

if TYPE_CHECKING:
    from support.contract_lab import Lab


class Trip:
    """Books what a trip needs, and takes bookings back; ``did`` tells in what order."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.broken: set[str] = set()
        self.flickers = 0

    @step
    async def book(self, what: str) -> str:
        """Book it, unless it is broken."""
        self.did.append(f"book {what}")
        if what in self.broken:
            raise TerminalError(f"no {what} left")
        return what

    @step
    async def cancel(self, what: str, fee: int = 0) -> None:
        """Take a booking back, unless that is broken."""
        self.did.append(f"cancel {what}" + (f" for {fee}" if fee else ""))
        if f"cancel {what}" in self.broken:
            raise TerminalError(f"{what} is not taken back")

    @step(retry=Retry(attempts=3, backoff=(0.01,)))
    async def cancel_at_last(self, what: str) -> None:
        """Take a booking back at the third attempt."""
        self.flickers += 1
        if self.flickers < 3:
            raise RetryableError("busy")
        self.did.append(f"cancel {what}")


@pytest.fixture
def trip() -> Trip:
    """Steps that book and take back."""
    return Trip()


async def booked(ctx: Context, *names: str) -> None:
    """Book these, each to be taken back."""
    for name in names:
        ctx.compensate(Trip.cancel, name)
        await ctx.run(Trip.book, name)


async def test_a_failed_run_undoes_what_it_did_in_reverse(lab: Lab, trip: Trip) -> None:
    """One after the other, the latest first; the run then fails with its own error."""

    @workflow
    async def travel(ctx: Context) -> None:
        await booked(ctx, "train", "hotel", "car")

    trip.broken = {"car"}
    async with lab.open([travel], [trip]) as engine:
        run = await engine.start(travel)
        with pytest.raises(RunFailedError, match="no car left") as caught:
            await run.result()
        assert caught.value.failure.type == "TerminalError"
        assert trip.did[3:] == ["cancel car", "cancel hotel", "cancel train"]
        undos = (await run.steps())[3:]
        assert [view.operation for view in undos] == ["undo/1", "undo/2", "undo/3"]
        assert {view.status for view in undos} == {Status.COMPLETED}
        told = [(event.type, event.name) async for event in run.events() if event.operation == "undo/3"]
        assert (EventType.STEP_COMPLETED, "Trip.cancel") in told


async def test_an_error_of_the_workflow_itself_is_undone_too(lab: Lab, trip: Trip) -> None:
    """Whatever exception leaves the function, and a result that cannot be written down."""

    @workflow
    async def travel(ctx: Context, how: str) -> int:
        await booked(ctx, "train")
        if how == "raise":
            raise KeyError("passport")
        return "not a number"  # type: ignore[return-value]  # what this is about

    async with lab.open([travel], [trip]) as engine:
        for how, message in (("raise", "KeyError: 'passport'"), ("return", "PayloadError")):
            trip.did.clear()
            run = await engine.start(travel, how)
            with pytest.raises(RunFailedError, match=message):
                await run.result()
            assert trip.did == ["book train", "cancel train"]


async def test_a_cancelled_run_undoes_what_it_did(lab: Lab, trip: Trip, gates: Gates) -> None:
    """After its own cleanup; it has been cancelled once that is done, not before."""

    @workflow
    async def travel(ctx: Context) -> None:
        await booked(ctx, "train")
        try:
            await ctx.run(Gates.wait, "platform")
        finally:
            await ctx.run(Trip.book, "taxi")

    async with lab.open([travel], [trip, gates]) as engine:
        run = await engine.start(travel)
        await gates.reached("platform")
        await run.cancel()
        with pytest.raises(RunCancelledError):
            await run.result()
        assert trip.did == ["book train", "book taxi", "cancel train"]
        assert (await run.describe()).status is Status.CANCELLED


async def test_a_completed_run_undoes_nothing(lab: Lab, trip: Trip) -> None:
    """What it did stands."""

    @workflow
    async def travel(ctx: Context) -> str:
        await booked(ctx, "train", "hotel")
        return "there"

    async with lab.open([travel], [trip]) as engine:
        assert await (await engine.start(travel)).result() == "there"
        assert trip.did == ["book train", "book hotel"]


async def test_a_run_that_swallows_its_cancel_undoes_nothing(lab: Lab, trip: Trip, gates: Gates) -> None:
    """It completes, so what it did stands."""

    @workflow
    async def travel(ctx: Context) -> str:
        await booked(ctx, "train")
        try:
            return await ctx.run(Gates.wait, "platform")
        except asyncio.CancelledError:
            return "went all the same"

    async with lab.open([travel], [trip, gates]) as engine:
        run = await engine.start(travel)
        await gates.reached("platform")
        await run.cancel()
        assert await run.result() == "went all the same"
        assert trip.did == ["book train"]


async def test_a_handled_failure_undoes_nothing(lab: Lab, trip: Trip) -> None:
    """Only what leaves the workflow function ends the run."""

    @workflow
    async def travel(ctx: Context) -> str:
        await booked(ctx, "train")
        try:
            await booked(ctx, "car")
        except TerminalError:
            return "by train alone"
        return "by car"

    trip.broken = {"car"}
    async with lab.open([travel], [trip]) as engine:
        assert await (await engine.start(travel)).result() == "by train alone"
        assert trip.did == ["book train", "book car"]


async def test_an_undo_gets_its_arguments_as_they_were(lab: Lab) -> None:
    """They are written down when it is registered."""
    undone: list[list[str]] = []

    @step
    async def unpack(things: list[str]) -> None:
        undone.append(things)

    @workflow
    async def pack(ctx: Context) -> None:
        things = ["shirt"]
        ctx.compensate(unpack, things)
        things.append("tie")
        ctx.compensate(unpack, things=things)
        things.clear()
        raise ValueError("the suitcase is full")

    async with lab.open([pack], [unpack]) as engine:
        with pytest.raises(RunFailedError, match="suitcase"):
            await (await engine.start(pack)).result()
    assert undone == [["shirt", "tie"], ["shirt"]]


async def test_an_undo_has_its_steps_own_retries(lab: Lab, trip: Trip) -> None:
    """It is a step like any other."""

    @workflow
    async def travel(ctx: Context) -> None:
        ctx.compensate(Trip.cancel_at_last, "train")
        raise ValueError("missed it")

    async with lab.open([travel], [trip]) as engine:
        run = await engine.start(travel)
        with pytest.raises(RunFailedError, match="missed it"):
            await run.result()
        assert trip.did == ["cancel train"]
        (view,) = await run.steps()
        assert (view.attempt, view.status) == (3, Status.COMPLETED)


async def test_an_undo_that_fails_does_not_keep_others_from_running(lab: Lab, trip: Trip) -> None:
    """The run fails with an error that tells its cause and every undo that failed."""

    @workflow
    async def travel(ctx: Context) -> None:
        await booked(ctx, "train", "hotel", "boat", "car")

    trip.broken = {"car", "cancel hotel", "cancel boat"}
    async with lab.open([travel], [trip]) as engine:
        run = await engine.start(travel)
        with pytest.raises(RunFailedError, match="no car left") as caught:
            await run.result()
        assert trip.did[4:] == ["cancel car", "cancel boat", "cancel hotel", "cancel train"]
        failure = caught.value.failure
        assert (failure.type, failure.code) == ("CompensationError", "compensation_failed")
        details: Any = failure.details
        assert details["cause"]["type"] == "TerminalError"
        assert details["cause"]["message"] == "no car left"
        assert [(undo["operation"], undo["step"], undo["message"]) for undo in details["failed"]] == [
            ("undo/2", "Trip.cancel", "boat is not taken back"),
            ("undo/3", "Trip.cancel", "hotel is not taken back"),
        ]
        assert "CompensationError" in (await run.describe()).reason


async def test_a_cancelled_run_whose_undo_fails_has_failed(lab: Lab, trip: Trip, gates: Gates) -> None:
    """That something is left undone is not hidden by the cancel."""

    @workflow
    async def travel(ctx: Context) -> None:
        await booked(ctx, "train", "hotel")
        await ctx.run(Gates.wait, "platform")

    trip.broken = {"cancel hotel"}
    async with lab.open([travel], [trip, gates]) as engine:
        run = await engine.start(travel)
        await gates.reached("platform")
        await run.cancel()
        with pytest.raises(RunFailedError, match="hotel is not taken back") as caught:
            await run.result()
        details: Any = caught.value.failure.details
        assert details["cause"]["code"] == "cancelled"
        assert trip.did[2:] == ["cancel hotel", "cancel train"]


async def test_a_cancel_does_not_reach_an_undo(lab: Lab, trip: Trip, gates: Gates) -> None:
    """A run that undoes what it did after a failure goes on with that, and ends with its failure."""

    @workflow
    async def travel(ctx: Context) -> None:
        await booked(ctx, "train")
        ctx.compensate(Gates.wait, "counter")
        raise ValueError("ill")

    async with lab.open([travel], [trip, gates]) as engine:
        run = await engine.start(travel)
        await gates.reached("counter")
        await run.cancel()
        await run.cancel()
        gates.open("counter")
        with pytest.raises(RunFailedError, match="ValueError: ill"):
            await run.result()
        assert gates.ended == ["counter"]
        assert trip.did == ["book train", "cancel train"]


async def test_further_cancels_do_not_stop_the_undoing(lab: Lab, trip: Trip, gates: Gates) -> None:
    """Once is enough, and the run has been cancelled in the end."""

    @workflow
    async def travel(ctx: Context) -> None:
        await booked(ctx, "train")
        ctx.compensate(Gates.wait, "counter")
        await ctx.run(Gates.wait, "platform")

    async with lab.open([travel], [trip, gates]) as engine:
        run = await engine.start(travel)
        await gates.reached("platform")
        await run.cancel()
        await gates.reached("counter")
        await run.cancel()
        gates.open("counter")
        with pytest.raises(RunCancelledError):
            await run.result()
        assert gates.ended == ["platform cancelled", "counter"]
        assert trip.did == ["book train", "cancel train"]


async def test_a_cancel_while_a_failure_is_handled_undoes_once(lab: Lab, trip: Trip, gates: Gates) -> None:
    """The workflow's own code is what a cancel stops; the undos follow."""

    @workflow
    async def travel(ctx: Context) -> None:
        try:
            await booked(ctx, "train", "car")
        except TerminalError:
            await ctx.run(Gates.wait, "complaint")
            raise

    trip.broken = {"car"}
    async with lab.open([travel], [trip, gates]) as engine:
        run = await engine.start(travel)
        await gates.reached("complaint")
        await run.cancel()
        with pytest.raises(RunCancelledError):
            await run.result()
        assert trip.did == ["book train", "book car", "cancel car", "cancel train"]


async def test_branches_register_in_the_order_in_which_they_come_to_it(lab: Lab, gates: Gates) -> None:
    """So what was done last is undone first, whichever branch did it."""
    undone: list[str] = []

    @step
    async def undo(what: str) -> None:
        undone.append(what)

    async def branch(ctx: Context, name: str) -> None:
        ctx.compensate(undo, f"{name} begun")
        await ctx.run(Gates.wait, name)
        ctx.compensate(undo, f"{name} done")

    @workflow
    async def fan(ctx: Context) -> None:
        await ctx.gather(branch(ctx, "a"), branch(ctx, "b"))
        raise ValueError("enough")

    async with lab.open([fan], [undo, gates]) as engine:
        run = await engine.start(fan)
        await gates.reached("a", "b")
        gates.open("b")
        async for event in run.events():
            if event.type is EventType.STEP_COMPLETED:
                break
        gates.open("a")
        with pytest.raises(RunFailedError, match="enough"):
            await run.result()
    assert undone == ["a done", "b done", "b begun", "a begun"]


async def test_nothing_is_undone_before_what_still_runs_has_stopped(lab: Lab, gates: Gates) -> None:
    """A step that the failed code left running is stopped first, and the code it would wake does no more."""

    @workflow
    async def hasty(ctx: Context) -> None:
        ctx.compensate(Gates.note, "undone")

        async def work() -> None:
            await ctx.run(Gates.wait, "long work")
            await ctx.run(Gates.note, "more work")

        async def wait() -> None:
            await ctx.receive("go")
            await ctx.run(Gates.note, "late work")

        left = [asyncio.create_task(work()), asyncio.create_task(wait())]
        await ctx.run(Gates.wait, "failing")
        raise ValueError(f"{len(left)} are left")

    async with lab.open([hasty], [gates]) as engine:
        run = await engine.start(hasty)
        await gates.reached("long work", "failing")
        gates.open("failing")
        with pytest.raises(RunFailedError, match="2 are left"):
            await run.result()
    assert gates.ended == ["failing", "long work cancelled", "undone"]


async def test_undoing_goes_on_in_the_next_engine(lab: Lab, trip: Trip, gates: Gates) -> None:
    """Undos that are done are not done again; the one in flight is."""

    @workflow
    async def travel(ctx: Context) -> None:
        await booked(ctx, "train")
        ctx.compensate(Gates.wait, "counter")
        await booked(ctx, "hotel")
        raise ValueError("ill")

    async with lab.open([travel], [trip, gates]) as engine:
        run = await engine.start(travel)
        await gates.reached("counter")
    gates.open("counter")
    async with lab.open([travel], [trip, gates]) as engine:
        with pytest.raises(RunFailedError, match="ill"):
            await (await engine.get(run.id)).result()
    assert trip.did == ["book train", "book hotel", "cancel hotel", "cancel train"]
    assert gates.calls == ["counter", "counter"]
