"""Where spent tokens are written down: one ledger for all rooms, since the day's cap counts all of them."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from sqlalchemy import String, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.core.patience import patiently
from orchestrator.db import SYSTEM, Base, Owned

if TYPE_CHECKING:
    from orchestrator.agents.budget import Check, Entry
    from orchestrator.core.clock import Clock
    from orchestrator.db import Database

UUID_CHARS = 36
LONGEST_KEY_CHARS = 255


class SpendingRow(Owned, Base):
    """Tokens of one call of a model: the most it can take, until it is known what it took.

    It outlives its session, since the day's cap counts it. The table has the name of the first room.
    """

    __tablename__ = "lesson_spending"

    key: Mapped[str] = mapped_column(String(LONGEST_KEY_CHARS), primary_key=True)
    session_id: Mapped[str] = mapped_column(String(UUID_CHARS), index=True)
    tokens: Mapped[int]
    day: Mapped[date] = mapped_column(index=True)


_tokens = select(func.sum(SpendingRow.tokens))


class SpendingLedger:
    """Where spent tokens are written down: the `Ledger` of the budget.

    It waits for tables that are away: a step that gave up would ask, and pay, its model again.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def reserve(self, entry: Entry, check: Check) -> None:
        """Keep a new entry, durable when this returns, unless ``check`` raises."""
        await patiently(lambda: self._reserve(entry, check), self._clock)

    async def settle(self, entry: Entry) -> None:
        """Give the kept entry of that key this one's tokens; durable when this returns."""
        await patiently(lambda: self._settle(entry), self._clock)

    async def _reserve(self, entry: Entry, check: Check) -> None:
        async with self._database.session(SYSTEM) as session:
            await session.alone(SpendingRow.__tablename__)
            if await session.one(select(SpendingRow.key).where(SpendingRow.key == entry.key)):
                return  # kept before, and the answer was lost
            in_session = await session.one(_tokens.where(SpendingRow.session_id == entry.session))
            on_day = await session.one(_tokens.where(SpendingRow.day == entry.day))
            check(in_session or 0, on_day or 0)
            session.add(
                SpendingRow(
                    key=entry.key,
                    owner=entry.owner,
                    session_id=entry.session,
                    tokens=entry.tokens,
                    day=entry.day,
                )
            )

    async def _settle(self, entry: Entry) -> None:
        settled = update(SpendingRow).where(SpendingRow.key == entry.key).values(tokens=entry.tokens)
        async with self._database.session(entry.owner) as session:
            await session.change(settled)
