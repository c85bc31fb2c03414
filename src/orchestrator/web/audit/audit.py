"""Writing the audit trail and reading it: all of its SQL."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy import delete, select, update

from orchestrator.core.clock import utc
from orchestrator.core.ids import new_id
from orchestrator.core.redaction import Redactor
from orchestrator.db import SYSTEM
from orchestrator.web.audit.schemas import AuditEntry, AuditPage
from orchestrator.web.audit.tables import LONGEST_SUBJECT_CHARS, AuditRow
from orchestrator.web.auth.caller import LOCAL_USER, OPERATOR
from orchestrator.web.background import hourly

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Select

    from orchestrator.core.clock import Clock
    from orchestrator.db import Database, Session
    from orchestrator.web.audit.schemas import AuditFilter
    from orchestrator.web.auth.caller import Caller

ERASED: Final = "user:erased"
# Guards of the database go by its own clock, and would refuse the whole sweep for one entry that is early.
CLOCKS_APART: Final = timedelta(hours=1)
PREFIX: Final = "."  # an action that ends so stands for all that begin so

log = structlog.get_logger()


class Audit:
    """The audit trail in the tables. ``retention`` is how long entries are kept; None is for ever."""

    def __init__(self, database: Database, clock: Clock, *, retention: timedelta | None) -> None:
        self._database = database
        self._clock = clock
        self._retention = retention
        self._redactor = Redactor()

    async def record(
        self, action: str, caller: Caller, *, subject: str = "", source: str = "", times: int = 1
    ) -> None:
        """Write down what is about to be done: what cannot be written down is not done.

        Raises:
            UnavailableError: the tables are away.
        """
        async with self._database.session(SYSTEM) as session:
            self.add(session, action, caller, subject=subject, source=source, times=times)

    def add(
        self,
        session: Session,
        action: str,
        caller: Caller,
        *,
        subject: str = "",
        source: str = "",
        times: int = 1,
    ) -> None:
        """Write it down in a transaction of SYSTEM, together with what is done there."""
        now = self._now()
        session.add(
            AuditRow(
                id=new_id(),
                at=now,
                action=action,
                who=caller.name,
                person=_person(caller),
                subject=self._plain(subject),
                source=source,
                times=times,
                kept_until=now + self._retention if self._retention else None,
            )
        )

    async def page(self, wanted: AuditFilter) -> AuditPage:
        """The entries that are wanted, newest first."""
        query = _matching(wanted).order_by(AuditRow.id.desc()).limit(wanted.limit + 1)
        async with self._database.session(SYSTEM) as session:
            rows = await session.all(query)
        items = [_shown(row) for row in rows[: wanted.limit]]
        return AuditPage(items=items, next=items[-1].id if len(rows) > wanted.limit else None)

    async def of_person(self, user: str) -> list[AuditEntry]:
        """Everything that was done in this user's name, oldest first."""
        query = select(AuditRow).where(AuditRow.person == user).order_by(AuditRow.id)
        async with self._database.session(SYSTEM) as session:
            return [_shown(row) for row in await session.all(query)]

    async def blank(self, user: str) -> int:
        """Take this user out of all entries, which stay; how many there were. No other change is possible."""
        nameless = {"who": ERASED, "person": "", "source": ""}
        async with self._database.session(SYSTEM) as session:
            return await session.change(update(AuditRow).where(AuditRow.person == user).values(**nameless))

    async def sweep(self) -> int:
        """Forget entries whose time is over by the database's clock too; how many there were."""
        over = delete(AuditRow).where(AuditRow.kept_until <= self._now() - CLOCKS_APART)
        async with self._database.session(SYSTEM) as session:
            return await session.change(over)

    async def sweep_always(self) -> None:
        """Do so hour after hour."""
        async for _ in hourly(self._clock):
            log.info("audit trail swept", removed=await self.sweep())

    def _plain(self, subject: str) -> str:
        """Text that every database keeps and no terminal obeys, without secrets that somebody put there."""
        shown = "".join(char if char.isprintable() else "?" for char in self._redactor.text(subject))
        return shown[:LONGEST_SUBJECT_CHARS]

    def _now(self) -> datetime:
        return utc(self._clock.time())


def _person(caller: Caller) -> str:
    """In whose name it is. The operator who names nobody uses the data of `local`, but not that name."""
    is_operators_own = caller.name == OPERATOR.name and caller.user == LOCAL_USER
    return "" if is_operators_own else caller.user


def _matching(wanted: AuditFilter) -> Select[AuditRow]:
    query = select(AuditRow)
    if wanted.action is not None and wanted.action.endswith(PREFIX):
        query = query.where(AuditRow.action.startswith(wanted.action, autoescape=True))
    elif wanted.action is not None:
        query = query.where(AuditRow.action == wanted.action)
    if wanted.who is not None:
        query = query.where(AuditRow.who == wanted.who)
    if wanted.subject is not None:
        query = query.where(AuditRow.subject == wanted.subject)
    if wanted.since is not None:
        query = query.where(AuditRow.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AuditRow.at < wanted.until)
    if wanted.before is not None:
        query = query.where(AuditRow.id < wanted.before)
    return query


def _shown(row: AuditRow) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        at=row.at,
        action=row.action,
        who=row.who,
        person=row.person or None,
        subject=row.subject,
        source=row.source,
        times=row.times,
    )
