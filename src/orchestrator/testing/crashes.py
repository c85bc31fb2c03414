"""Crashing a run at every write that it makes, and comparing what comes of it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from orchestrator.durable.runs import Status
from orchestrator.testing.clock import BEGINNING
from orchestrator.testing.life import RUN_ID, Life, Plot, moment
from orchestrator.testing.power import Power
from orchestrator.testing.story import short

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from orchestrator.durable.workflows import Workflow
    from orchestrator.testing.life import Signal
    from orchestrator.testing.story import Story

In = TypeVar("In")
Out = TypeVar("Out")

# Each crash lives the run again, in 10 to 50 ms; a run of forty steps has about this many points.
MOST_CRASHES = 200


@dataclass(frozen=True, slots=True)
class CrashReport(Generic[Out]):
    """A run that survived. ``result`` is None where it ended as anything but completed, as it should.

    ``points`` counts the places in its writes where the power can be cut, ``crashes`` those where it was.
    """

    status: Status
    result: Out | None
    points: int
    crashes: int


@overload
async def crash_everywhere(
    workflow: Workflow[None, Out],
    *,
    steps: Sequence[object] | Callable[..., Sequence[object]] = ...,
    world: Callable[[], object] | None = ...,
    workflows: Sequence[Workflow[Any, Any]] = ...,
    signals: Sequence[Signal] = ...,
    cancel_after: float | timedelta | None = ...,
    fails: bool = ...,
    effects: Callable[..., object] | None = ...,
    at_most: int = ...,
    folder: str | os.PathLike[str] | None = ...,
) -> CrashReport[Out]: ...
@overload
async def crash_everywhere(
    workflow: Workflow[In, Out],
    input: In,
    *,
    steps: Sequence[object] | Callable[..., Sequence[object]] = ...,
    world: Callable[[], object] | None = ...,
    workflows: Sequence[Workflow[Any, Any]] = ...,
    signals: Sequence[Signal] = ...,
    cancel_after: float | timedelta | None = ...,
    fails: bool = ...,
    effects: Callable[..., object] | None = ...,
    at_most: int = ...,
    folder: str | os.PathLike[str] | None = ...,
) -> CrashReport[Out]: ...
async def crash_everywhere(  # noqa: PLR0913  # options, each by its name
    workflow: Workflow[Any, Any],
    input: Any = None,
    *,
    steps: Sequence[object] | Callable[..., Sequence[object]] = (),
    world: Callable[[], object] | None = None,
    workflows: Sequence[Workflow[Any, Any]] = (),
    signals: Sequence[Signal] = (),
    cancel_after: float | timedelta | None = None,
    fails: bool = False,
    effects: Callable[..., object] | None = None,
    at_most: int = MOST_CRASHES,
    folder: str | os.PathLike[str] | None = None,
) -> CrashReport[Any]:
    """Run a workflow in peace, then once more for each point of each write, with the power cut there.

    After each crash a new engine goes on with the file, and the end must be that of the undisturbed run: the
    same result or failure, the same calls and outcomes of steps, the same events published, in order and
    once, each signal taken once. No step runs again whose outcome was recorded, and one that does run again
    has the same idempotency key and the same arguments. Time is a `ManualClock`, so no wait takes time.

    A crash is simulated in this process: the engine writes nothing more, its steps are cancelled, the file
    stays as a power cut would leave it. Global variables live on, which they would not in a real one.

    Args:
        workflow: what to run.
        input: what it takes.
        steps: what it runs: step functions and instances; or a function that makes them, called for each
            engine, as a new process would make them. It is given the world, if there is one.
        world: makes what lives through a crash, for each run anew: databases, services, models, or fakes.
        workflows: others that it starts.
        signals: what it waits for, in order.
        cancel_after: cancel it after that much of its time, in seconds.
        fails: say that it is meant to fail. Otherwise that is a mistake, so that no test passes by it.
        effects: called with the world after the end of each run; what it gives must be the same too. So a
            step is found that does something twice.
        at_most: cut the power at no more than this many points, spread over all of them.
        folder: where to keep the journals, in a folder of their own; they are not kept if not given.

    Raises:
        AssertionError: a crash makes a difference; the message says where it was and shows the difference.
            Or two undisturbed runs differ, or the run waits for what never comes.
        TimeoutError: a step does not end; the message names it.
    """
    __tracebackhide__ = True  # what went wrong is in the message, not in here
    ordered = sorted(signals, key=lambda signal: signal.at)
    plot = Plot(workflow, input, workflows, steps, world, effects, ordered, cancel_after, fails)
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="crashes-") as temporary:
            return await _everywhere(plot, Path(temporary), at_most)
    kept = Path(tempfile.mkdtemp(prefix="crashes-", dir=folder))
    try:
        return await _everywhere(plot, kept, at_most)
    except AssertionError as error:
        error.add_note(f"The journals are kept in {kept}.")
        raise


async def _everywhere(plot: Plot[Out], folder: Path, at_most: int) -> CrashReport[Out]:
    __tracebackhide__ = True
    calm = Life(plot, folder / "undisturbed.db", Power())
    expected = await calm.live()
    await _check_calm(plot, calm, expected, folder)
    points = _chosen(calm.power.passed, at_most)
    crashes = 0
    for number, cut_at in enumerate(points, 1):
        life = Life(plot, folder / f"crash-{cut_at}.db", Power(cut_at))
        story = await life.live()
        wrong = _all(life.log.faults(), expected.difference(story, "undisturbed", "after the crash"))
        if wrong:
            raise AssertionError(
                f"crash {number} of {len(points)} makes a difference to {plot.workflow}.\n"
                f"The power was cut {life.power.cut or 'nowhere'}; "
                f"last on the disk was: {life.last_recorded}.\n{wrong}"
            )
        crashes += bool(life.power.cut)
    return CrashReport(calm.ended_as, calm.result, calm.power.passed, crashes)


async def _check_calm(plot: Plot[Out], calm: Life[Out], expected: Story, folder: Path) -> None:
    """Whether the undisturbed run is one to compare with.

    Raises:
        AssertionError: it did not end as it should, or with signals unsent, or is not the same twice.
    """
    __tracebackhide__ = True
    failed = calm.ended_as is Status.FAILED
    if failed is not plot.fails:
        wanted = ", and should fail" if plot.fails else "; if that is what it should do, say fails=True"
        raise AssertionError(f"{plot.workflow} {expected.runs[RUN_ID].ending}{wanted}")
    if calm.unsent:
        late = calm.unsent[0]
        raise AssertionError(
            f"{plot.workflow} ended ({calm.ended_as}) before the signal {late.name!r} was due, "
            f"which comes {timedelta(seconds=moment(late.after) - BEGINNING)} after the start"
        )
    again = Life(plot, folder / "undisturbed-again.db", Power())
    difference = expected.difference(await again.live(), "one undisturbed run", "another one")
    wrong = _all([*calm.log.faults(), *again.log.faults()], difference)
    if wrong:
        raise AssertionError(
            f"two undisturbed runs of {plot.workflow} differ, so there is nothing to compare crashes with. "
            "Either the workflow is not deterministic, or what its steps answer is not: give them fakes that "
            f"always answer the same, and make those with a state in world=…, anew for each run.\n{wrong}"
        )


def _all(faults: Sequence[str], difference: str) -> str:
    """What is wrong, for people; empty where nothing is."""
    return "\n".join(filter(None, [*(short(f"- {fault}") for fault in faults), difference]))


def _chosen(points: int, at_most: int) -> Sequence[int]:
    """All points, or that many of them, the same in each test run."""
    if points <= at_most:
        return range(1, points + 1)
    return sorted(Random(0).sample(range(1, points + 1), at_most))  # noqa: S311  # a choice, not a secret
