"""What agents said last: the cache of the agent client, in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, select

from orchestrator.agents.remote import CachedSignal
from orchestrator.features.days.day import SOCRATIC, TA
from orchestrator.features.days.tables import DaySessionRow, IntentRow, SignalRow

if TYPE_CHECKING:
    from sqlalchemy import Select

    from orchestrator.db import Database


# What these two say depends on the days that were done: with the next one it is to be asked for again.
LOOKING_BACK: Final = frozenset({TA, SOCRATIC})
# Until we have committed, an erasure waits, and then finds what was kept here.
_ANY_INTENT: Final = select(IntentRow.id).limit(1).with_for_update(read=True, key_share=True)
_LAST_DONE: Final = select(func.max(DaySessionRow.completed_at)).scalar_subquery()

DAY_S: Final = 86_400
KEPT_S: Final = 60 * DAY_S
"""How old a signal may be that stands in for an agent; four times as old as the oldest fresh one."""


class SignalTable:
    """A `SignalCache`: one row for each question of a person to an agent.

    Each new one takes those with it that have grown too old, so that the table does not grow for ever.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, owner: str, agent: str, key: str) -> CachedSignal | None:
        """What is kept."""
        async with self._database.session(owner) as session:
            found = await session.rows(_at(agent, key).add_columns(_LAST_DONE))
        for row, done in found:
            outdated = agent in LOOKING_BACK and done is not None and done.timestamp() > row.confirmed_at
            return CachedSignal(row.data, row.etag, row.fetched_at, row.confirmed_at, outdated)
        return None

    async def put(self, owner: str, agent: str, key: str, signal: CachedSignal) -> None:
        """Keep ``signal`` in place of what was there, unless its owner was erased before it came."""
        async with self._database.session(owner) as session:
            await session.alone(f"the signal {key} of {owner}")
            row = await session.one(_at(agent, key))
            if row is None:
                if await session.one(_ANY_INTENT) is None:
                    return
                too_old = SignalRow.confirmed_at < signal.confirmed_at - KEPT_S
                await session.change(delete(SignalRow).where(SignalRow.agent == agent, too_old))
                row = SignalRow(owner=owner, agent=agent, key=key)
                session.add(row)
            row.data = signal.data
            row.etag = signal.etag
            row.fetched_at = signal.fetched_at
            row.confirmed_at = signal.confirmed_at


def _at(agent: str, key: str) -> Select[SignalRow]:
    return select(SignalRow).where(SignalRow.agent == agent, SignalRow.key == key)
