"""One history for SQLite and PostgreSQL: it leads to the classes, and no row is lost on its way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, select, text

from orchestrator.agents.spending import SpendingRow
from orchestrator.db import SYSTEM
from orchestrator.db.migrating import APPLICATION_ID, MIGRATIONS, migrations, newest
from orchestrator.db.postgres import MARK
from orchestrator.features.days.tables import DaySessionRow, IntentRow, SignalRow
from orchestrator.features.lessons.tables import SessionRow
from orchestrator.web.audit.tables import AuditRow
from orchestrator.web.auth.keys.tables import ApiKeyRow
from orchestrator.web.events.tables import OutboxRow
from orchestrator.web.idempotency.tables import IdempotencyRow
from orchestrator.web.webhooks.tables import DeliveryRow, WebhookRow

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from orchestrator.db import Database
    from support.tables import Tables

FILLS = Path(__file__).parent / "fills"
REVISIONS = sorted(script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions())

Rows = dict[str, list[dict[str, Any]]]


def test_every_revision_has_rows_to_be_upgraded() -> None:
    """Whoever adds a migration writes down what tables at its revision may hold."""
    assert sorted(fill.stem for fill in FILLS.iterdir()) == REVISIONS


async def test_migrations_from_nothing_equal_the_tables(tables: Tables) -> None:
    """What the migrations build is exactly what the classes declare."""
    async with tables.database() as database:
        await database.store.apart(lambda connection: command.check(migrations(connection)))


async def test_migrations_can_be_undone(tables: Tables) -> None:
    """Each migration knows its way back, and leaves nothing of its own."""
    async with tables.database() as database:
        await database.store.apart(lambda connection: command.downgrade(migrations(connection), "base"))
        left = await database.store.apart(rows_in)
    assert left == {}


@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_filled_database_of_every_revision_is_upgraded(tables: Tables, revision: str) -> None:
    """Every row is there afterwards with all that it had, and the classes read it."""
    before = await filled_at(revision, tables.database())

    async with tables.database() as database:
        after = await database.store.apart(rows_in)
        async with database.session(SYSTEM) as session:
            sessions = await session.all(select(SessionRow))
            spent = await session.all(select(SpendingRow))
            told = await session.all(select(OutboxRow))
            webhooks = await session.all(select(WebhookRow))
            deliveries = await session.all(select(DeliveryRow))
            answered = await session.all(select(IdempotencyRow))
            days = [len(await session.all(select(row))) for row in (IntentRow, DaySessionRow, SignalRow)]
            keys = await session.all(select(ApiKeyRow))
            audited = await session.all(select(AuditRow))
            found = await database.pending()

    assert not found.changes
    assert kept_of(after, before) == before
    assert len(sessions) == len(before["lesson_sessions"]) >= 3
    assert len(spent) == len(before["lesson_spending"]) >= 1
    assert len(told) == len(before.get("outbox", []))
    assert len(webhooks) == len(before.get("webhooks", []))
    assert len(deliveries) == len(before.get("webhook_deliveries", []))
    assert len(keys) == len(before.get("api_keys", []))
    assert len(audited) == len(before.get("audit_entries", []))
    assert len(answered) == len(before.get("idempotency_keys", []))
    assert days == [len(before.get(name, [])) for name in ("day_intents", "day_sessions", "day_signals")]
    assert all(row.created_at.utcoffset() is not None for row in sessions)


async def test_what_is_pending_is_told_without_a_change(tables: Tables) -> None:
    """An older database is at its revision before and after it was looked at."""
    oldest = REVISIONS[0]
    await filled_at(oldest, tables.database())
    database = tables.database()
    seen = [await database.pending(), await database.pending()]
    done = await database.migrate(lambda: None)
    await database.close()
    assert {(found.before, found.after, found.changes) for found in seen} == {(oldest, newest(), True)}
    assert done == seen[0]


async def filled_at(revision: str, database: Database) -> Rows:
    """Make the tables of ``revision`` as its version did, with its rows; all of them."""

    def fill(connection: Connection) -> Rows:
        command.upgrade(migrations(connection), revision)
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"COMMENT ON TABLE alembic_version IS '{MARK}'"))
            connection.execute(text("SET LOCAL TIME ZONE 'UTC'"))
        else:
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        for statement in (FILLS / f"{revision}.sql").read_text().split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        return rows_in(connection)

    rows = await database.store.apart(fill)
    await database.close()
    return rows


def rows_in(connection: Connection) -> Rows:
    """All rows by table, in the order of their keys."""
    kept = MetaData()
    kept.reflect(connection)
    return {
        table.name: [
            dict(row._mapping)
            for row in connection.execute(table.select().order_by(*table.primary_key.columns))
        ]
        for table in kept.sorted_tables
        if table.name != "alembic_version"
    }


def kept_of(after: Rows, before: Rows) -> Rows:
    """Of ``after``, the tables and columns that ``before`` had."""
    return {
        name: [{column: row[column] for column in earlier[0]} for row in after[name]]
        for name, earlier in before.items()
    }
