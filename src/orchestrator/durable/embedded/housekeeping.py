"""Keeping house: runs that ended long ago leave the journal, and progress that nobody watches any more.

There is no polling: after one pass at the opening, the next comes when the first run that has ended is due,
and an hour after the last one at the earliest. A pass goes through the file by index, in pages; between two
of them it rests as long as the last one took, so that what else is written has half of the writer at least.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from orchestrator.durable.embedded.history import SET_ENDED
from orchestrator.durable.embedded.removals import (
    MOST_PAGES,
    PAGES_OF_ROW,
    PAGES_OF_RUN,
    Doomed,
    last_within,
)
from orchestrator.durable.runs import EventType
from orchestrator.journal import JournalError, Statement
from orchestrator.journal.errors import JournalFullError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.core.clock import Wake
    from orchestrator.durable.embedded.removals import Removals
    from orchestrator.durable.embedded.services import Services
    from orchestrator.journal import Group

logger = logging.getLogger(__name__)

RETENTION: Final = timedelta(days=30)
PROGRESS_KEPT: Final = timedelta(hours=1)
BETWEEN_PASSES_S: Final = 3_600.0
# Who starts has other things to do first, such as keeping elsewhere what will be gone.
AFTER_OPENING_S: Final = 60.0
# Runs that a page begins with, and what it may have of their children.
MOST_RUNS: Final = 100
MOST_RELATIVES: Final = 1_000
# A run's row and name, with their places in the indexes.
PAGES_BESIDE_HISTORY: Final = 4

# A child of a run that has ended goes with it. One of an open run goes by itself, once its parent was told of
# its end; every other run goes by itself.
SELECT_EXPIRED: Final = (
    "WITH RECURSIVE root (number) AS (SELECT number FROM runs AS run WHERE closed_at <= ? "  # noqa: S608
    "AND NOT EXISTS (SELECT 1 FROM runs AS parent WHERE parent.number = run.parent "
    "AND (parent.closed_at IS NOT NULL OR run.told = 0)) ORDER BY closed_at LIMIT ?), "
    "family (root, number) AS (SELECT number, number FROM root UNION ALL "
    "SELECT root, run.number FROM family JOIN runs AS run "
    "ON run.parent = family.number AND run.closed_at IS NOT NULL LIMIT ?) "
    f"SELECT root, number, name, {PAGES_OF_RUN} FROM family JOIN streams USING (number) ORDER BY root, number"
)
SELECT_WITH_DELTAS: Final = (
    "SELECT number FROM runs WHERE closed_at <= ? AND closed_at IS NOT NULL AND deltas = 1 "
    "ORDER BY closed_at LIMIT ?"
)
SELECT_DELTAS: Final = (
    f"SELECT stream, offset, {PAGES_OF_ROW} FROM entries WHERE stream IN (SELECT value FROM json_each(?)) "  # noqa: S608
    f"AND type = '{EventType.STEP_PROGRESS}' ORDER BY stream, offset LIMIT {MOST_PAGES}"
)
FIRST_CLOSED: Final = "SELECT min(closed_at) FROM runs WHERE closed_at IS NOT NULL"
FIRST_WITH_DELTAS: Final = "SELECT min(closed_at) FROM runs WHERE closed_at IS NOT NULL AND deltas = 1"

DROP_DELTAS: Final = Statement(
    5,
    "WITH cut (stream, upto) AS (VALUES {rows}) DELETE FROM entries WHERE (stream, offset) IN "  # noqa: S608
    "(SELECT entries.stream, offset FROM cut CROSS JOIN entries "
    f"ON entries.stream = cut.stream AND offset <= upto AND type = '{EventType.STEP_PROGRESS}')",
    2,
)
CLEAR_DELTAS: Final = Statement(5, "UPDATE runs SET deltas = 0 WHERE number IN ({rows})", 1)


@dataclass(frozen=True, slots=True)
class Kept:
    """How long ended runs are kept, and the progress of their steps; None is for ever."""

    runs: timedelta | None = RETENTION
    progress: timedelta | None = PROGRESS_KEPT

    def __post_init__(self) -> None:
        """Refuse what lies in the future."""
        for name, kept in (("retention", self.runs), ("progress_retention", self.progress)):
            if kept is not None and not isinstance(kept, timedelta):
                raise TypeError(f"{name}={kept!r}: give a timedelta, such as timedelta(days=30), or None")
            if kept is not None and kept < timedelta():
                raise ValueError(f"{name}={kept}: give a time of 0 or more, or None to keep all for ever")

    @property
    def runs_s(self) -> float:
        """How long runs are kept, in seconds."""
        return _seconds(self.runs)

    @property
    def progress_s(self) -> float:
        """How long progress is kept, in seconds."""
        return _seconds(self.progress)


class Housekeeping:
    """Keeps one open journal in order, in the background."""

    def __init__(self, services: Services, removals: Removals, kept: Kept) -> None:
        self._services = services
        self._removals = removals
        self._kept = kept
        self._wake: Wake | None = None
        self._due = float("inf")
        self._not_before = 0.0
        self._pass: asyncio.Task[None] | None = None
        services.journal.listen(self._committed, lambda _: None)

    def start(self) -> None:
        """Make the first pass shortly; the others come by themselves."""
        self._expect(self._services.clock.time() + AFTER_OPENING_S)

    def _begin(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
        self._wake, self._due = None, float("inf")
        if self._pass is None:
            self._not_before = self._services.clock.time() + BETWEEN_PASSES_S
            self._pass = self._services.loop.create_task(self._clean())
            self._pass.add_done_callback(self._passed)

    async def idle(self) -> None:
        """Until no pass is under way."""
        if self._pass is not None:
            await asyncio.wait([self._pass])

    async def stop(self) -> None:
        """Stop where it is; the next opening goes on."""
        if self._wake is not None:
            self._wake.cancel()
        if self._pass is not None:
            self._pass.cancel()
            await self.idle()
        self._due = 0.0  # nothing is expected any more

    async def _clean(self) -> None:
        try:
            await self._removals.clear()
            await self._remove_expired()
            await self._drop_deltas()
            await self._expect_next()
        except JournalFullError:
            self._expect(self._not_before)
        except JournalError as error:
            logger.debug("housekeeping ends with the journal: %s", error)
        except Exception:
            logger.exception("housekeeping failed; it is tried again in an hour")
            self._expect(self._not_before)

    def _passed(self, _: object) -> None:
        self._pass = None

    async def _remove_expired(self) -> None:
        until = self._services.clock.time() - self._kept.runs_s
        while rows := await self._services.journal.fetch(SELECT_EXPIRED, (until, MOST_RUNS, MOST_RELATIVES)):
            for page in pages_of(rows):
                began = self._services.loop.time()
                await self._removals.remove(page)
                await self._removals.clear()
                await asyncio.sleep(self._services.loop.time() - began)

    async def _drop_deltas(self) -> None:
        journal = self._services.journal
        until = self._services.clock.time() - self._kept.progress_s
        while runs := [row[0] for row in await journal.fetch(SELECT_WITH_DELTAS, (until, MOST_RUNS))]:
            deltas = await journal.fetch(SELECT_DELTAS, (json.dumps(runs),))
            taken = last_within(deltas, MOST_PAGES)
            if taken < len(deltas) or taken == MOST_PAGES:
                # What comes after the last one that is taken is not known.
                last = deltas[taken - 1][0]
                runs = [number for number in runs if number < last]
            began = self._services.loop.time()
            await self._stage(deltas[:taken], runs)
            await asyncio.sleep(self._services.loop.time() - began)

    async def _stage(self, deltas: Sequence[Any], done: Sequence[int]) -> None:
        journal = self._services.journal
        journal.check_writable()
        for number, rows in groupby(deltas, key=itemgetter(0)):
            offsets = [offset for _, offset, _ in rows]
            self._services.histories.stage_removal(number, offsets)
            journal.stage(DROP_DELTAS, (number, offsets[-1]))
        for number in done:
            journal.stage(CLEAR_DELTAS, (number,))
        await journal.written()

    # When the next pass is due.

    def _committed(self, group: Group) -> None:
        if SET_ENDED in group.rows:
            now = self._services.clock.time()
            self._expect(now + min(self._kept.runs_s, self._kept.progress_s))

    async def _expect_next(self) -> None:
        for query, kept_s in ((FIRST_CLOSED, self._kept.runs_s), (FIRST_WITH_DELTAS, self._kept.progress_s)):
            first = (await self._services.journal.fetch(query))[0][0]
            if first is not None:
                self._expect(first + kept_s)

    def _expect(self, when: float) -> None:
        """Have a pass then, or as soon after it as the one before allows."""
        when = max(when, self._not_before)
        if when < self._due:
            if self._wake is not None:
                self._wake.cancel()
            self._due = when
            self._wake = self._services.clock.call_at(when, self._begin, background=True)


def pages_of(rows: Sequence[tuple[int, int, str, int | None]]) -> list[list[Doomed]]:
    """Families of runs, by their ``root``, in pages of what one commit may remove.

    A family is parted only where it is too large for one commit.
    """
    pages: list[list[Doomed]] = []
    room = 0
    for _, relatives in groupby(rows, key=itemgetter(0)):
        family = [Doomed(number, name, pages) for _, number, name, pages in relatives]
        if sum(map(_cost, family)) > room:
            pages.append([])
            room = MOST_PAGES
        for run in family:
            if _cost(run) > room and pages[-1]:
                pages.append([])
                room = MOST_PAGES
            pages[-1].append(run)
            room -= _cost(run)
    return pages


def _cost(run: Doomed) -> int:
    """The pages that go with a run at once; rows and names take some as well."""
    return PAGES_BESIDE_HISTORY + (0 if run.is_huge else run.pages or 0)


def _seconds(kept: timedelta | None) -> float:
    return float("inf") if kept is None else kept.total_seconds()
