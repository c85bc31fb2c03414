"""What agents said last: the cache of the agent client, in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from orchestrator.agents.remote import CachedSignal
from orchestrator.features.days.day import SOCRATIC, TA
from orchestrator.features.days.tables import DaySessionRow, SignalRow

if TYPE_CHECKING:
    from sqlalchemy import Select

    from orchestrator.db import Database


# What these two say depends on the days that were done: with the next one it is to be asked for again.
LOOKING_BACK: Final = frozenset({TA, SOCRATIC})
_LAST_DONE: Final = select(func.max(DaySessionRow.completed_at))


class SignalTable:
    """A `SignalCache`: one row for each question of a person to an agent."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, owner: str, agent: str, key: str) -> CachedSignal | None:
        """What is kept."""
        async with self._database.session(owner) as session:
            row = await session.one(_at(agent, key))
            if row is None:
                return None
            done = await session.one(_LAST_DONE) if agent in LOOKING_BACK else None
        outdated = done is not None and done.timestamp() > row.confirmed_at
        return CachedSignal(row.data, row.etag, row.fetched_at, row.confirmed_at, outdated)

    async def put(self, owner: str, agent: str, key: str, signal: CachedSignal) -> None:
        """Keep ``signal``, unless something newer is kept."""
        async with self._database.session(owner) as session:
            await session.alone(f"the signal {key} of {owner}")
            row = await session.one(_at(agent, key))
            if row is None:
                row = SignalRow(owner=owner, agent=agent, key=key)
                session.add(row)
            elif row.confirmed_at > signal.confirmed_at:
                return
            row.data = signal.data
            row.etag = signal.etag
            row.fetched_at = signal.fetched_at
            row.confirmed_at = signal.confirmed_at


def _at(agent: str, key: str) -> Select[SignalRow]:
    return select(SignalRow).where(SignalRow.agent == agent, SignalRow.key == key)
