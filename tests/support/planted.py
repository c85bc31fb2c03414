"""Rows with a word planted wherever a row takes text, in every table whose rows belong to someone."""

from __future__ import annotations

from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

import orchestrator
from orchestrator.db import SYSTEM, Base, Owned

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Mapper

    from orchestrator.db import Database

LATER = datetime(2999, 1, 1, tzinfo=UTC)  # so that no sweep takes a row away meanwhile


def all_tables() -> set[str]:
    """The names of all tables, also of rooms that nobody has built yet."""
    root = Path(orchestrator.__file__).parent
    for file in root.rglob("*.py"):
        if "    __tablename__ = " in file.read_text():
            import_module(".".join(("orchestrator", *file.relative_to(root).with_suffix("").parts)))
    return set(Base.metadata.tables)


def owned_tables() -> list[str]:
    """The names of all tables whose rows belong to someone."""
    return sorted(str(mapper.local_table) for mapper in _owned())


async def plant(database: Database, owner: str, word: str) -> None:
    """Add a row of ``owner`` to each of them."""
    async with database.session(SYSTEM) as session:
        for mapper in _owned():
            session.add(mapper.class_(**_values(mapper, word), owner=owner))


async def rows_of(database: Database, owner: str) -> dict[str, int]:
    """How many rows of ``owner`` there are by table, as seen past the repository."""

    def counts(connection: sa.Connection) -> dict[str, int]:
        found = {}
        for table in owned_tables():
            query = sa.text(f"SELECT count(*) FROM {table} WHERE owner = :owner")  # noqa: S608  # our own names
            found[table] = int(connection.scalar(query, {"owner": owner}) or 0)
        return found

    return await database.store.apart(counts)


def _owned() -> list[Mapper[Any]]:
    all_tables()
    return [mapper for mapper in Base.registry.mappers if issubclass(mapper.class_, Owned)]


def _values(mapper: Mapper[Any], word: str) -> dict[str, Any]:
    return {
        attribute.key: _value(attribute.columns[0], word)
        for attribute in mapper.column_attrs
        if attribute.key != "owner" and attribute.columns[0].autoincrement is not True
    }


def _value(column: ColumnElement[Any], word: str) -> object:  # of as many types as there are
    kind = column.type.impl if isinstance(column.type, sa.types.TypeDecorator) else column.type
    values: list[tuple[type[Any], object]] = [
        (sa.Enum, next(iter(getattr(kind, "enum_class", None) or [None]))),
        (sa.String, word[: getattr(kind, "length", None) or len(word)]),
        (sa.LargeBinary, word.encode()),
        (sa.JSON, {"text": word}),
        (sa.DateTime, LATER),
        (sa.Date, date(2999, 1, 1)),
        (sa.Boolean, False),
        (sa.Float, 1.0),
        (sa.Integer, 0),
    ]
    return next(value for of, value in values if isinstance(kind, of))
