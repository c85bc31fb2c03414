"""What every room's tables are built of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import DateTime, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

LONGEST_OWNER_CHARS = 255
# Marks a column, as ``mapped_column(…, info=SECRET)``, that no export of a person's rows may show.
SECRET: Final = {"secret": True}


class Base(DeclarativeBase):
    """The parent of every table; its metadata is what the migrations must lead to."""

    # Constraints need names to be changed later, and each database would invent its own.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Owned:
    """A table whose every row belongs to someone. Sessions show and change only their owner's rows."""

    owner: Mapped[str] = mapped_column(String(LONGEST_OWNER_CHARS))


class UtcTime(TypeDecorator[datetime]):
    """A moment in UTC, aware in Python also where the database keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002  # SQLAlchemy passes it
        """Write a moment as UTC.

        Raises:
            ValueError: it has no time zone, so nobody knows which moment it is.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; give an aware datetime")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002  # SQLAlchemy passes it
        """Read it back aware."""
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)
