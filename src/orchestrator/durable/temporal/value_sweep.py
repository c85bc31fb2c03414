"""Removing large values whose runs are gone: a server forgets ended runs after its namespace's retention."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from orchestrator.core.errors import NotFoundError
from orchestrator.durable.temporal.standing import describe
from orchestrator.durable.temporal.value_store import folder_above, run_of

if TYPE_CHECKING:
    from temporalio.client import Client

    from orchestrator.durable.temporal.value_store import ValueStore

# An input is in the store a moment before the server knows its run.
SWEPT_AFTER: Final = timedelta(days=1)


async def sweep(client: Client, store: ValueStore, older_than: timedelta) -> int:
    """Remove the values of runs that the server does not know; gives the number of those runs.

    A run whose id is too long to be in the name of its folder keeps its values until it is deleted.
    """
    before = datetime.now(UTC) - older_than
    count = 0
    async for folder, changed_at in store.folders(folder_above(client.namespace)):
        run_id = run_of(folder)
        if run_id is not None and changed_at < before and not await _is_known(client, run_id):
            await store.remove(folder)
            count += 1
    return count


async def _is_known(client: Client, run_id: str) -> bool:
    try:
        await describe(client, run_id)
    except NotFoundError:
        return False
    return True
