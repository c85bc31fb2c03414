"""What happens at the times of a schedule on Temporal.

The server starts a short workflow at each time. It tells the schedule's keeper, a workflow that lives as long
as the schedule: one at a time it serves what is due and what is asked for by hand, so two of them never both
find that no run is open. How far the schedule has come is in the keeper's memo, for those who describe it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict
from temporalio import activity
from temporalio import workflow as temporal
from temporalio.common import RawValue, SearchAttributeKey

from orchestrator.core.errors import NotFoundError, TerminalError
from orchestrator.durable.errors import Failure
from orchestrator.durable.names import RESERVED
from orchestrator.durable.schedules import SCHEDULE_TAG, stated_run_id
from orchestrator.durable.temporal.failures import recorded_error
from orchestrator.durable.temporal.payloads import carried
from orchestrator.durable.temporal.reserved import ERRAND_RETRY, ERRAND_TIMEOUT, queue_within
from orchestrator.durable.temporal.schedule_settings import DUE, Settings, find
from orchestrator.durable.temporal.standing import describe, memo_of, status_of
from orchestrator.durable.temporal.starting import NewRun, begin

if TYPE_CHECKING:
    from temporalio.client import Client

    from orchestrator.durable.registry import Registry
    from orchestrator.durable.temporal.schedule_settings import Kept

KEEPER: Final = f"{RESERVED}schedule"
IS_DUE: Final = f"{RESERVED}is-due"
RUN_NOW: Final = f"{RESERVED}run-now"
SERVE: Final = f"{RESERVED}serve"
TELL: Final = f"{RESERVED}tell-keeper"
# The keeper's memo of how far its schedule has come.
PROGRESS: Final = "progress"

MINUTE_S: Final = 60
# What serving a schedule gives that is no more.
GONE: Final = b"null"

_SCHEDULED_AT: Final = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")

log = logging.getLogger(__name__)


class Progress(BaseModel):
    """How far a schedule has come. Times are in seconds since 1970.

    ``seen_at`` is the last of its times that came, ``is_missing`` whether that one was missed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    last_run: str = ""
    last_at: float | None = None
    skipped: int = 0
    missed_at: float | None = None
    seen_at: float = 0.0
    is_missing: bool = False

    @property
    def data(self) -> RawValue:
        """As it is kept."""
        return carried(self.model_dump_json().encode())

    def seen(self, settings: Settings, at: float, now: float) -> Progress:
        """The progress once the time ``at``, by its name in the timetable, has come; it is ``now``.

        Times between the last one and this one that never came were missed, as is one that comes too late.
        """
        expected = settings.timetable.after(max(self.seen_at, settings.since))
        is_missing = now - at > settings.catch_up_s
        if not self.is_missing and expected is not None and expected < at:
            missed_at: float | None = expected
        elif not self.is_missing and is_missing:
            missed_at = at
        else:
            missed_at = self.missed_at
        changes = {"seen_at": at, "is_missing": is_missing, "missed_at": missed_at}
        return self.model_copy(update=changes)


NO_PROGRESS: Final = Progress()


async def progress_of(client: Client, schedule_id: str) -> Progress:
    """How far a schedule has come; nowhere while it has no keeper."""
    try:
        keeper = await describe(client, keeper_id(schedule_id))
    except NotFoundError:
        return NO_PROGRESS
    if status_of(keeper).closed:  # it was of a schedule of this id that was deleted
        return NO_PROGRESS
    return Progress.model_validate(await memo_of(client, keeper.workflow_execution_info, PROGRESS, {}))


def keeper_id(schedule_id: str) -> str:
    """The id of a schedule's keeper."""
    return f"{KEEPER}:{schedule_id}"


@temporal.defn(name=DUE, sandboxed=False)
class Due:
    """What the server starts when a schedule is due: it tells the keeper."""

    @temporal.run
    async def run(self, settings: RawValue, _input: RawValue) -> None:
        """Tell the keeper that its time has come, or that somebody asked the server for a run."""
        scheduled_at = temporal.info().typed_search_attributes.get(_SCHEDULED_AT)
        at = temporal.time() if scheduled_at is None else scheduled_at.timestamp()
        await temporal.execute_activity(
            TELL,
            args=[Settings.model_validate_json(settings.payload.data).schedule, at],
            start_to_close_timeout=ERRAND_TIMEOUT,
            retry_policy=ERRAND_RETRY,
        )


@temporal.defn(name=KEEPER, sandboxed=False)
class Keeper:
    """Serves the times of one schedule, one after the other, and what is asked for by hand between them."""

    @temporal.init
    def __init__(self, schedule_id: str, progress: RawValue) -> None:
        self._schedule_id = schedule_id
        self._progress = Progress.model_validate_json(progress.payload.data)
        self._due: deque[float] = deque()
        self._turn = asyncio.Lock()
        self._is_gone = False

    @temporal.run
    async def run(self, schedule_id: str, _progress: RawValue) -> None:
        """Serve what is due, until the schedule is no more."""
        while not self._is_gone:
            await temporal.wait_condition(lambda: bool(self._due) or self._is_gone or self._is_long())
            if self._due:
                await self._serve(self._due.popleft(), by_hand=False)
            elif not self._is_gone:
                temporal.continue_as_new(args=[schedule_id, self._progress.data])
        await temporal.wait_condition(temporal.all_handlers_finished)

    @temporal.signal(name=IS_DUE)
    def is_due(self, at: float) -> None:
        """Serve the time ``at``, in seconds since 1970, in its turn."""
        self._due.append(at)

    @temporal.update(name=RUN_NOW)
    async def run_now(self) -> list[str]:
        """Start a run, unless the last one is open.

        The id of the last run before and the one after; the same twice if that is open. Empty if the schedule
        is no more.
        """
        before = await self._serve(temporal.time(), by_hand=True)
        return [] if self._is_gone else [before, self._progress.last_run]

    async def _serve(self, at: float, *, by_hand: bool) -> str:
        """Serve a time in its turn; gives the id of the last run before."""
        async with self._turn:
            before = self._progress.last_run
            served: RawValue = await temporal.execute_activity(
                SERVE,
                args=[self._schedule_id, self._progress.data, at, by_hand],
                result_type=RawValue,
                start_to_close_timeout=ERRAND_TIMEOUT,
                retry_policy=ERRAND_RETRY,
            )
            if served.payload.data == GONE:
                self._is_gone = True
            else:
                self._progress = Progress.model_validate_json(served.payload.data)
                temporal.upsert_memo({PROGRESS: served})
            return before

    def _is_long(self) -> bool:
        return temporal.info().is_continue_as_new_suggested() and temporal.all_handlers_finished()


@activity.defn(name=TELL)
async def tell_keeper(schedule_id: str, at: float) -> None:
    """Tell a schedule's keeper, which may begin with this, that the time ``at`` has come."""
    await activity.client().start_workflow(
        KEEPER,
        args=[schedule_id, NO_PROGRESS.data],
        id=keeper_id(schedule_id),
        task_queue=activity.info().task_queue,
        start_signal=IS_DUE,
        start_signal_args=[at],
    )


class Serving:
    """What keepers do outside of their workflows, for the workflows of one engine."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @activity.defn(name=SERVE)
    async def serve(self, schedule_id: str, progress: RawValue, at: float, by_hand: bool) -> RawValue:  # noqa: FBT001  # activities take positions
        """Start the run that a schedule is to have at ``at``, if it is to have one; give its progress.

        Done again after a crash it gives the same, as the run's id follows from the time.
        """
        client = activity.client()
        try:
            kept = await find(client, queue_within(activity.info().task_queue), schedule_id)
        except NotFoundError:
            return carried(GONE)
        before = Progress.model_validate_json(progress.payload.data)
        # Who asks the server itself for a run seldom does so at a full minute; what is due is so at one.
        by_hand = by_hand or at % MINUTE_S != 0
        after = await (
            self._by_hand(client, kept, before, at) if by_hand else self._due(client, kept, before, at)
        )
        return after.data

    async def _by_hand(self, client: Client, kept: Kept, before: Progress, at: float) -> Progress:
        if await _is_open(client, before.last_run):
            return before
        run_id = f"{stated_run_id(kept.settings.schedule, at)}-now"
        try:
            await self._begin(client, kept, run_id)
        except TerminalError as error:
            raise recorded_error(Failure.of(error)) from None
        return before.model_copy(update={"last_run": run_id, "last_at": at})

    async def _due(self, client: Client, kept: Kept, before: Progress, at: float) -> Progress:
        """The progress once ``at``, which may be no time of the schedule, came to a run, or to nothing."""
        name = kept.settings.schedule
        named = kept.settings.timetable.named(at)
        if named is None or named <= before.seen_at:
            return before
        seen = before.seen(kept.settings, named, named + time.time() - at)
        if seen.is_missing:
            log.warning("schedule %s missed its time %s", name, stated_run_id(name, named))
            return seen
        if await _is_open(client, before.last_run):
            log.info("schedule %s skips a time: %s is open", name, before.last_run)
            return seen.model_copy(update={"skipped": seen.skipped + 1})
        run_id = stated_run_id(name, named)
        try:
            await self._begin(client, kept, run_id)
        except TerminalError as error:
            log.warning("schedule %s is stuck: %s", name, error.message)
            return seen.model_copy(update={"is_missing": True, "missed_at": seen.missed_at or named})
        return seen.model_copy(update={"last_run": run_id, "last_at": named})

    async def _begin(self, client: Client, kept: Kept, run_id: str) -> None:
        settings = kept.settings
        workflow = self._registry.workflow(settings.workflow)
        workflow.input.decode(kept.input)  # refused here, or every run of it would be stuck
        tags = {**settings.tags, SCHEDULE_TAG: settings.schedule}
        run = NewRun(run_id, workflow, kept.input, settings.owner, tags, settings.priority)
        await begin(client, kept.task_queue, self._registry, run)


async def _is_open(client: Client, run_id: str) -> bool:
    if not run_id:
        return False
    try:
        return not status_of(await describe(client, run_id)).closed
    except NotFoundError:  # it was deleted
        return False
