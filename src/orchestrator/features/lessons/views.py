"""A session's steps, made of what its last run tells: it holds what earlier ones completed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.durable.runs import Status, StepView
from orchestrator.features.lessons.events import for_people, step_id
from orchestrator.features.lessons.lesson import STEPS, Outcome
from orchestrator.features.lessons.schemas import SessionStep, nanoseconds

if TYPE_CHECKING:
    from collections.abc import Sequence


def steps_shown(run: Status, views: Sequence[StepView]) -> list[SessionStep]:
    """All five steps, with what was done of each; ``run`` is where the run stands."""
    begun = {view.name for view in views}
    shown = []
    for place, name in enumerate(STEPS):
        is_over = run is Status.COMPLETED or not begun.isdisjoint(STEPS[place + 1 :])
        shown.append(_step(name, [view for view in views if view.name == name], is_over=is_over))
    return shown


def _step(name: str, parts: Sequence[StepView], *, is_over: bool) -> SessionStep:
    """One step of one or more parts."""
    if not parts:
        return SessionStep(id=step_id(name), name=name, status=Status.PENDING)
    status = _status(parts, is_over=is_over)
    started_at = min(part.started_at for part in parts)
    ends = [part.closed_at for part in parts if part.closed_at is not None]
    completed_at = max(ends) if ends and status.closed else None
    outputs = [Outcome.model_validate(part.result).output for part in parts if part.result is not None]
    failures = [part.failure for part in parts if part.failure is not None]
    return SessionStep(
        id=step_id(name),
        name=name,
        status=status,
        started_at=started_at,
        completed_at=completed_at,
        duration=None if completed_at is None else nanoseconds(completed_at - started_at),
        output="\n".join(outputs) or None,
        error=for_people(failures[-1]) if failures else None,
    )


def _status(parts: Sequence[StepView], *, is_over: bool) -> Status:
    """A step of several parts is over when the next one began; until then an unfinished part speaks."""
    unfinished = [part.status for part in parts if part.status is not Status.COMPLETED]
    if Status.FAILED in unfinished:
        return Status.FAILED
    if unfinished:
        return unfinished[-1]
    return Status.COMPLETED if is_over else Status.RUNNING
