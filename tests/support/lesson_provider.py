"""A model that many lessons ask at once: it knows who asks for what, and can keep all of them waiting."""

from __future__ import annotations

import threading
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from support import model_server
from support.scripted_lesson import CALLS, scripted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.model_server import Asked, ModelServer, Reply

LOOK_AGAIN_S = 0.02


class LessonProvider:
    """The scripted model of a ``server``, whose requests it sorts by run and step.

    A request says by its idempotency key of which run and operation it is.
    """

    def __init__(self, server: ModelServer) -> None:
        self.base_url = server.base_url
        self._may_finish = threading.Event()
        self._may_finish.set()
        self._held_at: dict[str, int] = {}
        self._asked: defaultdict[str, list[str]] = defaultdict(list)
        self._news = threading.Condition()
        self._held = 0
        server.respond = self._reply

    def hold(self, session_ids: list[str]) -> None:
        """Let each of these sessions, too, come to a call, a different one each time, and no further.

        The first words of that call's answer are sent, the rest follows once ``let_go`` is called.
        """
        with self._news:
            self._held_at |= {session_id: number % CALLS + 1 for number, session_id in enumerate(session_ids)}
            self._may_finish.clear()

    def wait_until_held(self, limit_s: float) -> None:
        """Wait until all that are to be held are.

        Raises:
            TimeoutError: they are not in time.
        """
        with self._news:
            if not self._news.wait_for(lambda: self._held == len(self._held_at), limit_s):
                raise TimeoutError(f"{self._held} of {len(self._held_at)} lessons came to their place")

    def let_go(self) -> None:
        """Answer all who wait, and hold nobody any more."""
        with self._news:
            self._held_at = {}
            self._held = 0
            self._may_finish.set()

    def wait_until_asked(self, times: int, limit_s: float) -> None:
        """Wait until that many requests have come, over all lessons.

        Raises:
            TimeoutError: they do not come in time.
        """
        with self._news:
            if not self._news.wait_for(lambda: self.times_asked >= times, limit_s):
                raise TimeoutError(f"{self.times_asked} of {times} requests came")

    @property
    def times_asked(self) -> int:
        """How many requests have come, over all lessons."""
        return sum(len(operations) for operations in self._asked.values())

    def forget(self) -> None:
        """Begin to count anew."""
        with self._news:
            self._asked.clear()

    def asked_by(self, session_id: str) -> list[str]:
        """The operations for which this session asked, in order."""
        return list(self._asked[session_id])

    def _reply(self, asked: Asked) -> Reply:
        run_id, operation, *_ = asked.headers["idempotency-key"].split("/")
        session_id = run_id.removeprefix("lesson-").rpartition("-")[0]
        with self._news:
            operations = self._asked[session_id]
            operations.append(operation)
            is_held = self._held_at.get(session_id) == len(operations)
            self._held += is_held
            self._news.notify_all()
        reply = scripted(asked)
        return replace(reply, hold=self._may_finish) if is_held else reply


@contextmanager
def lesson_provider() -> Iterator[LessonProvider]:
    """A running provider, closed at the end."""
    with model_server.model_server() as server:
        provider = LessonProvider(server)
        try:
            yield provider
        finally:
            provider.let_go()
