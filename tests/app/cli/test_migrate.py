"""`orchestrator migrate`: alone at a time, and never on what is not ours."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import asyncpg
import pytest

from orchestrator.app.cli.exits import ExitCode
from orchestrator.app.data_dir import TABLES_FILE, claimed
from orchestrator.db.migrating import APPLICATION_ID, newest

if TYPE_CHECKING:
    from support.command import CommandLine
    from support.tables import Tables

pytestmark = pytest.mark.acceptance


@pytest.fixture
def command(orchestrator: CommandLine, tables: Tables) -> CommandLine:
    """The command line, told where the tables are."""
    if tables.url:
        orchestrator.environment["ORCHESTRATOR_DATABASE_URL"] = tables.url
    return orchestrator


def test_tables_are_made_once(command: CommandLine, tables: Tables) -> None:
    """`--check` says what would be, by its exit code too, and changes nothing; afterwards nothing is left."""
    place = tables.url.partition("@")[2].partition("?")[0] if tables.url else TABLES_FILE
    asked = command("migrate", "--check")
    assert (asked.returncode, command("migrate", "--check").stdout) == (ExitCode.MISFIT, asked.stdout)
    assert asked.stdout.endswith(f"{place}: tables would be made, at {newest()}\n")
    made = command("migrate", "--json")
    told = json.loads(made.stdout)
    assert made.returncode == ExitCode.OK
    assert told["tables"].endswith(place)
    assert (told["from"], told["to"], told["migrated"]) == (None, newest(), True)
    again = command("migrate")
    assert (again.returncode, again.stderr) == (ExitCode.OK, "")
    assert f"the tables are at {newest()}" in again.stdout
    checked = command("migrate", "--check", "--json")
    assert (checked.returncode, json.loads(checked.stdout)["pending"]) == (ExitCode.OK, False)


async def test_of_several_at_once_one_migrates(command: CommandLine) -> None:
    """The others wait for it, and find everything done."""
    ended = await asyncio.gather(*[asyncio.to_thread(command, "migrate", "--json") for _ in range(3)])
    assert [process.returncode for process in ended] == [ExitCode.OK] * 3
    assert sorted(json.loads(process.stdout)["migrated"] for process in ended) == [False, False, True]


async def test_who_waits_says_for_whom(command: CommandLine, tables: Tables) -> None:
    """On PostgreSQL for the lock in the database, on SQLite for the process that has the data directory."""
    async with AsyncExitStack() as other:
        if tables.url:
            connection = await asyncpg.connect(tables.url)
            other.push_async_callback(connection.close)
            await connection.execute(f"SELECT pg_advisory_lock({APPLICATION_ID})")
        else:
            other.enter_context(claimed(command.data_dir))
        with command.started("migrate") as process:
            assert process.stderr is not None
            said = await asyncio.to_thread(process.stderr.readline)
            await other.aclose()
            code = await asyncio.to_thread(process.wait)
    assert said.startswith("Another process migrates postgres://" if tables.url else "The process with pid ")
    assert said.endswith("; waiting for it.\n")
    assert code == ExitCode.OK


def test_a_services_tables_are_left_to_it(orchestrator: CommandLine) -> None:
    """It has migrated them, and has their file alone; the sentence says who it is."""
    orchestrator.environment["ORCHESTRATOR_SERVER_METRICS_PORT"] = "0"
    with orchestrator.started("serve", "--port", "0", "--json") as process:
        assert process.stdout is not None
        process.stdout.readline()
        refused = orchestrator("migrate")
        checked = orchestrator("migrate", "--check")
    assert refused.returncode == ExitCode.CONFLICT
    assert f"in use by the process with pid {process.pid}" in refused.stderr
    assert checked.returncode == ExitCode.OK


def test_a_database_that_is_away_is_worth_another_try(orchestrator: CommandLine, free_port: int) -> None:
    """The exit code says so, and the sentence names no password."""
    url = f"postgres://ann:hunter2@127.0.0.1:{free_port}/name"
    orchestrator.environment["ORCHESTRATOR_DATABASE_URL"] = url
    ended = orchestrator("migrate")
    assert ended.returncode == ExitCode.UNAVAILABLE
    assert f"Error: postgres://127.0.0.1:{free_port}/name cannot be reached right now" in ended.stderr
    assert "hunter2" not in ended.stderr
