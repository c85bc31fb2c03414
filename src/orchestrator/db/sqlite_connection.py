"""The connection to a SQLite file: what reads is done at once, what may wait is done on a thread.

A read takes SQLite some 20 µs. To hand it to a thread and back, which takes a read nine times, is far more;
in a busy process it is a matter of milliseconds each time, while all others wait for the connection. A reader
of a write-ahead log waits for nobody. What writes may wait, for the disk or for another process.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from aiosqlite import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
P = ParamSpec("P")

ROWS_AT_ONCE: Final = 64  # of a cursor that is iterated; SQLAlchemy fetches all
READING: Final = ("SELECT ", "SELECT\n")
BEGINNING: Final = "BEGIN"  # a BEGIN IMMEDIATE takes the writers' lock, and waits for it


def connected(database: str, **options: Any) -> Connection:  # noqa: ANN401  # the driver's own
    """A connection to the file, made when it is awaited; SQLAlchemy asks for it as ``async_creator_fn``."""
    # Two threads use it, one after the other: the loop's, and the connection's own.
    options["check_same_thread"] = False
    return FileConnection(lambda: sqlite3.connect(database, **options))


class FileConnection(Connection):
    """aiosqlite's connection, whose thread gets only what may wait."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, ROWS_AT_ONCE)
        self._thread.daemon = True  # as SQLAlchemy has it: a process that ends waits for no connection
        self._has_written = False

    async def _execute(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the driver; all of aiosqlite's methods come here."""
        if not self._may_wait(fn, args):
            return fn(*args, **kwargs)
        self._has_written = fn not in self._ends
        done: T = await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]
        return done

    @property
    def _ends(self) -> tuple[Callable[..., object], ...]:
        """What ends a transaction."""
        return self._conn.commit, self._conn.rollback

    def _may_wait(self, fn: Callable[..., object], args: tuple[object, ...]) -> bool:
        """Whether a call of the driver may wait, for the disk or for a lock."""
        if fn in self._ends:
            return self._has_written
        if fn.__name__ in {"execute", "executemany"}:
            statement = str(args[0])
            return statement != BEGINNING and not statement.startswith(READING)
        return fn == self._conn.close
