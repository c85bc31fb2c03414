"""Sessions know their owner: nobody sees or touches what belongs to another."""

from __future__ import annotations

import asyncio
import gc
import traceback
from datetime import UTC
from typing import TYPE_CHECKING, Final, cast

import pytest
from sqlalchemy import (
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    text,
    union,
    union_all,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from orchestrator.core.errors import ConflictError, ForbiddenError, InternalError, InvalidInputError
from orchestrator.db import SYSTEM
from orchestrator.db import session as session_module
from orchestrator.features.lessons.tables import SessionRow
from support.session_rows import MORNING, row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Select

    from orchestrator.db import Database
    from support.tables import Tables


@pytest.fixture
async def database(tables: Tables) -> AsyncIterator[Database]:
    """A new database with one row of each of two owners."""
    async with tables.database() as database:
        for owner in ("ann", "bob"):
            async with database.session(owner) as session:
                session.add(row(f"of-{owner}"))
        yield database


async def everything(database: Database) -> dict[str, str]:
    """All rows, whoever they belong to: owner and topic."""
    async with database.session(SYSTEM) as session:
        return {found.owner: found.topic for found in await session.all(select(SessionRow))}


async def test_a_new_row_gets_its_sessions_owner(database: Database) -> None:
    """What is inserted without an owner belongs to whoever the session is of."""
    assert set(await everything(database)) == {"ann", "bob"}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (select(SessionRow.id), ["of-ann"]),
        (select(SessionRow.id).where(SessionRow.owner == "bob"), []),
        (select(aliased(SessionRow).id), ["of-ann"]),
        (select(func.count()).select_from(SessionRow), [1]),
        (select(func.max(SessionRow.id)), ["of-ann"]),
        (
            select(select(func.max(SessionRow.id)).scalar_subquery().label("m")).select_from(SessionRow),
            ["of-ann"],
        ),
        (select(SessionRow.id).where(SessionRow.id.in_(select(aliased(SessionRow).id))), ["of-ann"]),
    ],
)
async def test_a_select_finds_its_owners_rows_only(
    database: Database, statement: object, expected: list[object]
) -> None:
    """However it is written: by column, alias, aggregate or subquery."""
    async with database.session("ann") as session:
        assert await session.all(statement) == expected  # type: ignore[arg-type]  # of several types


_OTHER: Final = aliased(SessionRow)
_WITH: Final = select(SessionRow.id).cte()
_WITHIN: Final = select(SessionRow.id).subquery()


_KEPT: Final[tuple[Select[str], ...]] = (
    select(SessionRow.id),
    select(_OTHER.id),
    select(_WITH.c.id),
    select(_WITHIN.c.id),
    cast("Select[str]", union(select(SessionRow.id), select(_OTHER.id))),
    select(union_all(select(SessionRow.id)).subquery().c.id),
    select(SessionRow.id).join(_OTHER, _OTHER.id == SessionRow.id),
    select(SessionRow.id).where(exists(select(_OTHER.id).where(_OTHER.id == SessionRow.id))),
    select(SessionRow.id).where(SessionRow.topic == bindparam("topic")),
)


async def test_statements_that_are_kept_are_asked_by_one_after_the_other(database: Database) -> None:
    """Each gets their own, whoever asked before, and whatever owner is given by name."""
    everybodys = ["of-ann", "of-bob"]
    for who in ("ann", SYSTEM, "bob", "ann", "carl", SYSTEM, "bob"):
        async with database.session(who) as session:
            found = [await session.all(each, topic="tides", session_owner="bob") for each in _KEPT]
        theirs = [name for name in everybodys if who is SYSTEM or name == f"of-{who}"]
        assert [sorted(each) for each in found] == [theirs] * len(_KEPT)


async def test_a_removal_that_is_kept_is_its_sessions_own(database: Database) -> None:
    """Of the same statement, too."""
    removal = delete(SessionRow).where(SessionRow.id.in_(select(_OTHER.id)))
    for who in ("carl", "ann"):
        async with database.session(who) as session:
            assert await session.change(removal) == (who == "ann")
    assert set(await everything(database)) == {"bob"}


async def test_no_more_statements_are_kept_than_there_are(database: Database) -> None:
    """One that is gone takes its filter with it."""
    gc.collect()
    before = len(session_module._narrowed)
    async with database.session("ann") as session:
        for number in range(9):
            await session.all(select(SessionRow.id).where(SessionRow.id == f"{number}"))
            await session.change(delete(SessionRow).where(SessionRow.id == f"{number}"))
    gc.collect()
    assert len(session_module._narrowed) <= before


async def test_another_owners_rows_are_not_changed_or_deleted(database: Database) -> None:
    """Updates and deletes reach the session's owner's rows only, also when they ask for all."""
    async with database.session("ann") as session:
        assert await session.change(update(SessionRow).values(topic="mine")) == 1
        assert await session.change(delete(SessionRow).where(SessionRow.owner == "bob")) == 0
    assert await everything(database) == {"ann": "mine", "bob": "tides"}


async def test_to_change_what_is_gone_meanwhile_is_a_conflict(database: Database) -> None:
    """As when an erasure beside a session removes what it has read."""

    async def change_what_is_gone() -> None:
        async with database.session("ann") as session:
            [found] = await session.all(select(SessionRow))
            await session.change(delete(SessionRow))
            found.topic = "ebb"

    with pytest.raises(ConflictError, match="What was to be changed is gone meanwhile"):
        await change_what_is_gone()
    assert set(await everything(database)) == {"ann", "bob"}


async def test_a_row_in_another_name_is_refused(database: Database) -> None:
    """Neither a new row nor a given away one may carry another's name, and the transaction is undone."""
    with pytest.raises(ForbiddenError, match="belongs to someone else"):
        async with database.session("ann") as session:
            session.add(row("forged", owner="bob"))

    async def give_away() -> None:
        async with database.session("ann") as session:
            for own in await session.all(select(SessionRow)):
                own.owner = "bob"

    with pytest.raises(ForbiddenError, match="belongs to someone else"):
        await give_away()
    assert await everything(database) == {"ann": "tides", "bob": "tides"}


@pytest.mark.parametrize(
    "statement",
    [
        text("SELECT * FROM lesson_sessions"),
        select(SessionRow.__table__),
        SessionRow.__table__.delete(),  # type: ignore[attr-defined]  # a Table at run time
        insert(SessionRow).values(id="x"),
    ],
)
async def test_statements_past_the_mapped_classes_are_refused(database: Database, statement: object) -> None:
    """Plain SQL, table-level statements and bulk inserts cannot be narrowed to an owner."""
    async with database.session("ann") as session:
        with pytest.raises(InternalError, match="mapped classes"):
            await session.all(statement)  # type: ignore[arg-type]  # what the types forbid too


async def test_the_system_must_name_the_owner_of_what_it_inserts(database: Database) -> None:
    """A row without an owner cannot exist."""
    with pytest.raises(IntegrityError, match="owner"):
        async with database.session(SYSTEM) as session:
            session.add(row("nobodys"))


async def test_a_session_of_nobody_is_refused(database: Database) -> None:
    """An empty owner is a mistake of the caller, not a way to see nothing."""
    with pytest.raises(ValueError, match="needs an owner"):
        async with database.session(""):
            pass


HOSTILE_OWNERS = (
    "ann' OR '1'='1",
    'ann"; RESET ROLE; --',
    "ann\nbob",
    "ann,bob",
    "ann ",
    "ANN",
    "%",
    "none",
    "orchestrator_system",
    "åsa 潮 🌊",
    "x" * 255,
    "潮" * 255,
)


async def test_an_owner_is_taken_to_the_letter(database: Database) -> None:
    """Whatever is in the name, it is one name: it has its own rows, and sees no other's."""
    for owner in HOSTILE_OWNERS:
        async with database.session(owner) as session:
            assert await session.all(select(SessionRow)) == []
            session.add(row("theirs"))
        async with database.session(owner) as session:
            assert [found.owner for found in await session.all(select(SessionRow))] == [owner]
            assert await session.change(delete(SessionRow)) == 1
    assert set(await everything(database)) == {"ann", "bob"}


async def test_an_owner_that_cannot_be_kept_is_the_callers_mistake(database: Database) -> None:
    """The same on both databases: 400, and no session."""
    for owner in ("a\0nn", "\0", "ann\ud800", "x" * 256):
        with pytest.raises(InvalidInputError, match=r"user's name (has|holds)"):
            async with database.session(owner):
                pass


async def test_an_error_undoes_the_transaction(database: Database) -> None:
    """What was added before an error is not there after it."""

    async def fail_half_way() -> None:
        async with database.session("ann") as session:
            session.add(row("half"))
            await session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_half_way()
    async with database.session("ann") as session:
        assert await session.all(select(SessionRow.id)) == ["of-ann"]


async def test_an_error_does_not_tell_what_was_in_the_row(database: Database) -> None:
    """Logs get what failed, not what a learner brought."""

    async def add_twice() -> None:
        async with database.session("ann") as session:
            session.add(row("of-ann", topic="my diagnosis"))

    with pytest.raises(IntegrityError) as failed:
        await add_twice()
    assert "INSERT INTO lesson_sessions" in str(failed.value)
    assert "diagnosis" not in "".join(traceback.format_exception(failed.value))


async def test_cancelled_callers_do_not_keep_the_connection(database: Database) -> None:
    """Requests are cancelled at any point, and none may leave its locks behind."""

    async def write(number: int) -> None:
        async with database.session("ann") as session:
            session.add(row(f"never-{number}"))
            await session.flush()
            await session.all(select(SessionRow.id))
            raise RuntimeError

    for turns in range(40):
        writing = asyncio.create_task(write(turns))
        for _ in range(turns):
            await asyncio.sleep(0.0002)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    async with database.session("ann") as session:
        assert await session.all(select(SessionRow.id)) == ["of-ann"]


async def test_moments_come_back_aware_and_in_utc(database: Database) -> None:
    """SQLite keeps no time zone; the column type does."""
    async with database.session("ann") as session:
        found = await session.one(select(SessionRow))
    assert found is not None
    assert found.created_at == MORNING
    assert found.created_at.tzinfo is UTC


async def test_opening_again_keeps_the_rows(tables: Tables) -> None:
    """Migrating what is up to date changes nothing."""
    for _ in range(2):
        async with tables.database() as database, database.session("ann") as session:
            if not await session.all(select(SessionRow)):
                session.add(row("kept"))
    async with tables.database() as database:
        assert await everything(database) == {"ann": "tides"}
