"""Logs without secrets, metrics on their port, traces only once enabled."""

from __future__ import annotations

import io
import json
import logging
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx2
import pytest
import structlog
from pydantic import SecretStr

from orchestrator.core.errors import ConflictError
from orchestrator.core.settings import TelemetrySettings
from orchestrator.core.telemetry import Metrics, configure_logging, served_metrics, tracer_provider

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _logging_restored() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("orchestrator")
    before = (root.handlers, root.level, ours.level)
    yield
    root.handlers, level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)
    structlog.reset_defaults()


def lines_of(log_level: str = "info") -> io.StringIO:
    """Configure JSON logging and give the stream it writes to."""
    stream = io.StringIO()
    configure_logging(
        TelemetrySettings.model_validate({"log_format": "json", "log_level": log_level}), stream
    )
    return stream


def test_a_line_is_one_json_object_with_time_level_and_context() -> None:
    """Bound context, such as the request's id, is on every line."""
    stream = lines_of()
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger("orchestrator.here").info("lesson started", step="outline", n=3)

    (line,) = [json.loads(text) for text in stream.getvalue().splitlines()]

    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "lesson started",
        "level": "info",
        "logger": "orchestrator.here",
        "request_id": "r-1",
        "step": "outline",
        "n": 3,
    }


def test_libraries_speak_in_the_same_shape_from_warning_on() -> None:
    """Some libraries log bodies at debug level; even our debug level does not let those through."""
    stream = lines_of("debug")
    logging.getLogger("openai._base_client").debug("the whole body")
    logging.getLogger("somelib").warning("%d retries left", 2)
    structlog.get_logger("orchestrator.here").debug("ours")

    lines = [json.loads(text) for text in stream.getvalue().splitlines()]

    assert [(line["logger"], line["event"]) for line in lines] == [
        ("somelib", "2 retries left"),
        ("orchestrator.here", "ours"),
    ]


@pytest.mark.parametrize(
    "said",
    [
        {"api_key": "hunter2"},
        {"authorization": "Basic hunter2"},
        {"headers": {"Set-Cookie": "hunter2", "X-Api-Key": "hunter2"}},
        {"parts": ["Bearer hunter2"]},
        {"url": "postgres://me:hunter2@db:5432/x"},
        {"url": "http://x/stream?access_token=hunter2&a=1"},
        {"note": "key sk-hunter2hunter2 refused"},
        {"key": SecretStr("hunter2")},
    ],
)
def test_secrets_are_blackened_wherever_they_stand(said: dict[str, object]) -> None:
    """By name, by look, nested, and inside addresses."""
    stream = lines_of()
    structlog.get_logger("orchestrator.here").info("something", **said)

    assert "hunter2" not in stream.getvalue()
    assert "***" in stream.getvalue()


def test_secrets_in_tracebacks_are_blackened_too() -> None:
    """An exception's text is as public as any other."""
    stream = lines_of()
    try:
        raise ValueError("cannot reach redis://me:hunter2@cache")  # noqa: TRY301 - the traceback is the subject
    except ValueError:
        structlog.get_logger("orchestrator.here").exception("failed")

    assert "hunter2" not in stream.getvalue()
    assert "ValueError: cannot reach redis://me:***@cache" in json.loads(stream.getvalue())["exception"]


def test_token_counts_are_no_secrets() -> None:
    """What lessons spend stays readable."""
    stream = lines_of()
    structlog.get_logger("orchestrator.here").info("spent", tokens=12, prompt_tokens=7)

    assert json.loads(stream.getvalue())["tokens"] == 12
    assert json.loads(stream.getvalue())["prompt_tokens"] == 7


def test_the_console_format_is_for_people() -> None:
    """Words, not JSON, and no colour codes where nobody sees colours."""
    stream = io.StringIO()
    configure_logging(TelemetrySettings(log_format="console"), stream)
    structlog.get_logger("orchestrator.here").warning("disk is nearly full", free_mb=12)

    assert "disk is nearly full" in stream.getvalue()
    assert "free_mb=12" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(
    ("log_level", "shown"), [("info", "GET /health 200 1 ms\n"), ("debug", "request_id=r-1")]
)
def test_a_request_is_one_short_line_for_people(log_level: str, shown: str) -> None:
    """Ids are for JSON and for whoever looks for an error at debug level."""
    stream = io.StringIO()
    settings = {"log_format": "console", "log_level": log_level}
    configure_logging(TelemetrySettings.model_validate(settings), stream)
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        log = structlog.get_logger("orchestrator.here")
        log.info("request", method="GET", path="/health", route="/health", status=200, duration_ms=1.2)

    assert stream.getvalue().endswith(shown) or log_level == "debug"
    assert shown in stream.getvalue()


def test_a_call_is_one_short_line_for_people() -> None:
    """Who called what, how long it took, and what is told of it besides."""
    stream = io.StringIO()
    configure_logging(TelemetrySettings(log_format="console"), stream)
    call = {"function": "day.run", "user_id": "ada", "execution_time_ms": 25, "cache_hits": 3}
    structlog.get_logger("orchestrator.here").info("function called", **call)

    assert stream.getvalue() == "day.run by ada, 25 ms cache_hits=3\n"


@pytest.mark.parametrize("log_level", ["info", "debug"])
def test_what_strangers_send_says_nothing_to_a_terminal(log_level: str) -> None:
    """Neither colours nor lines nor the other direction of writing, by whatever name a user has."""
    stream = io.StringIO()
    settings = {"log_format": "console", "log_level": log_level}
    configure_logging(TelemetrySettings.model_validate(settings), stream)
    user = "zoë\x1b[2J\x9b31m\u2028\u202e"
    call = {"function": "day.run", "user_id": user, "execution_time_ms": 25, "reason": user}
    structlog.get_logger("orchestrator.here").info("function called", **call)

    assert stream.getvalue().count(r"zoë\x1b[2J\x9b31m\u2028\u202e") == 2
    assert stream.getvalue().rstrip("\n").isprintable()


def test_a_line_goes_to_what_standard_error_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever replaces standard error, and closes what it was, still gets the lines."""
    before = io.StringIO()
    monkeypatch.setattr(sys, "stderr", before)
    configure_logging(TelemetrySettings(log_format="console"))
    before.close()
    now = io.StringIO()
    monkeypatch.setattr(sys, "stderr", now)
    structlog.get_logger("orchestrator.here").warning("disk is nearly full")

    assert "disk is nearly full" in now.getvalue()


def test_a_line_that_nobody_reads_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are answered when whoever read the log is gone, be it a pager or a pipe."""
    configure_logging(TelemetrySettings(log_format="console"))
    closed, now = io.StringIO(), io.StringIO()
    closed.close()
    log = structlog.get_logger("orchestrator.here")

    for stream in (closed, now):
        monkeypatch.setattr(sys, "stderr", stream)
        log.warning("disk is nearly full")

    assert "disk is nearly full" in now.getvalue()


def test_a_logger_without_a_name_has_its_modules() -> None:
    """As the libraries' lines, ours tell where they come from."""
    stream = lines_of()

    structlog.get_logger().info("something")

    assert json.loads(stream.getvalue())["logger"] == __name__


def test_metrics_carry_the_documents_names() -> None:
    """What document 004 lists is served on the metrics port, and the port is free again afterwards."""
    metrics = Metrics()
    metrics.workflow_ended("make_lesson", "completed", 1.5)
    metrics.workflows_active.set(2)
    metrics.request_answered("GET", "/health", 200, 0.01)

    with served_metrics(metrics, "127.0.0.1", 0) as port:
        text = httpx2.get(f"http://127.0.0.1:{port}/metrics").text

    assert 'orchestrator_workflows_total{status="completed",workflow="make_lesson"} 1.0' in text
    assert 'orchestrator_workflows_duration_seconds_sum{workflow="make_lesson"} 1.5' in text
    assert "orchestrator_workflows_active 2.0" in text
    assert 'orchestrator_api_requests_total{method="GET",route="/health",status="200"} 1.0' in text
    assert 'orchestrator_api_request_duration_seconds_count{method="GET",route="/health"} 1.0' in text
    with socket.create_server(("127.0.0.1", port)):
        pass


@pytest.mark.parametrize("host", ["evil.example", "evil.example@127.0.0.1", "10.0.0.1"])
def test_metrics_are_not_read_under_a_foreign_name(host: str) -> None:
    """The Host rule of every route holds on this port too: a page whose name resolves here reads nothing."""
    with served_metrics(Metrics(), "127.0.0.1", 0) as port:
        refused = httpx2.get(f"http://127.0.0.1:{port}/metrics", headers={"Host": host})
        answered = httpx2.get(f"http://127.0.0.1:{port}/metrics", headers={"Host": f"localhost:{port}"})

    assert (refused.status_code, answered.status_code) == (421, 200)
    assert "orchestrator" not in refused.text


def test_metrics_for_other_machines_are_read_under_any_name() -> None:
    """Prometheus calls a replica by its address in the cluster."""
    with served_metrics(Metrics(), "0.0.0.0", 0) as port:  # noqa: S104  # as in a container
        answered = httpx2.get(f"http://127.0.0.1:{port}/metrics", headers={"Host": f"10.1.2.3:{port}"})

    assert answered.status_code == 200


def test_a_taken_metrics_port_is_a_clear_error() -> None:
    """The sentence names the address, the reason and the setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(
                ConflictError, match=rf"127\.0\.0\.1:{port}: another program.*server\.metrics_port"
            ),
            served_metrics(Metrics(), "127.0.0.1", port),
        ):
            pass


def test_tracing_is_off_until_enabled() -> None:
    """No provider, and nothing of the SDK is even imported with the package."""
    code = (
        "import sys, orchestrator, orchestrator.core.telemetry as t\n"
        "from orchestrator.core.settings import TelemetrySettings\n"
        "assert t.tracer_provider(TelemetrySettings()) is None\n"
        "heavy = ('opentelemetry.sdk', 'opentelemetry.exporter')\n"
        "assert not any(name.startswith(heavy) for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_enabled_provider_names_the_service_and_samples() -> None:
    """Service, environment and sampling rate reach the spans' resource and sampler."""
    provider = tracer_provider(
        TelemetrySettings(enabled=True, service_name="house", environment="test", sampling_rate=0.0)
    )
    assert provider is not None

    span = provider.get_tracer("test").start_span("work")

    assert not span.is_recording()
    assert provider.resource.attributes["service.name"] == "house"
    assert provider.resource.attributes["deployment.environment.name"] == "test"
    provider.shutdown()
