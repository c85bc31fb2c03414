"""A model provider on a loopback port, which answers as a test tells it to and remembers what it was asked.

It speaks the part of the OpenAI API that we use: chat completions (JSON and streamed) and images. Answers
come from a queue; when that is empty, from ``respond``. Other processes reach it by ``base_url``.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

MODEL = "test-model"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def streamed(self) -> bool:
        """Whether the client wants Server-Sent Events."""
        return bool(self.body.get("stream"))

    @property
    def shape(self) -> str | None:
        """The name of the JSON schema that the client asks for, if any."""
        asked: dict[str, dict[str, str]] = self.body.get("response_format") or {}
        return asked.get("json_schema", {}).get("name")


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer: pieces are sent one by one; ``cut`` drops the connection before the proper end."""

    pieces: tuple[bytes, ...] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    hold: threading.Event | None = None


# An answer may depend on the request: streamed or not, which shape.
Answering = Callable[[Asked], Reply]


def text(
    content: str | None,
    *,
    tokens: tuple[int, int] | None = (12, 34),
    finish: str | None = "stop",
    refusal: str | None = None,
    cut: bool = False,
    hold: threading.Event | None = None,
) -> Answering:
    """Answer with ``content``, streamed word by word where asked; ``hold`` stops after the first word."""

    def answer(asked: Asked) -> Reply:
        usage = tokens and {
            "prompt_tokens": tokens[0],
            "completion_tokens": tokens[1],
            "total_tokens": sum(tokens),
        }
        if not asked.streamed:
            message = {"role": "assistant", "content": content, "refusal": refusal}
            choice = {"index": 0, "message": message, "finish_reason": finish}
            return _json({**_envelope("chat.completion"), "choices": [choice], "usage": usage}, hold=hold)
        events = [_delta(content=word) for word in _words(content or "")]
        events += [_delta(refusal=word) for word in _words(refusal or "")]
        if not cut:
            events += [_delta(finish=finish)] if finish else []
            events += (
                [_event({**_envelope("chat.completion.chunk"), "choices": [], "usage": usage})]
                if usage
                else []
            )
            events += [b"data: [DONE]\n\n"]
        return Reply(tuple(events), headers={"Content-Type": "text/event-stream"}, cut=cut, hold=hold)

    return answer


def data(value: object, *, tokens: tuple[int, int] | None = (12, 34)) -> Answering:
    """Answer with ``value`` as JSON text, as a structured answer comes."""
    return text(json.dumps(value), tokens=tokens)


def error(
    status: int, *, code: str = "", message: str = "No.", param: str | None = None, **headers: str
) -> Answering:
    """Answer with an error as OpenAI writes it; header names are written with underscores."""
    body = {"error": {"message": message, "type": "error", "code": code or None, "param": param}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _asked: _json(body, status=status, headers=named)


def raw(body: bytes, *, status: int = 200, content_type: str = "application/json") -> Answering:
    """Answer with exactly these bytes."""
    return lambda _asked: Reply((body,), status=status, headers={"Content-Type": content_type})


def picture(content: bytes) -> Answering:
    """Answer an image request with the picture itself."""
    return lambda _asked: _json({"created": 1, "data": [{"b64_json": base64.b64encode(content).decode()}]})


def picture_address(url: str) -> Answering:
    """Answer an image request with an address to fetch, as some servers do."""
    return lambda _asked: _json({"created": 1, "data": [{"url": url}]})


def never() -> Answering:
    """Take the request and say nothing until the server closes."""
    return lambda _asked: Reply(hold=threading.Event())


class ModelServer:
    """The provider: give it answers with ``will``, point a client at ``base_url``, look at ``asked``."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.respond: Answering = error(500, message="The test scripted no answer for this request.")
        self._answers: deque[Answering] = deque()
        self._lock = threading.Lock()
        self._http = _Server(self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), name="model-server")
        self._thread.start()

    @property
    def base_url(self) -> str:
        """What a client takes as ``base_url``."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def will(self, *answers: Answering) -> None:
        """Answer the next requests so, in this order."""
        with self._lock:
            self._answers.extend(answers)

    def reply_to(self, asked: Asked) -> Reply:
        """Remember the request and choose its answer."""
        with self._lock:
            self.asked.append(asked)
            answering = self._answers.popleft() if self._answers else self.respond
        return answering(asked)

    def close(self) -> None:
        """Stop, also answers that are being held back."""
        self._http.closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@contextmanager
def model_server() -> Iterator[ModelServer]:
    """A running provider, closed at the end."""
    server = ModelServer()
    try:
        yield server
    finally:
        server.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, provider: ModelServer) -> None:
        self.provider = provider
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm: ClassVar[bool] = True

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length) or b"{}")
        asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        with suppress(BrokenPipeError, ConnectionResetError):
            self._send(self.server.provider.reply_to(asked))

    def _send(self, reply: Reply) -> None:
        if reply.hold is not None and not reply.pieces:
            self._wait(reply.hold)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number, piece in enumerate(reply.pieces):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if reply.hold is not None and number == 0:
                self._wait(reply.hold)
        if reply.cut:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _wait(self, hold: threading.Event) -> None:
        while not hold.wait(0.02) and not self.server.closing.is_set():
            pass

    def log_message(self, *_: object) -> None:
        """Say nothing: tests look at ``asked``."""


def _envelope(kind: str) -> dict[str, Any]:
    return {"id": "chat-1", "object": kind, "created": 1, "model": MODEL}


def _json(
    body: object,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    hold: threading.Event | None = None,
) -> Reply:
    content = {"Content-Type": "application/json"} | dict(headers or {})
    return Reply((json.dumps(body).encode(),), status=status, headers=content, hold=hold)


def _event(body: object) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _delta(*, content: str | None = None, refusal: str | None = None, finish: str | None = None) -> bytes:
    delta = {name: value for name, value in (("content", content), ("refusal", refusal)) if value is not None}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _event({**_envelope("chat.completion.chunk"), "choices": [choice]})


def _words(content: str) -> list[str]:
    words = content.split(" ")
    return [word if number == 0 else f" {word}" for number, word in enumerate(words)] if content else []
