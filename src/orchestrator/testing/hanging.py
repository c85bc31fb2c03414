"""Steps that never end, for tests of those who do not wait for them for ever."""

from __future__ import annotations

import asyncio
from typing import Never

from orchestrator.durable.attempt import hangs


async def forever() -> Never:
    """In a step of a test: wait until cancelled. Time that the test owns goes on meanwhile.

    Raises:
        asyncio.CancelledError: the step was cancelled, or its engine closed.
    """
    with hangs():
        while True:
            await asyncio.Event().wait()
