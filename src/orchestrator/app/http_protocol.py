"""uvicorn's reading of HTTP and of WebSockets, but for what is no HTTP and what is no fault."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from orchestrator.web.requests import unreadable

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

# uvicorn's own line about such bytes has no request id; ours has. Its errors stay.
QUIET = logging.getLogger("uvicorn.error.protocol")
QUIET.setLevel(logging.ERROR)


class ProblemProtocol(HttpToolsProtocol):
    """Answers a problem document to a doubled length, a bad chunk or a TLS greeting, and hangs up."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - uvicorn's own, passed through
        super().__init__(*args, **options)
        self.logger = QUIET

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's sentence; ours says more
        """Answer 400, unless half of another answer is already on its way: that one is only broken off."""
        answer = unreadable()
        if not self._is_half_answered():
            status = HTTPStatus(answer.status_code)
            lines = [f"HTTP/1.1 {status} {status.phrase}".encode()]
            lines += [name + b": " + value for name, value in answer.raw_headers]
            self.transport.write(b"\r\n".join([*lines, b"", bytes(answer.body)]))
        self.transport.close()

    def _is_half_answered(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn's None before the first request is untyped
        return cycle is not None and cycle.response_started and not cycle.response_complete


class AnsweredSocketProtocol(WebSocketsSansIOProtocol):
    """A handshake that was refused by an answer is over: uvicorn would log an error of the application."""

    async def send(self, message: ASGISendEvent) -> None:
        """Send it; an answer that is complete ends the handshake, as uvicorn has it for a plain 403 alone."""
        await super().send(message)
        self.handshake_complete = self.handshake_complete or self.close_sent
