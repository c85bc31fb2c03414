"""Giving ended runs to another owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestrator.journal import Statement

if TYPE_CHECKING:
    from orchestrator.journal import Journal

COUNT: Final = "SELECT count(*) FROM runs WHERE owner = ? AND closed_at IS NOT NULL"
# The streams of runs first, while their runs tell whose they are.
GIVE_STREAMS: Final = Statement(
    1,
    "WITH given (giver, taker) AS (VALUES {rows}) UPDATE streams SET owner = taker FROM given "
    "WHERE owner = giver AND number IN (SELECT number FROM runs WHERE closed_at IS NOT NULL)",
    2,
)
GIVE_RUNS: Final = Statement(
    2,
    "WITH given (giver, taker) AS (VALUES {rows}) UPDATE runs SET owner = taker FROM given "
    "WHERE owner = giver AND closed_at IS NOT NULL",
    2,
)


async def give(journal: Journal, giver: str, taker: str) -> int:
    """Make the giver's ended runs the taker's, in one commit; how many there were.

    Raises:
        JournalFullError: nothing can be written now. JournalError: nor later.
    """
    journal.check_writable()
    await journal.settled()
    ((count,),) = await journal.fetch(COUNT, (giver,))
    journal.stage(GIVE_STREAMS, (giver, taker))
    group = journal.stage(GIVE_RUNS, (giver, taker))
    journal.flush()
    await journal.durable(group)
    return int(count)
