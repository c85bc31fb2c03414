"""Removing large values whose runs are gone: a server forgets ended runs after its namespace's retention."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from orchestrator.core.errors import ConflictError, NotFoundError
from orchestrator.durable.temporal.namespace import namespace_id
from orchestrator.durable.temporal.standing import describe
from orchestrator.durable.temporal.value_store import folder_above, run_of

if TYPE_CHECKING:
    import asyncio

    from temporalio.client import Client

    from orchestrator.durable.temporal.value_store import ValueStore

# An input is in the store a moment before the server knows its run.
SWEPT_AFTER: Final = timedelta(days=1)
# Whose values the store holds is kept there, beside what namespaces have.
OWNERS: Final = "_owners"


async def sweep(client: Client, store: ValueStore, older_than: timedelta, closing: asyncio.Event) -> int:
    """Remove the values of runs that the server does not know, until ``closing``; gives their number.

    A run whose id is too long to be in the name of its folder keeps its values until it is deleted.

    Raises:
        ConflictError: the store's values are of another cluster's namespace, whose runs this one cannot know.
    """
    await claim(client, store)
    before = datetime.now(UTC) - older_than
    count = 0
    async for folder, changed_at in store.folders(folder_above(client.namespace)):
        if closing.is_set():
            break
        run_id = run_of(folder)
        if run_id is not None and changed_at < before and not await _is_known(client, run_id):
            await store.remove(folder)
            count += 1
    return count


async def claim(client: Client, store: ValueStore) -> None:
    """Write down that the store's values are of this very namespace, if nobody's are there yet.

    Raises:
        ConflictError: they are of one of the same name on another cluster.
    """
    ours, key = (await namespace_id(client)).encode(), f"{OWNERS}/{folder_above(client.namespace)}"
    try:
        theirs = await store.get(key)
    except NotFoundError:
        await store.put(key, ours)
        return
    if theirs != ours:
        raise ConflictError(
            f"the store of large values has those of another cluster's namespace {client.namespace!r}, and "
            "none of them is removed; give each cluster a directory or bucket of its own"
        )


async def _is_known(client: Client, run_id: str) -> bool:
    try:
        await describe(client, run_id)
    except NotFoundError:
        return False
    return True
