"""The ledger of spent tokens, on both databases."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from datetime import date
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from orchestrator.agents.budget import Account, Budget, Entry, Limits
from orchestrator.agents.spending import SpendingLedger, SpendingRow
from orchestrator.core.clock import SystemClock
from orchestrator.core.errors import BudgetExceededError
from orchestrator.db import SYSTEM

if TYPE_CHECKING:
    from support.tables import Tables

ACCOUNT = Account(owner="ann", session="s-1", step_key="s-1/content", attempt=1)


@pytest.mark.parametrize("limits", [Limits(session_tokens=500), Limits(daily_tokens=599)])
async def test_calls_of_all_processes_together_cannot_pass_a_limit(tables: Tables, limits: Limits) -> None:
    """What is spent is summed and the next call is written down while no other one can be."""
    # A second process has connections of its own; a SQLite file has one process alone.
    second = tables.database() if tables.url else None
    async with tables.database() as one, second or nullcontext(one) as other:
        budgets = [Budget(SpendingLedger(database, SystemClock()), limits) for database in (one, other)]
        asked = [budget.reserve(ACCOUNT, 100) for budget in budgets for _ in range(10)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        async with one.session(SYSTEM) as session:
            kept = await session.one(select(func.sum(SpendingRow.tokens)))

    assert [type(answer) for answer in answers].count(Entry) == 5
    assert {type(answer) for answer in answers} == {Entry, BudgetExceededError}
    assert kept == 500


async def test_what_a_call_took_takes_the_place_of_its_most(tables: Tables) -> None:
    """Once or more often, and of that entry alone."""
    async with tables.database() as database:
        budget = Budget(SpendingLedger(database, SystemClock()), Limits())
        entry, _ = [await budget.reserve(ACCOUNT, 100) for _ in range(2)]
        for _ in range(2):
            await budget.settle(entry, 7)
        async with database.session("ann") as session:
            rows = await session.all(select(SpendingRow).order_by(SpendingRow.tokens))
    assert [(row.tokens, row.session_id, row.day) for row in rows] == [
        (7, "s-1", entry.day),
        (100, "s-1", entry.day),
    ]
    assert isinstance(entry.day, date)


async def test_a_call_that_is_written_down_again_counts_once(tables: Tables) -> None:
    """Whoever lost the answer, not knowing whether the entry was kept, may ask again."""
    async with tables.database() as database:
        ledger = SpendingLedger(database, SystemClock())
        entry = await Budget(ledger, Limits()).reserve(ACCOUNT, 100)
        await ledger.reserve(entry, lambda *_: pytest.fail("it is kept already"))
        async with database.session(SYSTEM) as session:
            rows = await session.all(select(SpendingRow))
    assert [row.tokens for row in rows] == [100]
