"""What is no HTTP is answered all the same: with a problem document, and the end of the connection."""

from __future__ import annotations

import asyncio
import json

import pytest
import structlog

from orchestrator.app.server import Server
from orchestrator.core.settings import ServerSettings, Settings
from orchestrator.web.application import House, create_app
from orchestrator.web.problems import Problem
from support.sample_room import SampleRoom

POST = b"POST /things HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        POST + b"Transfer-Encoding: chunked\r\n\r\nnot-a-length\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the greeting of TLS
        b"GET /things HTTP/9.9\r\n\r\n",
    ],
)
async def test_unreadable_requests_get_a_problem_and_one_log_line(sent: bytes) -> None:
    """The answer is shaped as any other error, has an id that the log repeats, and ends the connection."""
    settings = ServerSettings(port=0, enable_metrics=False)
    app = create_app(House(Settings(server=settings)), [SampleRoom().feature])
    server = Server(app, settings, handle_signals=False)
    with structlog.testing.capture_logs() as logged:
        async with server.running() as url:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(sent)
            answer = await reader.read()
            writer.close()

    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    problem = Problem.model_validate(json.loads(body))
    (line,) = [entry for entry in logged if entry["event"] == "request unreadable"]
    assert first == "HTTP/1.1 400 Bad Request"
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert int(headers["content-length"]) == len(body)
    assert (problem.code, problem.trace_id) == ("invalid_http", headers["traceparent"].split("-")[1])
    assert line["request_id"] == headers["x-request-id"]
    assert set(problem.trace_id) != {"0"}
