"""What lessons keep of a person besides rows and runs: pictures."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from orchestrator.core.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orchestrator.features.lessons.repository import SessionRepository
    from orchestrator.features.lessons.service import LessonService
    from orchestrator.features.lessons.tables import SessionRow

PAGE: Final = 100
MOST_PICTURES: Final = 20  # of a lesson; no composer plans more


class LessonBelongings:
    """The lessons of any person with their pictures."""

    def __init__(self, sessions: SessionRepository, service: LessonService) -> None:
        self._sessions = sessions
        self._service = service

    async def files(self, user: str) -> AsyncIterator[tuple[str, bytes]]:
        """The pictures, each as ``SESSION/image1.jpg``."""
        async for row in self._all(user):
            for number in range(1, MOST_PICTURES + 1):
                name = f"image{number}.jpg"
                with suppress(NotFoundError):  # of a lesson that failed, any may be missing
                    yield f"{row.id}/{name}", (await self._service.picture(user, row.id, name)).data

    async def erase(self, user: str) -> int:
        """Stop and delete each lesson, as if its owner had; how many there were."""
        ids = [row.id async for row in self._all(user)]
        for session_id in ids:
            with suppress(NotFoundError):
                await self._service.delete(user, session_id)
        return len(ids)

    async def _all(self, user: str) -> AsyncIterator[SessionRow]:
        before = None
        while page := await self._sessions.page(user, PAGE, before):
            before = page[-1].id
            for row in page:
                yield row
