"""Taking ended runs out of the journal, in commits that do not hold up the writer.

A run goes in one commit: its row, its name, its history, and what else its stream has. One whose history is
too large for that loses its row and its name in one commit, so that nobody finds it any more, and its history
in as many as it takes; a process that ends meanwhile leaves that to the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestrator.core.errors import NotFoundError
from orchestrator.durable.embedded.history import DELETE_RUN, RUN_STREAM
from orchestrator.journal import Statement, UnderWay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.durable.embedded.services import Services
    from orchestrator.journal import Group

PAGE_BYTES: Final = 4_096
# What one commit may remove. Freeing a page of a large value takes SQLite 10 to 20 µs, a small row less, so
# others wait some 30 ms for the writer at most.
MOST_PAGES: Final = 1_500

# A row takes part of a page, and what is large of it whole ones.
PAGES_OF_ROW: Final = f"1 + length(data) / {PAGE_BYTES}"
# How many pages a run's history takes; of very large ones it tells enough to know that.
PAGES_OF_RUN: Final = (
    f"(SELECT sum(pages) FROM (SELECT {PAGES_OF_ROW} AS pages FROM entries WHERE stream = number "  # noqa: S608
    f"LIMIT {MOST_PAGES + 1}))"
)
SELECT_DOOMED: Final = f"SELECT number, name, {PAGES_OF_RUN} FROM streams WHERE name = ?"  # noqa: S608
# A stream named `gone/` and its number is what is left of a run that is gone.
SELECT_GONE: Final = (
    "SELECT number FROM streams WHERE name >= 'gone/' AND name < 'gone0' ORDER BY name LIMIT 1"
)
SELECT_SLICE: Final = (
    f"SELECT offset, {PAGES_OF_ROW} FROM entries WHERE stream = ? ORDER BY offset LIMIT {MOST_PAGES}"  # noqa: S608
)

LEAVE_CHILDREN: Final = Statement(
    6, "UPDATE runs SET parent = NULL WHERE parent IN ({rows}) AND closed_at IS NULL", 1
)
SET_ASIDE: Final = Statement(7, "UPDATE streams SET name = 'gone/' || number WHERE number IN ({rows})", 1)
DELETE_SLICE: Final = Statement(
    8,
    "WITH slice (stream, upto) AS (VALUES {rows}) DELETE FROM entries WHERE (stream, offset) IN "
    "(SELECT entries.stream, offset FROM slice CROSS JOIN entries "
    "ON entries.stream = slice.stream AND offset <= upto)",
    2,
)


@dataclass(frozen=True, slots=True)
class Doomed:
    """An ended run that is to go, with the pages of the file that its history takes, or more than enough."""

    number: int
    name: str
    pages: int | None

    @property
    def is_huge(self) -> bool:
        """Whether its history takes more than one commit may remove."""
        return (self.pages or 0) > MOST_PAGES


class Removals:
    """Removes runs of one open journal. Until a run is gone for good, its id is not free."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._under_way: UnderWay[str] = UnderWay(services.journal)

    async def weighed(self, run_id: str) -> Doomed:
        """The run of that id, with what it weighs.

        Raises:
            NotFoundError: there is none any more.
        """
        found = await self._services.journal.fetch(SELECT_DOOMED, (RUN_STREAM + run_id,))
        if not found:
            raise NotFoundError(f"there is no run {run_id!r}")
        return Doomed(*found[0])

    async def remove(self, doomed: Sequence[Doomed]) -> None:
        """Remove one or more ended runs in one commit; of huge ones their history stays, for ``clear``.

        Raises:
            JournalFullError: nothing can be written now. JournalError: nor later.
        """
        journal = self._services.journal
        journal.check_writable()
        group = [self._stage(run) for run in doomed][-1]
        for run in doomed:
            self._under_way.add(run.name.removeprefix(RUN_STREAM), group)
        journal.flush()
        await journal.durable(group)

    async def clear(self) -> None:
        """Remove what is left of huge runs, slice by slice.

        Raises:
            JournalFullError: nothing can be written now. JournalError: nor later.
        """
        journal = self._services.journal
        while gone := await journal.fetch(SELECT_GONE):
            number = gone[0][0]
            rows = await journal.fetch(SELECT_SLICE, (number,))
            upto = last_within(rows, MOST_PAGES)
            journal.check_writable()
            if upto < len(rows) or len(rows) == MOST_PAGES:
                group = journal.stage(DELETE_SLICE, (number, rows[upto - 1][0]))
            else:
                group = self._services.histories.stage_delete(number)
            journal.flush()
            await journal.durable(group)

    async def done(self, run_id: str) -> None:
        """Until no run of that id is on its way out."""
        await self._under_way.over(run_id)

    def _stage(self, run: Doomed) -> Group:
        journal = self._services.journal
        journal.stage(LEAVE_CHILDREN, (run.number,))
        if run.is_huge:
            journal.stage(SET_ASIDE, (run.number,))
        else:
            self._services.histories.stage_delete(run.number)
        return journal.stage(DELETE_RUN, (run.number,))


def last_within(rows: Sequence[Sequence[int]], most_pages: int) -> int:
    """How many of these rows, whose last column is their pages, one commit takes; one at least."""
    pages = 0
    for count, row in enumerate(rows):
        pages += row[-1]
        if count and pages > most_pages:
            return count
    return len(rows)
