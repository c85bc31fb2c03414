"""All SQL of lessons."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update

from orchestrator.core.errors import NotFoundError
from orchestrator.db import SYSTEM
from orchestrator.features.lessons import announcements
from orchestrator.features.lessons.kept import Kept
from orchestrator.features.lessons.lesson import Material
from orchestrator.features.lessons.schemas import Metadata
from orchestrator.features.lessons.tables import Intent, SessionRow

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.db import Database
    from orchestrator.web.events import Outbox


_ID = re.compile(r"[\w.-]{1,36}", re.ASCII)
_HEADING = re.compile(r"\s*#[ \t]+([^\r\n]{1,200}?)[ \t#]*(?:[\r\n]|$)")


class SessionRepository:
    """The sessions' rows. Every call is one transaction."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def add(self, owner: str, row: SessionRow) -> None:
        """Keep a new session, and tell of it; once for each id."""
        there = select(SessionRow.id).where(SessionRow.id == row.id)
        async with self._database.session(owner) as session:
            if await session.one(there) is None:
                session.add(row)
                self._outbox.add(session, announcements.created(owner, row))

    async def find(self, owner: str, session_id: str) -> SessionRow | None:
        """The owner's session of that id."""
        if not _ID.fullmatch(session_id):  # text that no database would take for an id
            return None
        async with self._database.session(owner) as session:
            return await session.one(select(SessionRow).where(SessionRow.id == session_id))

    async def brought(self, owner: str, session_id: str) -> Metadata:
        """What the learner brought to the session; nothing where the owner has none of that id."""
        async with self._database.session(owner) as session:
            kept = await session.one(select(SessionRow.brought).where(SessionRow.id == session_id))
        return Metadata.model_validate(kept or {})

    async def page(self, owner: str, limit: int, before: str | None) -> list[SessionRow]:
        """The owner's sessions, newest first, older than the one of id ``before``."""
        query = select(SessionRow).order_by(SessionRow.id.desc()).limit(limit)
        if before is not None:
            query = query.where(SessionRow.id < before)
        async with self._database.session(owner) as session:
            return await session.all(query)

    async def count(self, owner: str) -> int:
        """How many sessions the owner has."""
        async with self._database.session(owner) as session:
            return await session.one(select(func.count()).select_from(SessionRow)) or 0

    async def promise_run(self, row: SessionRow) -> bool:
        """Promise one more run than ``row`` has had; False when somebody else did something meanwhile."""
        seen = (SessionRow.id == row.id, SessionRow.runs == row.runs, SessionRow.intent != Intent.DELETE)
        promise = update(SessionRow).where(*seen).values(runs=row.runs + 1, intent=Intent.LAUNCH)
        async with self._database.session(row.owner) as session:
            return bool(await session.change(promise))

    async def run_started(self, row: SessionRow) -> None:
        """The run that ``row`` promises has been started; one that was promised since has not."""
        kept = (SessionRow.id == row.id, SessionRow.runs == row.runs, SessionRow.intent == Intent.LAUNCH)
        async with self._database.session(row.owner) as session:
            await session.change(update(SessionRow).where(*kept).values(intent=Intent.NONE))

    async def unkept(self) -> list[SessionRow]:
        """Everybody's sessions whose last run is not kept: it has not ended, or not long ago."""
        async with self._database.session(SYSTEM) as session:
            return await session.all(select(SessionRow).where(SessionRow.kept_run < SessionRow.runs))

    async def keep(self, row: SessionRow, status: str, ended_at: datetime, kept: Kept) -> None:
        """Write down how the session's last run ended, and tell of it, unless another one came since."""
        values = {
            "kept_run": row.runs,
            "ended_as": status,
            "ended_at": ended_at,
            "kept": kept.model_dump(mode="json"),
        }
        seen = (SessionRow.id == row.id, SessionRow.runs == row.runs, SessionRow.kept_run < row.runs)
        async with self._database.session(row.owner) as session:
            if await session.change(update(SessionRow).where(*seen).values(**values)):
                self._outbox.add(session, announcements.ended(row, status))

    async def kept(self, row: SessionRow) -> Kept | None:
        """What is kept of the session's last run."""
        query = select(SessionRow.kept).where(SessionRow.id == row.id, SessionRow.kept_run == row.runs)
        async with self._database.session(row.owner) as session:
            found = await session.one(query)
        return None if found is None else Kept.model_validate(found)

    async def promise_delete(self, owner: str, session_id: str) -> None:
        """Promise that the session will go, whatever happens."""
        promise = update(SessionRow).where(SessionRow.id == session_id).values(intent=Intent.DELETE)
        async with self._database.session(owner) as session:
            await session.change(promise)

    async def remove(self, owner: str, session_id: str) -> None:
        """Forget the session. What it spent stays counted."""
        async with self._database.session(owner) as session:
            await session.change(delete(SessionRow).where(SessionRow.id == session_id))

    async def promised(self) -> list[SessionRow]:
        """Everybody's sessions with something promised that may not have happened."""
        async with self._database.session(SYSTEM) as session:
            return await session.all(select(SessionRow).where(SessionRow.intent != Intent.NONE))

    async def materials(self, owner: str, session_id: str) -> list[Material]:
        """What the learner brought, every piece with a title.

        Raises:
            NotFoundError: the session is gone, and nobody wants its lesson any more.
        """
        if await self.find(owner, session_id) is None:
            raise NotFoundError("The session of this lesson is gone.", code="session_not_found")
        brought = await self.brought(owner, session_id)
        return [
            Material(title=given.title or titled(given.text, number), text=given.text)
            for number, given in enumerate(brought.materials, start=1)
        ]


def titled(text: str, number: int) -> str:
    """What to call a text without a title: its first heading, or its place in the list."""
    heading = _HEADING.match(text)
    return heading[1] if heading else f"Material {number}"
