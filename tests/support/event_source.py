"""Who watches a session as a browser does, through whatever happens to the service."""

from __future__ import annotations

import json
import threading
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from itertools import cycle
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

Told = tuple[str, dict[str, Any]]
"""The id of an event, and its data."""

# The service says something, be it a ping, every 15 s: a connection that is silent for longer is dead.
SILENCE_LIMIT_S = 30.0
LAST_EVENTS = frozenset({"final", "error"})


class EventSource(threading.Thread):
    """Watches one session from its beginning to its end, by the rules of a browser's EventSource.

    When a connection cannot be made, breaks or ends, it comes back with the id of the last event, to the next
    of ``addresses`` as a load balancer would send it, after the time that the service asked for. It gives up
    for good at an answer that is no event stream.
    """

    def __init__(self, addresses: Sequence[str], session_id: str) -> None:
        super().__init__(name=f"event source of {session_id}", daemon=True)
        self.told: list[Told] = []
        self.connections = 0
        self.refusal = ""
        """The answer at which it gave up."""
        self._addresses = cycle(addresses)
        self._path = f"/api/sessions/{session_id}/run"
        self._last_id = ""
        self._wait_s = 0.1
        self._leave = threading.Event()

    @property
    def story(self) -> list[Told]:
        """What it was told, but for the greeting of each connection."""
        return [each for each in self.told if each[1]["type"] != "connected"]

    @property
    def saw_the_end(self) -> bool:
        """Whether the last that it was told is the end of the session."""
        return bool(self.told) and self.told[-1][1]["type"] in LAST_EVENTS

    def run(self) -> None:
        """Watch until the session ends."""
        while not (self.saw_the_end or self.refusal or self._leave.is_set()):
            address = urlsplit(next(self._addresses))
            connection = HTTPConnection(address.hostname or "", address.port, timeout=SILENCE_LIMIT_S)
            try:
                self._connect(connection)
            except (OSError, HTTPException):
                pass  # a connection that is lost is made anew
            finally:
                connection.close()
            if not self.saw_the_end:
                self._leave.wait(self._wait_s)

    def leave(self) -> None:
        """Come back no more."""
        self._leave.set()

    def _connect(self, connection: HTTPConnection) -> None:
        since = {"Last-Event-ID": self._last_id} if self._last_id else {}
        connection.request("GET", self._path, headers={"Accept": "text/event-stream", **since})
        answer = connection.getresponse()
        kind = answer.headers.get_content_type()
        if answer.status != HTTPStatus.OK or kind != "text/event-stream":
            self.refusal = f"{answer.status} {kind} {answer.read().decode()}"
            return
        self.connections += 1
        self._read(answer)

    def _read(self, stream: HTTPResponse) -> None:
        """Take events until the stream ends; an event is whole once its blank line came."""
        event_id, data = self._last_id, ""
        while (line := stream.readline()) and not self.saw_the_end:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "id":
                event_id = value
            elif name == "data":
                data = value
            elif name == "retry":
                self._wait_s = int(value) / 1_000
            elif not name:
                self._last_id = event_id
                if data:
                    self.told.append((event_id, json.loads(data)))
                data = ""
