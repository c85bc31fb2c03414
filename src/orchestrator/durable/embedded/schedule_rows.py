"""Schedules in the journal: how they are written, and how they are read back."""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.clock import utc
from orchestrator.durable.schedules import ScheduleInfo, ScheduleStatus
from orchestrator.journal import Statement

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A row of ``schedules``, its fields in the order of the columns.

    ``digest`` tells workflows and inputs apart, ``input`` is the sealed JSON that every run begins with.
    Times are in seconds since 1970.
    """

    name: str
    workflow: str
    owner: str
    tags: str
    priority: int
    digest: bytes
    input: bytes
    cron: str
    zone: str
    catch_up_s: float
    created_at: float
    status: str
    reason: str = ""
    next_at: float | None = None
    last_run: str = ""
    last_at: float | None = None
    skipped: int = 0
    missed_at: float | None = None

    @property
    def values(self) -> tuple[Any, ...]:
        """What `PUT_SCHEDULE` takes."""
        return astuple(self)

    @property
    def settings(self) -> tuple[object, ...]:
        """What its user has asked for; all else is how far it has come."""
        return (self.digest, self.owner, self.tags, self.priority, self.cron, self.zone, self.catch_up_s)

    def info(self) -> ScheduleInfo:
        """The row for people and programs."""
        active = self.status == ScheduleStatus.ACTIVE
        return ScheduleInfo(
            id=self.name,
            workflow=self.workflow,
            cron=self.cron,
            zone=self.zone,
            catch_up=self.catch_up_s,
            status=ScheduleStatus(self.status),
            created_at=utc(self.created_at),
            next_at=_moment(self.next_at) if active else None,
            last_run=self.last_run,
            last_at=_moment(self.last_at),
            skipped=self.skipped,
            missed_at=_moment(self.missed_at),
            owner=self.owner,
            tags=json.loads(self.tags),
            priority=self.priority,
            reason=self.reason,
        )


def place_of(name: str) -> tuple[str, str]:
    """Where the input of a schedule belongs: it opens nowhere else."""
    return "schedules", name


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else utc(seconds)


_COLUMNS: Final = ", ".join(column.name for column in fields(ScheduleRow))
# Of two rows of one schedule in one group, the later one stands.
PUT_SCHEDULE: Final = Statement(
    10,
    f"INSERT OR REPLACE INTO schedules ({_COLUMNS}) VALUES {{rows}}",  # noqa: S608  # constants alone
    len(fields(ScheduleRow)),
)
DELETE_SCHEDULE: Final = Statement(11, "DELETE FROM schedules WHERE name IN ({rows})", 1)
SELECT_SCHEDULES: Final = f"SELECT {_COLUMNS} FROM schedules WHERE name > ? ORDER BY name LIMIT ?"  # noqa: S608
