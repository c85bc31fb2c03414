"""What can be done with sessions. What is promised is written down, then done; a sweep mends the gap."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
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
from orchestrator.durable.errors import MismatchError, RunError
from orchestrator.durable.runs import LAST_EVENTS, EventType, Prefix, RunInfo, Status
from orchestrator.features.lessons.coming_back import known
from orchestrator.features.lessons.endings import Endings, Expected
from orchestrator.features.lessons.events import BEGINNING, Position, Story
from orchestrator.features.lessons.kept import Kept
from orchestrator.features.lessons.lesson import Lesson, LessonRequest
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
    from collections.abc import AsyncGenerator, Callable, Mapping

    from orchestrator.durable.engine import Engine, Run
    from orchestrator.durable.runs import StepView
    from orchestrator.features.lessons.events import SessionEvent
    from orchestrator.features.lessons.repository import SessionRepository
    from orchestrator.journal.blobs import Blob, Blobs

# A step hears of its cancellation at its next wait; a thread that computes ends on its own before long.
CANCEL_LIMIT_S: Final = 20.0
# A day is the least that the journal keeps an ended run.
KEPT_EVERY_S: Final = 3_600.0
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
        self, sessions: SessionRepository, blobs: Blobs, engine: Callable[[], Engine], clock: Clock
    ) -> None:
        self._sessions = sessions
        self._blobs = blobs
        self._engine = engine
        self._clock = clock
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
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
        info = await self._last_run(row)
        shown = _shown(row, info)
        kept = await self._kept(row)
        if kept is not None:
            update = {"steps": kept.steps, "result": kept.result, "metadata": metadata}
            return shown.model_copy(update=update)
        views = await self._steps(info) if info else []
        completed = info is not None and info.status is Status.COMPLETED
        return shown.model_copy(
            update={
                "updated_at": max([shown.updated_at, *(view.closed_at or view.started_at for view in views)]),
                "steps": steps_shown(info.status if info else Status.PENDING, views),
                "result": await self._result(row) if completed else None,
                "metadata": metadata,
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
        async with self._turn(session_id):
            row = await self._row(owner, session_id)
            info = await self._last_run(row)
            if row.intent is Intent.DELETE:
                raise _no_session()
            if info is not None and info.status is Status.COMPLETED:
                raise ConflictError(
                    "Session already completed. Get its result, or create another session.",
                    code="session_completed",
                )
            is_running = info is not None and not info.status.closed
            if is_running or not await self._promised(row, info):
                raise ConflictError("Session already running", code="session_running")
            row = await self._launched(owner, session_id)
        return await self._told(row, await self._runs(row), BEGINNING)

    async def watch(
        self, owner: str, session_id: str, last_event_id: str | None
    ) -> AsyncGenerator[SessionEvent] | None:
        """The session's events after ``last_event_id``; None when all were delivered. Starts an idle one."""
        row = await self._row(owner, session_id)
        kept = await self._kept(row)
        if kept is not None:
            after = Position.parse(last_event_id)
            rest = kept.told(row.id, after)
            return _each([Story(row.id).connected(after), *rest]) if rest else None
        if row.intent is not Intent.NONE or await self._last_run(row) is None:
            row = await self._awake(owner, session_id)
        runs = await self._runs(row)
        after = await known(Position.parse(last_event_id), runs)
        info = await self._last_run(row)
        if after == BEGINNING or info is None or not info.status.closed:
            return await self._told(row, runs, after)
        rest = [event async for event in await self._told(row, runs, after)]
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
        info = await self._last_run(row)
        if info is None:
            return
        if info.closed_at is None:
            if wait:
                self._endings.expect(Expected(info.id, row.owner, row.id))
            return
        with suppress(OrchestratorError):  # deleted meanwhile, or run again
            shown = await self.show(row.owner, row.id)
            story = await self._told(row, await self._runs(row), BEGINNING)
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

    async def _kept(self, row: SessionRow) -> Kept | None:
        """What was kept of a session whose last run has left the journal."""
        if not row.runs or row.kept_run != row.runs:
            return None
        with suppress(NotFoundError):
            await self._engine().get(_run_id(row.id, row.runs))
            return None
        return await self._sessions.kept(row)

    async def _row(self, owner: str, session_id: str) -> SessionRow:
        row = await self._sessions.find(owner, session_id)
        if row is None:
            raise _no_session()
        return row

    def _turn(self, session_id: str) -> asyncio.Lock:
        """Who starts or deletes a session does it alone, so that no run is started behind a deletion."""
        return self._turns.setdefault(session_id, asyncio.Lock())

    async def _last_run(self, row: SessionRow) -> RunInfo | None:
        """The session's last run; None before the first, while one is only promised, and if it is lost."""
        if not row.runs:
            return None
        run_id = _run_id(row.id, row.runs)
        with suppress(NotFoundError):
            return await (await self._engine().get(run_id)).describe()
        if row.kept_run != row.runs or row.ended_as is None or row.ended_at is None:
            return None
        ended_as = Status(row.ended_as)
        return RunInfo(run_id, lesson.type_name, ended_as, row.created_at, row.ended_at, row.owner)

    async def _runs(self, row: SessionRow) -> dict[int, Run[Lesson]]:
        """The session's runs by their numbers; without those that an earlier journal took with it."""
        runs: dict[int, Run[Lesson]] = {}
        for number in range(1, row.runs + 1):
            with suppress(NotFoundError):
                runs[number] = await self._engine().get(_run_id(row.id, number))
        return runs

    async def _steps(self, info: RunInfo) -> list[StepView]:
        with suppress(NotFoundError):
            return await (await self._engine().get(info.id)).steps()
        return []

    async def _promised(self, row: SessionRow, last: RunInfo | None) -> bool:
        """Promise the next run, unless one is promised already; False if somebody did something meanwhile."""
        if last is None and row.intent is Intent.LAUNCH:
            return True
        return await self._sessions.promise_run(row)

    async def _awake(self, owner: str, session_id: str) -> SessionRow:
        """The session with a run: an idle one is started, and what was promised is launched."""
        async with self._turn(session_id):
            row = await self._row(owner, session_id)
            if await self._last_run(row) is None:
                await self._promised(row, None)
            return await self._launched(owner, session_id)

    async def _launched(self, owner: str, session_id: str) -> SessionRow:
        """Start the run that was promised, if it was not; doing it twice starts one."""
        row = await self._row(owner, session_id)
        if row.intent is Intent.DELETE:
            raise _no_session()
        if row.intent is Intent.NONE:
            return row
        request = LessonRequest(session_id=row.id, owner=owner, topic=row.topic)
        run_id, tags = _run_id(row.id, row.runs), {"session": row.id}
        prefix = await self._done_before(row)
        await self._engine().start(lesson, request, id=run_id, owner=owner, tags=tags, prefix=prefix)
        await self._sessions.run_started(row)
        self._endings.expect(Expected(run_id, owner, row.id))
        if not await self._remains(row):  # who deletes it in another process may not have seen this run
            await self._end(run_id)
            raise _no_session()
        return await self._row(owner, session_id)

    async def _done_before(self, row: SessionRow) -> Prefix | None:
        """What the latest earlier run completed, which is not done again; None where there is none."""
        earlier = {number: run for number, run in (await self._runs(row)).items() if number < row.runs}
        return await earlier[max(earlier)].recorded() if earlier else None

    async def _told(
        self, row: SessionRow, runs: Mapping[int, Run[Lesson]], after: Position
    ) -> AsyncGenerator[SessionEvent]:
        """``connected``, then the session's events after ``after``, live, until its last run ends.

        It ends also when the session is deleted.

        Raises:
            NotFoundError: now, not later: the session was deleted meanwhile.
        """
        if row.runs not in runs:
            raise _no_session()
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
                        story.may_go_on = await self._remains(row)
                    if event.type is EventType.RUN_COMPLETED:
                        # Events hide what looks like a secret; a lesson may teach what one looks like.
                        event = replace(event, data=(await _lesson_of(run)).model_dump(mode="json"))  # noqa: PLW2901
                    told = story.tell(event)
                    is_over = told is not None and told.type == "error" and number < row.runs
                    if told is not None and told.position > after and not is_over:
                        yield told

    async def _remains(self, row: SessionRow) -> bool:
        kept = await self._sessions.find(row.owner, row.id)
        return kept is not None and kept.intent is not Intent.DELETE

    async def _result(self, row: SessionRow) -> SessionResult:
        kept = await self._kept(row)
        if kept is not None and kept.result is not None:
            return kept.result
        runs = list((await self._runs(row)).values())
        if not runs:
            raise _no_session()
        infos = [await run.describe() for run in runs]
        ends = [info.closed_at or info.created_at for info in infos]
        took = sum((end - info.created_at for info, end in zip(infos, ends, strict=True)), timedelta())
        return SessionResult.of(await _lesson_of(runs[-1]), row.id, took, ends[-1])

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


async def _lesson_of(run: Run[Any]) -> Lesson:
    """What a completed run made; a later version of its workflow has types that this code does not know."""
    return Lesson.model_validate(await run.result())


def _no_session() -> NotFoundError:
    return NotFoundError("Session not found", code="session_not_found")


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
