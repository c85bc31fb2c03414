"""What the engine tells of sessions, and what was kept of those whose runs have left it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.errors import NotFoundError, UnavailableError
from orchestrator.durable.errors import MismatchError, RunError
from orchestrator.durable.runs import LAST_EVENTS, EventType, Prefix, RunInfo, Status
from orchestrator.features.lessons.events import Position, Story
from orchestrator.features.lessons.lesson import Lesson
from orchestrator.features.lessons.schemas import SessionResult
from orchestrator.features.lessons.tables import Intent, SessionRow
from orchestrator.features.lessons.workflow import lesson

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from orchestrator.durable.engine import Engine, Run
    from orchestrator.durable.runs import StepView
    from orchestrator.features.lessons.events import SessionEvent
    from orchestrator.features.lessons.kept import Kept
    from orchestrator.features.lessons.repository import SessionRepository

# A step hears of its cancellation at its next wait; a thread that computes ends on its own before long.
CANCEL_LIMIT_S: Final = 20.0
LOOK_AGAIN_AFTER_S: Final = 5.0


class SessionRuns:
    """The runs of sessions: where they stand, what they tell and what they made."""

    def __init__(self, sessions: SessionRepository, engine: Callable[[], Engine]) -> None:
        self._sessions = sessions
        self._engine = engine

    async def kept(self, row: SessionRow) -> Kept | None:
        """What was kept of a session whose last run has left the journal."""
        if not row.runs or row.kept_run != row.runs:
            return None
        with suppress(NotFoundError):
            await self._engine().get(run_id_of(row.id, row.runs))
            return None
        return await self._sessions.kept(row)

    async def last(self, row: SessionRow) -> RunInfo | None:
        """The session's last run; None before the first, while one is only promised, and if it is lost."""
        if not row.runs:
            return None
        run_id = run_id_of(row.id, row.runs)
        with suppress(NotFoundError):
            return await (await self._engine().get(run_id)).describe()
        if row.kept_run != row.runs or row.ended_as is None or row.ended_at is None:
            return None
        ended_as = Status(row.ended_as)
        return RunInfo(run_id, lesson.type_name, ended_as, row.created_at, row.ended_at, row.owner)

    async def all(self, row: SessionRow) -> dict[int, Run[Lesson]]:
        """The session's runs by their numbers; without those that an earlier journal took with it."""
        runs: dict[int, Run[Lesson]] = {}
        for number in range(1, row.runs + 1):
            with suppress(NotFoundError):
                runs[number] = await self._engine().get(run_id_of(row.id, number))
        return runs

    async def steps(self, info: RunInfo) -> list[StepView]:
        """The run's steps; none where it has left the journal."""
        with suppress(NotFoundError):
            return await (await self._engine().get(info.id)).steps()
        return []

    async def done_before(self, row: SessionRow) -> Prefix | None:
        """What the latest earlier run completed, which is not done again; None where there is none."""
        earlier = {number: run for number, run in (await self.all(row)).items() if number < row.runs}
        return await earlier[max(earlier)].recorded() if earlier else None

    async def told(
        self, row: SessionRow, runs: Mapping[int, Run[Lesson]], after: Position
    ) -> AsyncGenerator[SessionEvent]:
        """``connected``, then the session's events after ``after``, live, until its last run ends.

        It ends also when the session is deleted.

        Raises:
            NotFoundError: now, not later: the session was deleted meanwhile.
        """
        if row.runs not in runs:
            raise no_session()
        return self._telling(row, runs, after)

    async def _telling(
        self, row: SessionRow, runs: Mapping[int, Run[Lesson]], after: Position
    ) -> AsyncGenerator[SessionEvent]:
        story = Story(row.id)
        yield story.connected(after)
        with suppress(NotFoundError):
            for number, run in runs.items():
                story.next_run(number, (await run.describe()).created_at)
                async for event in run.events():
                    if event.type in LAST_EVENTS:
                        story.may_go_on = await self.remains(row)
                    if event.type is EventType.RUN_COMPLETED:
                        # Events hide what looks like a secret; a lesson may teach what one looks like.
                        event = replace(event, data=(await _lesson_of(run)).model_dump(mode="json"))  # noqa: PLW2901
                    told = story.tell(event)
                    is_over = told is not None and told.type == "error" and number < row.runs
                    if told is not None and told.position > after and not is_over:
                        yield told

    async def remains(self, row: SessionRow) -> bool:
        """Whether nobody has deleted the session."""
        kept = await self._sessions.find(row.owner, row.id)
        return kept is not None and kept.intent is not Intent.DELETE

    async def result(self, row: SessionRow) -> SessionResult:
        """What a completed session has made."""
        kept = await self.kept(row)
        if kept is not None and kept.result is not None:
            return kept.result
        runs = list((await self.all(row)).values())
        if not runs:
            raise no_session()
        infos = [await run.describe() for run in runs]
        ends = [info.closed_at or info.created_at for info in infos]
        took = sum((end - info.created_at for info, end in zip(infos, ends, strict=True)), timedelta())
        return SessionResult.of(await _lesson_of(runs[-1]), row.id, took, ends[-1])

    async def end(self, run_id: str) -> None:
        """Cancel a run, wait for its end, and forget it; nothing if there is none.

        Raises:
            UnavailableError: it takes long to stop.
        """
        with suppress(NotFoundError):
            run = await self._engine().get(run_id)
            await run.cancel()
            try:
                async with asyncio.timeout(CANCEL_LIMIT_S):
                    with suppress(RunError, MismatchError):
                        await run.result()
            except TimeoutError:
                raise UnavailableError(
                    "The session is still stopping. Delete it again in a moment.",
                    code="session_stopping",
                    retry_after=LOOK_AGAIN_AFTER_S,
                ) from None
            await self._engine().delete(run_id)


async def _lesson_of(run: Run[Any]) -> Lesson:
    """What a completed run made; a later version of its workflow has types that this code does not know."""
    return Lesson.model_validate(await run.result())


def no_session() -> NotFoundError:
    """What to say where the owner has no such session."""
    return NotFoundError("Session not found", code="session_not_found")


def run_id_of(session_id: str, number: int) -> str:
    """A run's id is made of its session's, so that starting it twice gives one run."""
    return f"lesson-{session_id}-{number}"
