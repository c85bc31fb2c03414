"""A person's rows, in every table whose rows belong to someone: a new such table needs nothing here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import to_jsonable_python
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from orchestrator.db import SYSTEM, Base, Owned
from orchestrator.web.audit.audit import ERASED
from orchestrator.web.auth.caller import Caller
from orchestrator.web.auth.keys.tables import ApiKeyRow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy import Update
    from sqlalchemy.orm import Mapper

    from orchestrator.db import Database

READ_AT_ONCE: Final = 50  # a lesson's row may have a megabyte
HIDDEN: Final = "[secret]"  # in place of what only a program should know


@dataclass(frozen=True, slots=True)
class Given:
    """How many rows and runs went to another owner, and how many rows stayed, as the other has the same."""

    moved: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    runs: int = 0


class Rows:
    """The rows of any person, across all tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self, user: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Each row, as JSON values by column, with its table's name; table by table."""
        for mapper in _owned():
            page = select(*_columns(mapper)).order_by(*_keys(mapper)).limit(READ_AT_ONCE)
            read = 0
            while rows := await self._read(user, page.offset(read)):
                read += len(rows)
                for row in rows:
                    yield str(mapper.local_table), _shown(mapper, row)

    async def remove(self, user: str) -> dict[str, int]:
        """Remove all of them in one transaction; how many, by table."""
        removed = {}
        async with self._database.session(user) as session:
            for mapper in reversed(_owned()):
                if count := await session.change(delete(mapper.class_)):
                    removed[str(mapper.local_table)] = count
        return removed

    async def unname(self, user: str) -> None:
        """Take their name out of what is others': the API keys that they made as an admin."""
        theirs = ApiKeyRow.created_by == Caller.of_user(user).name
        async with self._database.session(SYSTEM) as session:
            await session.change(update(ApiKeyRow).where(theirs).values(created_by=ERASED))

    async def give(self, giver: str, taker: str) -> Given:
        """Make them the taker's. What the taker has already, by a unique key, stays the giver's."""
        given = Given()
        for mapper in _owned():
            theirs = update(mapper.class_).where(mapper.class_.owner == giver).values(owner=taker)
            moved = await self._changed(theirs)
            if moved is None:
                moved, left = await self._given_one_by_one(mapper, giver, theirs)
                given.left[str(mapper.local_table)] = left
            if moved:
                given.moved[str(mapper.local_table)] = moved
        return given

    async def _given_one_by_one(self, mapper: Mapper[Any], giver: str, theirs: Update) -> tuple[int, int]:
        """How many rows went, and how many could not."""
        keys = _keys(mapper)
        async with self._database.session(SYSTEM) as session:
            found = await session.rows(select(*keys).where(mapper.class_.owner == giver))
        moved = 0
        for values in found:
            this = [key == value for key, value in zip(keys, values, strict=True)]
            moved += await self._changed(theirs.where(*this)) or 0
        return moved, len(found) - moved

    async def _changed(self, statement: Update) -> int | None:
        """How many rows it changed; None where it would make two of what there is to be one."""
        try:
            async with self._database.session(SYSTEM) as session:
                return await session.change(statement.execution_options(synchronize_session=False))
        except IntegrityError:
            return None

    async def _read(self, user: str, page: Any) -> Sequence[tuple[Any, ...]]:  # noqa: ANN401  # of any columns
        async with self._database.session(user) as session:
            return await session.rows(page)


def _owned() -> list[Mapper[Any]]:
    """The classes whose rows belong to someone, in an order in which they can be filled."""
    owned = {
        str(mapper.local_table): mapper
        for mapper in Base.registry.mappers
        if issubclass(mapper.class_, Owned)
    }
    return [owned[table.name] for table in Base.metadata.sorted_tables if table.name in owned]


def _columns(mapper: Mapper[Any]) -> list[Any]:
    return [getattr(mapper.class_, column.key) for column in mapper.column_attrs]


def _keys(mapper: Mapper[Any]) -> list[Any]:
    return [getattr(mapper.class_, mapper.get_property_by_column(key).key) for key in mapper.primary_key]


def _shown(mapper: Mapper[Any], row: Sequence[Any]) -> dict[str, Any]:
    columns = [column.columns[0] for column in mapper.column_attrs]
    shown = {
        column.name: HIDDEN if column.info.get("secret") else value
        for column, value in zip(columns, row, strict=True)
    }
    return dict(to_jsonable_python(shown, bytes_mode="base64"))
