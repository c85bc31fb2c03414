"""The lessons room on a real engine and real tables, without HTTP; it can be closed and opened again."""

from __future__ import annotations

from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import select

from orchestrator import EmbeddedEngine
from orchestrator.agents.budget import Budget, Limits
from orchestrator.agents.openai_model import OpenAIModel
from orchestrator.agents.spending import SpendingLedger, SpendingRow
from orchestrator.core.settings import ModelSettings
from orchestrator.db import SYSTEM
from orchestrator.features.lessons.model_composer import ModelComposer
from orchestrator.features.lessons.offline_composer import OfflineComposer
from orchestrator.features.lessons.repository import SessionRepository
from orchestrator.features.lessons.schemas import NewSession
from orchestrator.features.lessons.service import LessonService
from orchestrator.features.lessons.steps import LessonSteps
from orchestrator.features.lessons.workflow import lesson
from orchestrator.journal.blobs import BlobStore
from orchestrator.web.events import Outbox
from support.impatient_clock import ImpatientClock
from support.tables import Tables

if TYPE_CHECKING:
    from pathlib import Path

    from support.model_server import ModelServer

OWNER = "ann"
Told = dict[str, Any]


class LessonsRoom:
    """One life of the room on ``folder``; enter another on the same folder for the next life.

    ``provider`` makes a model write, on ``limits``; the offline composer writes without one. The tables are
    in a file of the folder, unless ``tables`` says otherwise.
    """

    def __init__(
        self,
        folder: Path,
        provider: ModelServer | None = None,
        limits: Limits | None = None,
        tables: Tables | None = None,
        **model: Any,  # noqa: ANN401  # settings
    ) -> None:
        self.clock = ImpatientClock()
        self.database = (tables or Tables(folder / "tables.db")).database()
        self.outbox = Outbox(self.database, lambda: self.engine.streams, self.clock)
        self.sessions = SessionRepository(self.database, self.outbox)
        self.ledger = SpendingLedger(self.database, self.clock)
        self.blobs = BlobStore(folder / "blobs")
        self.model: OpenAIModel | None = None
        composer: OfflineComposer | ModelComposer = OfflineComposer()
        if provider:
            self.model = OpenAIModel(ModelSettings(base_url=provider.base_url, name="test-model", **model))
            composer = ModelComposer(self.model, Budget(self.ledger, limits or Limits(), self.clock))
        steps = LessonSteps(self.sessions, composer, self.blobs, self.clock)
        self.engine = EmbeddedEngine(
            folder / "journal.db", workflows=[lesson], steps=[steps], clock=self.clock
        )
        self.service = LessonService(self.sessions, self.blobs, lambda: self.engine, self.clock)
        self._parts = AsyncExitStack()

    @classmethod
    def on(cls, tables: Tables, provider: ModelServer | None = None) -> Self:
        """A life whose rows are in ``tables``, and all else beside their file."""
        return cls(tables.file.parent, provider, tables=tables)

    async def __aenter__(self) -> Self:
        """Open tables and engine, and sweep."""
        if self.model:
            self._parts.push_async_callback(self.model.aclose)
        await self._parts.enter_async_context(self.database)
        await self._parts.enter_async_context(self.engine)
        await self.service.sweep()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close, leaving runs where they are."""
        await self._parts.aclose()

    async def spent(self, session_id: str) -> int:
        """Tokens that are written down for the session."""
        entries = select(SpendingRow.tokens).where(SpendingRow.session_id == session_id)
        async with self.database.session(SYSTEM) as session:
            return sum(await session.all(entries))

    async def create(self, topic: str = "Tides", *materials: str) -> str:
        """A new session's id."""
        body = {"topic": topic, "metadata": {"materials": list(materials)}}
        return await self.service.create(OWNER, NewSession.model_validate(body))

    async def run(self, session_id: str) -> list[Told]:
        """Run the session, and all that its watcher gets."""
        return [event.as_json() async for event in await self.service.run(OWNER, session_id)]

    async def watch(self, session_id: str, last_event_id: str | None = None) -> list[tuple[str, Told]] | None:
        """Ids and events that a watcher gets until the stream ends; None for 204."""
        events = await self.service.watch(OWNER, session_id, last_event_id)
        if events is None:
            return None
        return [(str(event.position or ""), event.as_json()) async for event in events]

    async def watch_until(self, session_id: str, kind: str, step: str = "") -> list[tuple[str, Told]]:
        """What a watcher gets up to the first event of that type (of that step), where it leaves."""
        events = await self.service.watch(OWNER, session_id, None)
        assert events is not None
        seen = []
        async with aclosing(events):
            async for event in events:
                seen.append((str(event.position or ""), event.as_json()))
                if event.type == kind and (event.step_id or "").endswith(step):
                    break
        return seen
