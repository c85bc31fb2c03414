"""What can be done with sessions. What is promised is written down, then done; a sweep mends the gap."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

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
from orchestrator.durable.runs import RunInfo, Status
from orchestrator.features.lessons.coming_back import known
from orchestrator.features.lessons.endings import Endings, Expected
from orchestrator.features.lessons.events import BEGINNING, Position, Story
from orchestrator.features.lessons.kept import Kept
from orchestrator.features.lessons.lesson import LessonRequest
from orchestrator.features.lessons.schemas import (
    NewSession,
    Session,
    SessionPage,
    SessionResult,
)
from orchestrator.features.lessons.session_runs import SessionRuns, no_session, run_id_of
from orchestrator.features.lessons.tables import Intent, SessionRow
from orchestrator.features.lessons.views import steps_shown
from orchestrator.features.lessons.workflow import lesson

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from orchestrator.durable.engine import Engine
    from orchestrator.features.lessons.events import SessionEvent
    from orchestrator.features.lessons.repository import SessionRepository
    from orchestrator.journal.blobs import Blob, Blobs

# A day is the least that the journal keeps an ended run.
KEPT_EVERY_S: Final = 3_600.0
MOST_RUNNING_COUNTED: Final = 10_000
OPEN: Final = tuple(status for status in Status if not status.closed)
_PICTURE: Final = re.compile(r"image\d{1,3}\.jpg", re.ASCII)

log = structlog.get_logger()


class LessonService:
    """Creates, runs, shows and removes sessions, each for its owner.

    Every method that takes a session's id raises NotFoundError when the owner has none of that id.
    """

    def __init__(
        self, sessions: SessionRepository, blobs: Blobs, engine: Callable[[], Engine], clock: Clock
    ) -> None:
        self._sessions = sessions
        self._blobs = blobs
        self._engine = engine
        self._clock = clock
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._runs = SessionRuns(sessions, engine)
        self._endings = Endings(engine, self._keep_ended)

    async def create(self, owner: str, new: NewSession, session_id: str | None = None) -> str:
        """Keep a new session, once for each ``session_id``, and give its id. It runs when it is asked to."""
        row = SessionRow(
            id=session_id or new_id(),
            topic=new.topic,
            brought=new.metadata.model_dump(mode="json", exclude_defaults=True) if new.metadata else {},
            created_at=utc(self._clock.time()),
            runs=0,
            intent=Intent.NONE,
        )
        await self._sessions.add(owner, row)
        return row.id

    async def check(self, owner: str, session_id: str) -> None:
        """See that the owner has the session."""
        await self._row(owner, session_id)

    async def show(self, owner: str, session_id: str) -> Session:
        """A session with its steps, and its result if it has one."""
        row = await self._row(owner, session_id)
        brought = await self._sessions.brought(owner, session_id)
        metadata = brought if brought.materials else None
        info = await self._runs.last(row)
        shown = _shown(row, info)
        kept = await self._runs.kept(row)
        if kept is not None:
            update = {"steps": kept.steps, "result": kept.result, "metadata": metadata}
            return shown.model_copy(update=update)
        views = await self._runs.steps(info) if info else []
        completed = info is not None and info.status is Status.COMPLETED
        return shown.model_copy(
            update={
                "updated_at": max([shown.updated_at, *(view.closed_at or view.started_at for view in views)]),
                "steps": steps_shown(info.status if info else Status.PENDING, views),
                "result": await self._runs.result(row) if completed else None,
                "metadata": metadata,
            }
        )

    async def page(self, owner: str, limit: int, before: str | None) -> SessionPage:
        """Some of the owner's sessions, newest first, without steps and results."""
        rows = await self._sessions.page(owner, limit, before)
        infos = await asyncio.gather(*[self._runs.last(row) for row in rows])
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
        info = await self._runs.last(row)
        if info is None or info.status is not Status.COMPLETED:
            stands = info.status if info else Status.PENDING
            raise InvalidInputError(
                f"Session not completed: it is {stands}. POST to its run address to start or resume it.",
                code="session_not_completed",
            )
        return await self._runs.result(row)

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
        async with self._turn(session_id):
            row = await self._row(owner, session_id)
            info = await self._runs.last(row)
            if row.intent is Intent.DELETE:
                raise no_session()
            if info is not None and info.status is Status.COMPLETED:
                raise ConflictError(
                    "Session already completed. Get its result, or create another session.",
                    code="session_completed",
                )
            is_running = info is not None and not info.status.closed
            if is_running or not await self._promised(row, info):
                raise ConflictError("Session already running", code="session_running")
            row = await self._launched(owner, session_id)
        return await self._runs.told(row, await self._runs.all(row), BEGINNING)

    async def watch(
        self, owner: str, session_id: str, last_event_id: str | None
    ) -> AsyncGenerator[SessionEvent] | None:
        """The session's events after ``last_event_id``; None when all were delivered. Starts an idle one."""
        row = await self._row(owner, session_id)
        kept = await self._runs.kept(row)
        if kept is not None:
            after = Position.parse(last_event_id)
            rest = kept.told(row.id, after)
            return _each([Story(row.id).connected(after), *rest]) if rest else None
        if row.intent is not Intent.NONE or await self._runs.last(row) is None:
            row = await self._awake(owner, session_id)
        runs = await self._runs.all(row)
        after = await known(Position.parse(last_event_id), runs)
        info = await self._runs.last(row)
        if after == BEGINNING or info is None or not info.status.closed:
            return await self._runs.told(row, runs, after)
        rest = [event async for event in await self._runs.told(row, runs, after)]
        return _each(rest) if len(rest) > 1 else None

    async def delete(self, owner: str, session_id: str) -> None:
        """Stop the session, and forget it with all it made.

        Raises:
            UnavailableError: it takes long to stop; it will be gone after the next call, or start.
        """
        async with self._turn(session_id):
            await self._row(owner, session_id)
            await self._sessions.promise_delete(owner, session_id)
            # From now on it has no more runs than this row says.
            await self._remove(await self._row(owner, session_id))

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
                async with self._turn(row.id):
                    if row.intent is Intent.DELETE:
                        await self._remove(row)
                    else:
                        await self._launched(row.owner, row.id)
            except OrchestratorError as error:
                log.warning("session not swept", session=row.id, intent=row.intent, code=error.code)

    async def keep(self) -> None:
        """Keep what sessions have become that have ended, and tell of it; the others are waited for.

        Their runs leave the journal one day.
        """
        for row in await self._sessions.unkept():
            await self._keep(row)

    async def tell_endings_always(self) -> None:
        """Keep what a session has become, and tell of it, as soon as its run ends."""
        await self._endings.see_always()

    async def keep_always(self) -> None:
        """Keep what sessions have become, hour after hour."""
        while True:
            await self._hour()
            try:
                await self.keep()
            except UnavailableError as error:  # the runs stay for a day at least, so the next hour will do
                log.warning("sessions not kept", reason=error.message)

    async def _keep_ended(self, owner: str, session_id: str) -> None:
        row = await self._sessions.find(owner, session_id)
        if row is not None and row.kept_run < row.runs and row.intent is not Intent.DELETE:
            await self._keep(row, wait=False)

    async def _keep(self, row: SessionRow, *, wait: bool = True) -> None:
        info = await self._runs.last(row)
        if info is None:
            return
        if info.closed_at is None:
            if wait:
                self._endings.expect(Expected(info.id, row.owner, row.id))
            return
        with suppress(OrchestratorError):  # deleted meanwhile, or run again
            shown = await self.show(row.owner, row.id)
            story = await self._runs.told(row, await self._runs.all(row), BEGINNING)
            kept = Kept.of(shown.steps or [], shown.result, [event async for event in story])
            if kept.events:
                await self._sessions.keep(row, info.status, shown.updated_at, kept)

    async def _hour(self) -> None:
        over = asyncio.Event()
        wake = self._clock.call_at(self._clock.time() + KEPT_EVERY_S, over.set, background=True)
        try:
            await over.wait()
        finally:
            wake.cancel()

    async def _row(self, owner: str, session_id: str) -> SessionRow:
        row = await self._sessions.find(owner, session_id)
        if row is None:
            raise no_session()
        return row

    def _turn(self, session_id: str) -> asyncio.Lock:
        """Who starts or deletes a session does it alone, so that no run is started behind a deletion."""
        return self._turns.setdefault(session_id, asyncio.Lock())

    async def _promised(self, row: SessionRow, last: RunInfo | None) -> bool:
        """Promise the next run, unless one is promised already; False if somebody did something meanwhile."""
        if last is None and row.intent is Intent.LAUNCH:
            return True
        return await self._sessions.promise_run(row)

    async def _awake(self, owner: str, session_id: str) -> SessionRow:
        """The session with a run: an idle one is started, and what was promised is launched."""
        async with self._turn(session_id):
            row = await self._row(owner, session_id)
            if await self._runs.last(row) is None:
                await self._promised(row, None)
            return await self._launched(owner, session_id)

    async def _launched(self, owner: str, session_id: str) -> SessionRow:
        """Start the run that was promised, if it was not; doing it twice starts one."""
        row = await self._row(owner, session_id)
        if row.intent is Intent.DELETE:
            raise no_session()
        if row.intent is Intent.NONE:
            return row
        request = LessonRequest(session_id=row.id, owner=owner, topic=row.topic)
        run_id, tags = run_id_of(row.id, row.runs), {"session": row.id}
        prefix = await self._runs.done_before(row)
        await self._engine().start(lesson, request, id=run_id, owner=owner, tags=tags, prefix=prefix)
        await self._sessions.run_started(row)
        self._endings.expect(Expected(run_id, owner, row.id))
        if not await self._runs.remains(row):  # who deletes it in another process may not have seen this run
            await self._runs.end(run_id)
            raise no_session()
        return await self._row(owner, session_id)

    async def _remove(self, row: SessionRow) -> None:
        for number in range(1, row.runs + 1):
            await self._runs.end(run_id_of(row.id, number))
        await self._blobs.delete_folder(row.id)
        await self._sessions.remove(row.owner, row.id)


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
