"""What can be done with sessions. What is promised is written down, then done; a sweep mends the gap."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from orchestrator.core.clock import Clock, utc
from orchestrator.core.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    OrchestratorError,
    UnavailableError,
)
from orchestrator.core.ids import new_id
from orchestrator.durable.errors import MismatchError, RunError
from orchestrator.durable.runs import EventType, Prefix, RunInfo, Status
from orchestrator.features.lessons.events import BEGINNING, Position, Story
from orchestrator.features.lessons.lesson import LessonRequest
from orchestrator.features.lessons.schemas import (
    NewSession,
    Session,
    SessionPage,
    SessionResult,
)
from orchestrator.features.lessons.tables import Intent, SessionRow
from orchestrator.features.lessons.views import steps_shown
from orchestrator.features.lessons.workflow import lesson

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from orchestrator.durable.engine import Engine
    from orchestrator.features.lessons.events import SessionEvent
    from orchestrator.features.lessons.repository import SessionRepository
    from orchestrator.journal.blobs import Blob, BlobStore

# A step hears of its cancellation at its next wait; a thread that computes ends on its own before long.
CANCEL_LIMIT_S: Final = 20.0
LOOK_AGAIN_AFTER_S: Final = 5.0
MOST_RUNNING_COUNTED: Final = 10_000
OPEN: Final = tuple(status for status in Status if not status.closed)
_PICTURE: Final = re.compile(r"image\d{1,3}\.jpg", re.ASCII)

log = structlog.get_logger()


class LessonService:
    """Creates, runs, shows and removes sessions, each for its owner.

    Every method that takes a session's id raises NotFoundError when the owner has none of that id.
    """

    def __init__(
        self, sessions: SessionRepository, blobs: BlobStore, engine: Callable[[], Engine], clock: Clock
    ) -> None:
        self._sessions = sessions
        self._blobs = blobs
        self._engine = engine
        self._clock = clock

    async def create(self, owner: str, new: NewSession) -> str:
        """Keep a new session, and give its id. It runs when it is asked to."""
        row = SessionRow(
            id=new_id(),
            topic=new.topic,
            brought=new.metadata.model_dump(mode="json", exclude_defaults=True) if new.metadata else {},
            created_at=utc(self._clock.time()),
            runs=0,
            intent=Intent.NONE,
        )
        await self._sessions.add(owner, row)
        return row.id

    async def show(self, owner: str, session_id: str) -> Session:
        """A session with its steps, and its result if it has one."""
        row = await self._row(owner, session_id)
        info = await self._last_run(row)
        views = await (await self._engine().get(info.id)).steps() if info else []
        shown = _shown(row, info)
        completed = info is not None and info.status is Status.COMPLETED
        brought = await self._sessions.brought(owner, session_id)
        return shown.model_copy(
            update={
                "updated_at": max([shown.updated_at, *(view.closed_at or view.started_at for view in views)]),
                "steps": steps_shown(info.status if info else Status.PENDING, views),
                "result": await self._result(row) if completed else None,
                "metadata": brought if brought.materials else None,
            }
        )

    async def page(self, owner: str, limit: int, before: str | None) -> SessionPage:
        """Some of the owner's sessions, newest first, without steps and results."""
        rows = await self._sessions.page(owner, limit, before)
        infos = await asyncio.gather(*[self._last_run(row) for row in rows])
        return SessionPage(
            items=[_shown(row, info) for row, info in zip(rows, infos, strict=True)],
            total=await self._sessions.count(owner),
            limit=limit,
            next=rows[-1].id if len(rows) == limit else None,
        )

    async def result(self, owner: str, session_id: str) -> SessionResult:
        """The finished lesson.

        Raises:
            InvalidInputError: it is not finished.
        """
        row = await self._row(owner, session_id)
        info = await self._last_run(row)
        if info is None or info.status is not Status.COMPLETED:
            stands = info.status if info else Status.PENDING
            raise InvalidInputError(
                f"Session not completed: it is {stands}. POST to its run address to start or resume it.",
                code="session_not_completed",
            )
        return await self._result(row)

    async def picture(self, owner: str, session_id: str, name: str) -> Blob:
        """A picture of the lesson."""
        row = await self._row(owner, session_id)
        if not _PICTURE.fullmatch(name):
            raise NotFoundError("The session has no such picture.")
        return await self._blobs.get(f"{row.id}/{name}")

    async def run(self, owner: str, session_id: str) -> AsyncGenerator[SessionEvent]:
        """Start the session, or go on with it where it failed; its events.

        Raises:
            ConflictError: it runs, or is complete.
        """
        row = await self._row(owner, session_id)
        info = await self._last_run(row)
        if info is not None and info.status is Status.COMPLETED:
            raise ConflictError(
                "Session already completed. Get its result, or create another session.",
                code="session_completed",
            )
        is_free = row.intent is Intent.NONE and (info is None or info.status.closed)
        if not is_free or not await self._sessions.promise_run(row):
            raise ConflictError("Session already running", code="session_running")
        return self._told(await self._launched(owner, session_id), BEGINNING)

    async def watch(
        self, owner: str, session_id: str, last_event_id: str | None
    ) -> AsyncGenerator[SessionEvent] | None:
        """The session's events after ``last_event_id``; None when all were delivered. Starts an idle one."""
        row = await self._row(owner, session_id)
        if not row.runs:
            await self._sessions.promise_run(row)
        row = await self._launched(owner, session_id)
        after = Position.parse(last_event_id)
        info = await self._last_run(row)
        if after == BEGINNING or info is None or not info.status.closed:
            return self._told(row, after)
        rest = [event async for event in self._told(row, after)]
        return _each(rest) if len(rest) > 1 else None

    async def delete(self, owner: str, session_id: str) -> None:
        """Stop the session, and forget it with all it made.

        Raises:
            UnavailableError: it takes long to stop; it will be gone after the next call, or start.
        """
        row = await self._row(owner, session_id)
        await self._sessions.promise_delete(owner, session_id)
        await self._remove(row)

    async def running(self) -> int:
        """How many sessions run now, of all owners together."""
        open_runs = await self._engine().list(
            status=OPEN, workflow=lesson.type_name, limit=MOST_RUNNING_COUNTED
        )
        return len(open_runs)

    async def sweep(self) -> None:
        """Do what was promised before the service stopped. What cannot be done now is logged and kept."""
        for row in await self._sessions.promised():
            try:
                if row.intent is Intent.DELETE:
                    await self._remove(row)
                else:
                    await self._launched(row.owner, row.id)
            except OrchestratorError as error:
                log.warning("session not swept", session=row.id, intent=row.intent, code=error.code)

    async def _row(self, owner: str, session_id: str) -> SessionRow:
        row = await self._sessions.find(owner, session_id)
        if row is None:
            raise NotFoundError("Session not found", code="session_not_found")
        return row

    async def _last_run(self, row: SessionRow) -> RunInfo | None:
        """The session's last run; None before the first, and while one is only promised."""
        if not row.runs:
            return None
        with suppress(NotFoundError):
            return await (await self._engine().get(_run_id(row.id, row.runs))).describe()
        return None

    async def _launched(self, owner: str, session_id: str) -> SessionRow:
        """Start the run that was promised, if it was not; doing it twice starts one."""
        row = await self._row(owner, session_id)
        if row.intent is not Intent.LAUNCH:
            return row
        request = LessonRequest(session_id=row.id, owner=owner, topic=row.topic)
        prefix = await self._done_before(row) if row.runs > 1 else None
        run_id, tags = _run_id(row.id, row.runs), {"session": row.id}
        await self._engine().start(lesson, request, id=run_id, owner=owner, tags=tags, prefix=prefix)
        await self._sessions.run_started(owner, session_id)
        kept = await self._sessions.find(owner, session_id)
        if kept is None or kept.intent is Intent.DELETE:
            await self._end(run_id)  # deleted while it was being started
        return await self._row(owner, session_id)

    async def _done_before(self, row: SessionRow) -> Prefix:
        """What the run before completed, which is not done again."""
        before = await self._engine().get(_run_id(row.id, row.runs - 1))
        recorded = await before.recorded()
        stopped = {entry.key for entry in recorded.entries if entry.type is EventType.STEP_CANCELLED}
        return Prefix(
            seed=recorded.seed,
            began_at=recorded.began_at,
            entries=tuple(entry for entry in recorded.entries if entry.key not in stopped),
        )

    async def _told(self, row: SessionRow, after: Position) -> AsyncGenerator[SessionEvent]:
        """``connected``, then the session's events after ``after``, live, until its last run ends."""
        story = Story(row.id)
        yield story.connected(after)
        for number in range(1, row.runs + 1):
            run = await self._engine().get(_run_id(row.id, number))
            story.next_run((await run.describe()).created_at)
            async for event in run.events():
                told = story.tell(event)
                is_over = told is not None and told.type == "error" and number < row.runs
                if told is not None and told.position > after and not is_over:
                    yield told

    async def _result(self, row: SessionRow) -> SessionResult:
        runs = [await self._engine().get(_run_id(row.id, number)) for number in range(1, row.runs + 1)]
        infos = [await run.describe() for run in runs]
        ends = [info.closed_at or info.created_at for info in infos]
        took = sum((end - info.created_at for info, end in zip(infos, ends, strict=True)), timedelta())
        return SessionResult.of(await runs[-1].result(), row.id, took, ends[-1])

    async def _remove(self, row: SessionRow) -> None:
        for number in range(1, row.runs + 1):
            await self._end(_run_id(row.id, number))
        await self._blobs.delete_folder(row.id)
        await self._sessions.remove(row.owner, row.id)

    async def _end(self, run_id: str) -> None:
        """Cancel a run, wait for its end, and forget it; nothing if there is none."""
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


def _run_id(session_id: str, number: int) -> str:
    """A run's id is made of its session's, so that starting it twice gives one run."""
    return f"lesson-{session_id}-{number}"


def _shown(row: SessionRow, info: RunInfo | None) -> Session:
    return Session(
        id=row.id,
        topic=row.topic,
        status=info.status if info else Status.PENDING,
        created_at=row.created_at,
        updated_at=(info.closed_at or info.created_at) if info else row.created_at,
    )


async def _each(events: list[SessionEvent]) -> AsyncGenerator[SessionEvent]:
    for event in events:
        yield event
