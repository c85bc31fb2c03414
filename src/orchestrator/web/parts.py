"""The parts that a service stands on: opened in order, waited for while away, asked how they are."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from orchestrator.core.errors import UnavailableError
from orchestrator.core.patience import growing_pauses
from orchestrator.web.feature import Component

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from orchestrator.web.feature import Hook, Probe

# A start that takes longer, such as behind another process that migrates, goes on beside requests.
LISTENS_WITHIN_S = 10.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Part:
    """Something that the service stands on, such as its tables or its engine.

    Attributes:
        name: as ``/health`` and ``/ready`` call it.
        open: enters the part. An UnavailableError is worth another try; any other error ends the start.
        reach: sees, before anything is opened, whether it could be; it raises as ``open`` does.
        health: how the part is once it is open; left out, it is not among what ``/health`` tells.
    """

    name: str
    open: Callable[[], AbstractAsyncContextManager[object]] = nullcontext
    reach: Hook | None = None
    health: Probe | None = None


class Parts:
    """Opens parts, one after the other in the order given, once all of them can be reached.

    What is not there is tried again after growing pauses, and told once per change. So the parts may be
    started in any order, and in any order with this process.
    """

    def __init__(
        self, parts: Sequence[Part], *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._parts = parts
        self._sleep = sleep
        self._missing: dict[str, str] = {}
        self._opening = False
        self._is_open = asyncio.Event()
        self._waits = asyncio.Event()
        self._on_failure: Callable[[], None] = lambda: None

    @property
    def probes(self) -> Mapping[str, Probe]:
        """How each part is, by name: also while it is waited for."""
        return {part.name: self._probe(part.name, part.health) for part in self._parts if part.health}

    def check(self) -> None:
        """Let pass once all parts have been opened.

        Raises:
            UnavailableError: some are waited for; the message says which and why.
        """
        if self._opening:
            missing = ", ".join(f"{name} ({reason})" for name, reason in self._missing.items())
            waits = f"it waits for {missing}" if missing else "its parts are being opened"
            raise UnavailableError(f"The service is starting: {waits}.", code="not_ready")

    def on_failure(self, callback: Callable[[], None]) -> None:
        """Call back should a part fail, while others are waited for, in a way that waiting does not mend."""
        self._on_failure = callback

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open the parts, and close them at the end. Inside, some may still be waited for.

        Raises:
            Exception: what a part raises as it is opened or closed, unless waiting may mend it; also at the
                end, for what ``on_failure`` told of.
        """
        over = asyncio.Event()
        living = asyncio.create_task(self._live(over), name="parts of the service")
        first_news = [asyncio.create_task(event.wait()) for event in (self._is_open, self._waits)]
        try:
            await asyncio.wait(
                [living, *first_news], timeout=LISTENS_WITHIN_S, return_when=asyncio.FIRST_COMPLETED
            )
            if living.done():
                living.result()
            living.add_done_callback(lambda _: self._on_failure())
            yield
        finally:
            self._on_failure = lambda: None
            for news in first_news:
                news.cancel()
            over.set()
            if self._opening:
                living.cancel()
            await asyncio.wait([living])
            if not living.cancelled():
                living.result()

    async def _live(self, over: asyncio.Event) -> None:
        self._opening = True
        async with AsyncExitStack() as opened:
            await self._open_all(opened)
            self._opening = False
            self._is_open.set()
            await over.wait()

    async def _open_all(self, opened: AsyncExitStack) -> None:
        left = list(self._parts)
        for pause_s in growing_pauses():
            missing = await _unreachable(left)
            while left and not missing:
                try:
                    await opened.enter_async_context(left[0].open())
                except UnavailableError as error:
                    missing = {left[0].name: error.message}
                else:
                    left.pop(0)
            self._tell(missing)
            if not left:
                return
            await self._sleep(pause_s)

    def _tell(self, missing: dict[str, str]) -> None:
        if missing != self._missing:
            if missing:
                log.warning("waiting for parts of the service", missing=missing)
            else:
                log.info("all parts of the service are there")
        self._missing = missing
        if missing:
            self._waits.set()

    def _probe(self, name: str, health: Probe) -> Probe:
        async def probe() -> Component:
            if self._opening:
                return Component("unhealthy", self._missing.get(name, "not opened yet"))
            return await health()

        return probe


async def _unreachable(parts: Sequence[Part]) -> dict[str, str]:
    """Those that cannot be reached now, and why."""
    reasons = await asyncio.gather(*(_why_not(part) for part in parts))
    return {part.name: reason for part, reason in zip(parts, reasons, strict=True) if reason}


async def _why_not(part: Part) -> str:
    try:
        if part.reach is not None:
            await part.reach()
    except UnavailableError as error:
        return error.message
    return ""
