"""A schedule of ours as Temporal keeps it: a calendar, and the rest beside the workflow that it starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping  # pydantic reads annotations
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict
from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
)
from temporalio.common import RawValue
from temporalio.service import RPCError, RPCStatusCode

from orchestrator.core.errors import NotFoundError
from orchestrator.durable.names import RESERVED
from orchestrator.durable.temporal.failures import explained
from orchestrator.durable.temporal.payloads import carried
from orchestrator.durable.temporal.reserved import inner_queue
from orchestrator.durable.temporal.unreadable import data_of
from orchestrator.durable.timetable import Timetable

if TYPE_CHECKING:
    from datetime import datetime

    from temporalio.client import Client, ScheduleDescription

# The type of the workflow that a schedule starts at its times.
DUE: Final = f"{RESERVED}due"


class Settings(BaseModel):
    """What a schedule was asked to do. Its times count from ``since`` on, in seconds since 1970."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedule: str
    workflow: str
    cron: str
    zone: str
    catch_up_s: float
    owner: str
    tags: Mapping[str, str]
    priority: int
    since: float

    @property
    def timetable(self) -> Timetable:
        """Its times."""
        return Timetable(self.cron, self.zone)


@dataclass(frozen=True, slots=True)
class Kept:
    """A schedule with the JSON of the input that its runs begin with, and where the server has it stand.

    ``coming`` are the next times at which the server starts something, in seconds since 1970.
    """

    settings: Settings
    input: bytes
    task_queue: str
    created_at: datetime | None = None
    is_paused: bool = False
    coming: tuple[float, ...] = ()

    def asks_for_the_same(self, other: Kept) -> bool:
        """Whether both are to do the same, however far they have come."""
        return replace(self.instead_of(other), settings=self._since(other)) == other

    def instead_of(self, old: Kept) -> Kept:
        """This schedule in the place of an old one. A time that is due stays due."""
        has_same_times = self.settings.timetable == old.settings.timetable
        settings = self._since(old) if has_same_times else self.settings
        return replace(
            self, settings=settings, created_at=old.created_at, is_paused=old.is_paused, coming=old.coming
        )

    def next_at(self, now: float) -> float | None:
        """The next time, which the server may take later than its name says where clocks are put back."""
        timetable = self.settings.timetable
        named = timetable.after(now)
        return next((at for at in self.coming if timetable.named(at) == named), named)

    def _since(self, old: Kept) -> Settings:
        return self.settings.model_copy(update={"since": old.settings.since})

    def as_temporal(self) -> Schedule:
        """What the server is to keep."""
        settings = self.settings
        said = carried(settings.model_dump_json().encode())
        return Schedule(
            action=ScheduleActionStartWorkflow(
                DUE,
                args=[said, carried(self.input)],
                id=f"{DUE}:{settings.schedule}",
                task_queue=inner_queue(self.task_queue),
            ),
            spec=_calendar(settings.timetable),
            # What starts only tells the keeper, in the order of the times; it knows which runs are open.
            policy=SchedulePolicy(
                overlap=ScheduleOverlapPolicy.BUFFER_ALL,
                catchup_window=timedelta(seconds=settings.catch_up_s),
            ),
            state=ScheduleState(paused=self.is_paused),
        )


async def read(client: Client, task_queue: str, description: ScheduleDescription) -> Kept | None:
    """A schedule out of the server's account of it; None if it is not one of ours, for this task queue.

    Raises:
        UnreadableError: it cannot be read now.
    """
    action = description.schedule.action
    if not isinstance(action, ScheduleActionStartWorkflow) or action.workflow != DUE:
        return None
    if action.task_queue != inner_queue(task_queue):
        return None
    settings, data = await client.data_converter.decode(list(action.args), [RawValue, RawValue])
    return Kept(
        settings=Settings.model_validate_json(data_of(settings)),
        input=data_of(data),
        task_queue=task_queue,
        created_at=description.info.created_at,
        is_paused=description.schedule.state.paused,
        coming=tuple(at.timestamp() for at in description.info.next_action_times),
    )


async def find(client: Client, task_queue: str, schedule_id: str) -> Kept:
    """The schedule of that id.

    Raises:
        NotFoundError: there is none of ours, for this task queue.
    """
    try:
        description = await client.get_schedule_handle(schedule_id).describe()
    except RPCError as error:
        raise explained_of(schedule_id, error) from error
    kept = await read(client, task_queue, description)
    if kept is None:
        raise no_schedule(schedule_id)
    return kept


def explained_of(schedule_id: str, error: RPCError) -> Exception:
    """A server's refusal to do something with a schedule as the house knows it, or itself."""
    return no_schedule(schedule_id) if error.status is RPCStatusCode.NOT_FOUND else explained(error)


def no_schedule(schedule_id: str) -> NotFoundError:
    """What to raise where there is no such schedule."""
    return NotFoundError(f"there is no schedule {schedule_id!r}")


def _calendar(timetable: Timetable) -> ScheduleSpec:
    """Times among which are all those of a timetable; see `Timetable.named` for those that are."""
    hands = timetable.hands
    calendar = ScheduleCalendarSpec(
        minute=_ranges(hands.minutes),
        hour=_ranges(hands.hours),
        day_of_month=_ranges(hands.days),
        month=_ranges(hands.months),
        day_of_week=_ranges(hands.weekdays),
    )
    return ScheduleSpec(calendars=[calendar], time_zone_name=timetable.zone)


def _ranges(values: Iterable[int]) -> list[ScheduleRange]:
    return [ScheduleRange(value) for value in sorted(values)]
