"""How a SQLite connection's durability is named in the tables."""

from __future__ import annotations

SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")  # https://sqlite.org/pragma.html#pragma_synchronous


def describe(journal_mode: str, synchronous: int) -> str:
    """Two pragmas, as found on the open connection, in words."""
    return f"SQLite {journal_mode.upper()}, synchronous={SYNCHRONOUS[synchronous]}"
