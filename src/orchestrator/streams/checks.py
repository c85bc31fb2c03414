"""What no backend takes, refused before anything is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from orchestrator.core.errors import InvalidInputError
from orchestrator.streams.port import PAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.streams.port import NewEntry

# No call appends more at once, so that no backend keeps everyone else waiting for long.
MOST_TOGETHER = 10_000

LONGEST_EXPIRY_S = 100 * 365 * 86_400  # what lasts longer is not meant to expire

LARGEST_OFFSET = 2**63 - 1  # SQLite's largest integer


def check_entries(entries: Sequence[NewEntry]) -> None:
    """Refuse what no backend takes, where it harms nobody else.

    Raises:
        InvalidInputError, TypeError, UnicodeEncodeError: as ``Streams.append_all``.
    """
    if len(entries) > MOST_TOGETHER:
        raise InvalidInputError(
            f"append_all takes {MOST_TOGETHER:,} entries at most, and was given {len(entries):,}; make "
            "several calls of them"
        )
    for entry in entries:
        _check_entry(entry)


def check_removal(offsets: Sequence[int]) -> None:
    """Refuse more entries at once than an append takes.

    Raises:
        InvalidInputError: as ``Streams.remove``.
    """
    if len(offsets) > MOST_TOGETHER:
        raise InvalidInputError(
            f"remove takes {MOST_TOGETHER:,} offsets at most, and was given {len(offsets):,}; make several "
            "calls of them"
        )


def check_expiry(after_s: float | None) -> None:
    """Refuse a time that cannot be one.

    Raises:
        InvalidInputError: not above zero, or more than a hundred years.
    """
    if after_s is not None and not 0 < after_s <= LONGEST_EXPIRY_S:
        raise InvalidInputError(
            f"a stream cannot expire after {after_s} seconds; give more than 0 and at most "
            f"{LONGEST_EXPIRY_S:,} (a hundred years), or None"
        )


def check_trim(keep: int | None, before: int | None) -> None:
    """Refuse what is no measure to trim by.

    Raises:
        InvalidInputError: not exactly one of them, or a negative one.
    """
    if (keep is None) == (before is None) or min(keep or 0, before or 0) < 0:
        raise InvalidInputError("trim takes either keep or before, a number from 0 on")


def check_group(after: int | Literal["end"], most_deliveries: int) -> None:
    """Refuse what no group can be.

    Raises:
        InvalidInputError: an offset that cannot be, or less than one delivery.
    """
    if most_deliveries < 1:
        raise InvalidInputError(f"most_deliveries is {most_deliveries}; it takes 1 at least")
    if after != "end" and not 0 <= after <= LARGEST_OFFSET:
        raise InvalidInputError(f"a group cannot begin after {after}; the first offset is 1")


def page_size(limit: int) -> int:
    """How many a call gives that may give so many.

    Raises:
        InvalidInputError: a limit below 1.
    """
    if limit < 1:
        raise InvalidInputError(f"the limit is {limit}; it takes 1 at least")
    return min(limit, PAGE)


def check_utf8(*texts: str) -> None:
    """Refuse text that cannot be stored here, where it harms nobody else; in a group it would fail all.

    Raises:
        UnicodeEncodeError: a lone surrogate.
    """
    for text in texts:
        if not text.isascii():
            text.encode()


def _check_entry(entry: NewEntry) -> None:
    if not isinstance(entry.data, bytes):
        raise TypeError(
            f"append(data=…) takes bytes, and was given {entry.data.__class__.__name__}; encode it first"
        )
    if entry.once and not entry.key:
        raise InvalidInputError("append(once=True) takes a key, by which a repetition is recognised")
    check_utf8(entry.type, entry.key)
