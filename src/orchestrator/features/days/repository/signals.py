"""What agents said last: the cache of the agent client, in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, delete, func, select

from orchestrator.agents.remote import CachedSignal
from orchestrator.core.batches import Batches
from orchestrator.features.days.day import SOCRATIC, TA
from orchestrator.features.days.tables import DaySessionRow, IntentRow, SignalRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.db import Database

# What these two say depends on the days that were done: with the next one it is to be asked for again.
LOOKING_BACK: Final = frozenset({TA, SOCRATIC})
DAY_S: Final = 86_400
KEPT_S: Final = 60 * DAY_S
"""How old a signal may be that stands in for an agent; four times as old as the oldest fresh one."""

_LAST_DONE: Final = select(func.max(DaySessionRow.completed_at)).scalar_subquery()
_OF_QUESTIONS: Final = (
    SignalRow.agent.in_(bindparam("agents", expanding=True)),
    SignalRow.key.in_(bindparam("keys", expanding=True)),
)
_KEPT: Final = select(SignalRow).where(*_OF_QUESTIONS)
_KEPT_AND_LAST_DONE: Final = select(SignalRow, _LAST_DONE).where(*_OF_QUESTIONS)
_OLDEST: Final = select(func.min(SignalRow.confirmed_at)).scalar_subquery()
# Until we have committed, an erasure waits, and then finds what was kept here.
_ANY_INTENT: Final = select(IntentRow.id, _OLDEST).limit(1).with_for_update(read=True, key_share=True)

# The agent, and the digest of what it is asked.
Question = tuple[str, str]


class SignalTable:
    """A `SignalCache`: one row for each question of a person to an agent.

    What is asked for, or to be kept, for one person at the same time is one transaction. New ones take those
    with them that have grown too old, so that the table does not grow for ever.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reads = Batches(self._read)
        self._writes = Batches(self._write)

    async def get(self, owner: str, agent: str, key: str) -> CachedSignal | None:
        """What is kept."""
        return await self._reads.ask(owner, (agent, key))

    async def put(self, owner: str, agent: str, key: str, signal: CachedSignal) -> None:
        """Keep ``signal`` in place of what was there, unless its owner was erased before it came."""
        await self._writes.ask(owner, ((agent, key), signal))

    async def close(self) -> None:
        """Wait for what is read and written still; then the database may be closed."""
        await self._reads.close()
        await self._writes.close()

    async def _read(self, owner: str, questions: Sequence[Question]) -> list[CachedSignal | None]:
        async with self._database.session(owner, has_time=True) as session:
            rows = await session.rows(_KEPT_AND_LAST_DONE, **_named(questions))
        kept = {}
        for row, done in rows:
            outdated = row.agent in LOOKING_BACK and done is not None and done.timestamp() > row.confirmed_at
            signal = CachedSignal(row.data, row.etag, row.fetched_at, row.confirmed_at, outdated)
            kept[row.agent, row.key] = signal
        return [kept.get(question) for question in questions]

    async def _write(self, owner: str, given: Sequence[tuple[Question, CachedSignal]]) -> list[None]:
        signals = dict(given)  # of two for one question, the later one
        async with self._database.session(owner, has_time=True) as session:
            await session.alone(f"the signals of {owner}")
            rows = {(row.agent, row.key): row for row in await session.all(_KEPT, **_named([*signals]))}
            oldest: float | None = None
            if signals.keys() > rows.keys():
                found = await session.rows(_ANY_INTENT)
                if not found:
                    return [None] * len(given)
                [(_, oldest)] = found
            for (agent, key), signal in signals.items():
                row = rows.get((agent, key))
                if row is None:
                    row = SignalRow(owner=owner, agent=agent, key=key)
                    session.add(row)
                row.data = signal.data
                row.etag = signal.etag
                row.fetched_at = signal.fetched_at
                row.confirmed_at = signal.confirmed_at
            too_old = min(signal.confirmed_at for signal in signals.values()) - KEPT_S
            if oldest is not None and oldest < too_old:
                await session.change(delete(SignalRow).where(SignalRow.confirmed_at < too_old))
        return [None] * len(given)


def _named(questions: Sequence[Question]) -> dict[str, list[str]]:
    """They are found by both columns of the key; a digest belongs to one agent."""
    return {"agents": [agent for agent, _ in questions], "keys": [key for _, key in questions]}
